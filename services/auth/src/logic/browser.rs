//! Signing in and out in a browser.
//!
//! A browser's session is not the grant of an application: grants are made in it and remember it, and
//! they end with it unless the user let the application keep its access. Each login makes a successor of
//! the session with another id, so nothing that somebody planted before is worth anything after.

use lightning_mesh::{clock::Timestamp, config::Secret};

use super::Auth;
use crate::{
    Error,
    audit::{Event, Outcome},
    domain::{
        SessionId, UserId,
        browser_sessions::{BrowserSession, CookieSecret, Lifetime, Origin},
        codes::Code,
        principals::{Authentication, Subject},
        users::User,
    },
    error::CredentialError,
    store::Notice,
};

/// How exactly the last use is kept: writing at each click would be a write for nothing.
const SEEN_EVERY: std::time::Duration = std::time::Duration::from_mins(1);
/// The scope that lets a grant outlive the browser session (OpenID Connect Core section 11).
const OFFLINE: &str = "offline_access";

/// What came of a factor.
pub(crate) struct SignedIn {
    pub(crate) session: BrowserSession,
    /// For the cookie, in place of the one before.
    pub(crate) secret: CookieSecret,
}

impl Auth {
    pub(crate) fn browser_lifetime(&self) -> Lifetime {
        Lifetime {
            absolute: self.config.browser_session_lifetime,
            idle: self.config.browser_session_idle,
        }
    }

    /// Who is signed in in the browser whose cookie holds this secret.
    pub(crate) async fn signed_in(
        &self,
        secret: &CookieSecret,
    ) -> Result<Option<(BrowserSession, User)>, Error> {
        let Some(session) = self.store.browser_session_by_secret(&secret.hash()).await? else {
            return Ok(None);
        };
        let now = self.clock.now();
        if !session.is_alive(self.browser_lifetime(), now) {
            return Ok(None);
        }
        let user = match self.acting_user(&session.user_id).await {
            Ok(user) => user,
            Err(Error::Credential(CredentialError::GrantInvalid)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if now.since(session.seen_at) >= SEEN_EVERY {
            self.store.browser_session_seen(&session.id, now).await?;
        }
        Ok(Some((session, user)))
    }

    /// Checks a name and a password on a page. The session that follows is half if a further factor is
    /// needed.
    pub(crate) async fn sign_in_with_password(
        &self,
        typed: &str,
        password: &Secret,
        before: Option<&BrowserSession>,
        old_secret_hash: &str,
        origin: Origin,
    ) -> Result<SignedIn, Error> {
        let known = self.check_password(typed, password, origin.address.parse().ok()).await?;
        let needs_code = known.needs_code;
        let user = if needs_code { known.half() } else { known.complete() };
        let how = Authentication::new(&["pwd"], self.clock.now());
        self.login_completed(&user, how, needs_code, before, old_secret_hash, origin).await
    }

    /// Checks the code of somebody who gave the password on the page before.
    pub(crate) async fn sign_in_with_code(
        &self,
        half: &BrowserSession,
        code: &str,
        old_secret_hash: &str,
        origin: Origin,
    ) -> Result<SignedIn, Error> {
        let user = self.check_code(&half.user_id, code, origin.address.parse().ok()).await?;
        let mut how = half.authentication.clone();
        how.at = self.clock.now();
        how.methods.extend(["otp", "mfa"].map(str::to_owned));
        self.login_completed(&user, how, false, Some(half), old_secret_hash, origin).await
    }

    /// Makes the session of a user who proved who they are, or half of it. The cookie changes, and what
    /// the browser was about to do goes on with the new one.
    pub(crate) async fn login_completed(
        &self,
        user: &User,
        authentication: Authentication,
        is_half: bool,
        before: Option<&BrowserSession>,
        old_secret_hash: &str,
        origin: Origin,
    ) -> Result<SignedIn, Error> {
        let now = self.clock.now();
        let other = before.filter(|before| before.user_id != user.id && !before.is_half);
        if let Some(other) = other.filter(|_| !is_half) {
            self.sign_out(other).await?;
        }
        let methods = authentication.methods.join(" ");
        let address = origin.address.clone();
        let (session, secret) = BrowserSession::begin(
            user.id.clone(),
            authentication,
            is_half,
            before,
            origin,
            self.browser_lifetime(),
            now,
        );
        // A half session does not end the whole one before it: the user may give up on the way.
        let ends = before.filter(|before| !is_half || before.is_half);
        self.store.insert_browser_session(&session, ends.map(|before| &before.id)).await?;
        self.store.rebind(old_secret_hash, &session.secret_hash).await?;
        if !is_half {
            tracing::info!(user_id = %user.id, browser_session_id = %session.id, "user signed in");
            let event = Event::new(
                "user.login",
                Outcome::Success,
                Subject::User(user.id.to_string()).full(),
            );
            let event = Event { organization_id: user.organization_id.clone(), ..event };
            let event = event.on("browser_session", session.id.as_str());
            self.audit(&event.with("methods", methods).with("address", address));
        }
        Ok(SignedIn { session, secret })
    }

    /// Whether the login in which a code was agreed to still holds.
    pub(crate) async fn agreement_stands(
        &self,
        code: &Code,
        now: Timestamp,
    ) -> Result<bool, Error> {
        if code.terms.browser_session_id.as_deref() == Some(code.session_id.as_str()) {
            let session = self.store.browser_session(&code.session_id).await?;
            return Ok(
                session.is_some_and(|session| session.is_alive(self.browser_lifetime(), now))
            );
        }
        let agreed = self.store.session(&code.session_id).await?;
        Ok(agreed.is_some_and(|session| session.is_alive(now)))
    }

    /// Signs a browser out: its sessions end, so do the grants that were made in them, except those that
    /// the user let applications keep; applications that want to know are told.
    pub(crate) async fn sign_out(&self, session: &BrowserSession) -> Result<(), Error> {
        let now = self.clock.now();
        let grants = self.store.grants_of_chain(&session.chain_id, now).await?;
        self.store.end_chain(&session.chain_id, now).await?;
        let mut notices = Vec::new();
        for id in grants {
            let Some(grant) = self.store.session(&id).await? else { continue };
            if !grant.scopes.iter().any(|scope| scope == OFFLINE) {
                self.end(&id, now).await?;
            }
            let client = self.client(&grant.client_id).await?;
            let listens = client.is_some_and(|client| client.backchannel_logout_uri.is_some());
            let Some(sid) = grant.terms.browser_session_id.filter(|_| listens) else { continue };
            notices.push(Notice {
                id: lightning_mesh::id::generate(),
                client_id: grant.client_id,
                sub: grant.user_id.to_string(),
                sid,
                attempts: 0,
                created_at: now,
            });
        }
        notices.dedup_by(|a, b| (&a.client_id, &a.sid) == (&b.client_id, &b.sid));
        self.store.insert_notices(&notices).await?;
        self.logouts.notify_one();
        let subject = Subject::User(session.user_id.to_string()).full();
        let event = Event::new("user.logout", Outcome::Success, subject);
        self.audit(&event.on("browser_session", session.id.as_str()));
        Ok(())
    }

    /// The sessions of a user in browsers, the latest used first.
    pub(crate) async fn browser_sessions(
        &self,
        user: &UserId,
    ) -> Result<Vec<BrowserSession>, Error> {
        let now = self.clock.now();
        let seen = now.before(self.config.browser_session_idle);
        self.store.browser_sessions_of(user, seen, now).await
    }

    /// Signs one browser of a user out. Nothing happens if it is not the user's.
    pub(crate) async fn sign_out_one(&self, user: &UserId, id: &str) -> Result<(), Error> {
        let Ok(id) = SessionId::parse(id) else { return Ok(()) };
        match self.store.browser_session(&id).await? {
            Some(session) if session.user_id == *user => self.sign_out(&session).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Signs all browsers of a user out but one.
    pub(crate) async fn sign_out_others(&self, own: &BrowserSession) -> Result<(), Error> {
        for session in self.browser_sessions(&own.user_id).await? {
            if session.chain_id != own.chain_id {
                self.sign_out(&session).await?;
            }
        }
        Ok(())
    }

    /// The grants of a user that are alive, the newest first; at most 200.
    pub(crate) async fn grants_of(
        &self,
        user: &UserId,
    ) -> Result<Vec<crate::domain::sessions::Session>, Error> {
        let slice = crate::store::Slice { after: None, newest_first: true, limit: 200 };
        let organization = self.user(user.as_str()).await?.organization_id;
        self.store.sessions_in(&slice, &organization, Some(user.as_str()), self.clock.now()).await
    }

    /// Ends a grant of a user. Nothing happens if it is not the user's.
    pub(crate) async fn end_grant(&self, user: &UserId, id: &str) -> Result<(), Error> {
        let Ok(id) = SessionId::parse(id) else { return Ok(()) };
        match self.store.session(&id).await? {
            Some(grant) if grant.user_id == *user => self.end(&id, self.clock.now()).await,
            Some(_) | None => Ok(()),
        }
    }
}

impl Auth {
    /// What a user may do now, as patterns.
    pub(crate) async fn rights_of(&self, user: &UserId) -> Result<Vec<String>, Error> {
        let user = self.acting_user(user).await?;
        Ok(self.principal_of(&user).permissions)
    }
}

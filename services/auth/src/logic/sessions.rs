//! Logging in and out.

use std::{net::IpAddr, sync::atomic::Ordering, time::Duration};

use lightning_mesh::{clock::Timestamp, config::Secret, identity::Caller};

use super::{
    Auth,
    claims::{Requested, claims_for},
    is_local, organization_of,
};
use crate::{
    Error,
    audit::{Event, Outcome},
    domain::{
        SessionId, UserId,
        clients::{Client, OWN_CLIENT, REFRESH_TOKEN, is_oidc_scope},
        keys::Algorithm,
        permissions,
        principals::{Authentication, Principal},
        sessions::{RefreshToken, Session, Terms},
        users::User,
    },
    error::CredentialError,
    signing::{AccessToken, IdToken},
    store::Slice,
};

/// The most sessions of one user that are alive; the oldest ends when one more begins.
const MAX_PER_USER: i64 = 100;

/// What a login or an exchange gives. Has no `Debug`: it holds secrets.
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    /// Empty if there is none.
    pub(crate) refresh_token: String,
    /// Empty if there is none.
    pub(crate) id_token: String,
    pub(crate) expires_in: i64,
    pub(crate) scope: String,
    /// Whether the access token is bound to a key.
    pub(crate) bound: bool,
    /// What an exchange gave (RFC 8693 section 2.2.1); empty for other grants.
    pub(crate) issued_token_type: &'static str,
}

/// What a token of a session is to be like.
pub(crate) struct Minting<'a> {
    /// No more than these of the session's scopes, if they are named.
    pub(crate) scopes: Option<&'a [String]>,
    pub(crate) audiences: &'a [String],
    pub(crate) jkt: Option<&'a str>,
}

/// What an ID token is made of.
struct IdParts<'a> {
    user: &'a User,
    principal: &'a Principal,
    session: &'a Session,
    client: &'a Client,
    scopes: &'a [String],
    access_token: &'a str,
    nonce: Option<&'a str>,
}

// === impl Tokens ===

impl Tokens {
    /// An access token and nothing else.
    pub(crate) fn alone(access_token: String, life: Duration) -> Self {
        Self {
            access_token,
            refresh_token: String::new(),
            id_token: String::new(),
            expires_in: i64::try_from(life.as_secs()).unwrap_or(i64::MAX),
            scope: String::new(),
            bound: false,
            issued_token_type: "",
        }
    }

    /// How the access token is presented (RFC 6750, RFC 9449).
    pub(crate) fn token_type(&self) -> &'static str {
        if self.bound { "DPoP" } else { "Bearer" }
    }
}

// === impl Minting ===

impl<'a> Minting<'a> {
    /// As the session says.
    pub(crate) fn of(session: &'a Session) -> Self {
        Self {
            scopes: None,
            audiences: &session.terms.audiences,
            jkt: session.terms.jkt.as_deref(),
        }
    }
}

impl Auth {
    /// Logs a user in.
    pub(crate) async fn login(
        &self,
        typed: &str,
        password: &Secret,
        code: &str,
        address: Option<IpAddr>,
    ) -> Result<Tokens, Error> {
        let result = self.try_login(typed, password, code, address).await;
        self.count_login(result.is_ok());
        result
    }

    pub(super) fn count_login(&self, succeeded: bool) {
        let counter = if succeeded { &self.tally.logins } else { &self.tally.login_failures };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins the session of somebody who proved by these methods who they are.
    pub(super) async fn begin_session(
        &self,
        user: &User,
        methods: &[&str],
        address: Option<IpAddr>,
    ) -> Result<Tokens, Error> {
        let (now, lifetime) = (self.clock.now(), self.lifetime());
        let authentication = Authentication::new(methods, now);
        let terms = Terms { authentication, ..Terms::default() };
        let (session, token) =
            Session::begin(user.id.clone(), String::new(), Vec::new(), terms, lifetime, now);
        self.store.insert_session(&session).await?;
        let event = Event::new("user.login", Outcome::Success, format!("user:{}", user.id));
        let event = Event { organization_id: user.organization_id.clone(), address, ..event };
        self.audit(&event.on("session", session.id.to_string()).with("amr", methods.join(" ")));
        tracing::info!(user_id = %user.id, session_id = %session.id, "user logged in");
        self.end_excess(&user.id, now).await?;
        self.mint(user, &session, Some(&token), &Minting::of(&session), now).await
    }

    /// Ends the oldest sessions of a user who has too many.
    pub(super) async fn end_excess(&self, user: &UserId, now: Timestamp) -> Result<(), Error> {
        for id in self.store.excess_sessions(user, MAX_PER_USER, now).await? {
            self.end(&id, now).await?;
        }
        Ok(())
    }

    /// Tokens for a session, with everything that the user may do now and the session allows.
    pub(super) async fn mint(
        &self,
        user: &User,
        session: &Session,
        refresh_token: Option<&RefreshToken>,
        minting: &Minting<'_>,
        now: Timestamp,
    ) -> Result<Tokens, Error> {
        let client_id =
            if session.client_id.is_empty() { OWN_CLIENT } else { session.client_id.as_str() };
        let client = self.client(client_id).await?.ok_or_else(Error::grant_invalid)?;
        let principal = self.principal_of(user);
        let whole = client.permitted(&principal.permissions, &session.scopes);
        let scopes = minting.scopes.unwrap_or(&session.scopes);
        let (oidc, wanted): (Vec<String>, Vec<String>) =
            scopes.iter().cloned().partition(|scope| is_oidc_scope(scope));
        let granted = match minting.scopes {
            Some(_) => permissions::intersection(&whole, &wanted),
            None => whole,
        };
        let scope = [oidc.as_slice(), &granted].concat().join(" ");
        let anything = ["*".to_owned()];
        let mut reach = client.permitted(&anything, &session.scopes);
        if minting.scopes.is_some() {
            reach = permissions::intersection(&reach, &wanted);
        }
        let token = AccessToken {
            reach: &reach,
            session_id: Some(session.id.as_str()),
            authentication: Some(&session.terms.authentication),
            audiences: minting.audiences,
            jkt: minting.jkt,
            scope: scope.clone(),
            ..AccessToken::new(&principal, &granted, client_id)
        };
        let access_token = self.signing.access_token(&token, now)?;
        let id_token = if oidc.iter().any(|scope| scope == "openid") {
            let parts = IdParts {
                user,
                principal: &principal,
                session,
                client: &client,
                scopes: &oidc,
                access_token: &access_token,
                // A refresh repeats no nonce (OpenID Connect Core section 12.2).
                nonce: session.terms.nonce.as_deref().filter(|_| session.generation == 0),
            };
            self.id_token(&parts, now).await?
        } else {
            String::new()
        };
        let refresh_token = refresh_token.filter(|_| client.may(REFRESH_TOKEN));
        Ok(Tokens {
            refresh_token: refresh_token.map(RefreshToken::expose).unwrap_or_default(),
            id_token,
            scope,
            bound: minting.jkt.is_some(),
            ..Tokens::alone(access_token, self.signing.ttl())
        })
    }

    /// The ID token that comes with an access token.
    async fn id_token(&self, parts: &IdParts<'_>, now: Timestamp) -> Result<String, Error> {
        let IdParts { user, principal, session, client, scopes, access_token, nonce } = *parts;
        let requested = Requested::kept(session.terms.claims.as_deref());
        let is_proven = self.is_email_proven(&user.id).await?;
        let claims = claims_for(user, principal, scopes, &requested.id_token, is_proven);
        let token = IdToken {
            subject: &principal.subject.sub(),
            client_id: &client.id,
            algorithm: match client.id_token_alg.as_str() {
                "RS256" => Algorithm::Rs256,
                _ => Algorithm::Es256,
            },
            authentication: &session.terms.authentication,
            nonce,
            access_token: Some(access_token),
            code: None,
            browser_session_id: session.terms.browser_session_id.as_deref(),
            claims: &claims,
        };
        self.signing.id_token(&token, now)
    }

    /// Ends the caller's session.
    pub(crate) async fn logout(&self, caller: &Caller) -> Result<(), Error> {
        let (_, session) = session_of(caller)?;
        self.end(&session, self.clock.now()).await?;
        let event = Event::by(caller, "user.logout", Outcome::Success);
        self.audit(&event.on("session", session.as_str()));
        Ok(())
    }

    /// Sessions that are alive: the caller's own, or with `auth.read` everybody's of the organisation.
    pub(crate) async fn sessions(
        &self,
        caller: &Caller,
        slice: &Slice,
        user: Option<&str>,
    ) -> Result<Vec<Session>, Error> {
        match visible(caller, user) {
            Visible::Nothing => Ok(Vec::new()),
            Visible::Of(user) => {
                let organization = organization_of(caller)?;
                self.store.sessions_in(slice, organization, user, self.clock.now()).await
            }
        }
    }

    /// Ends a session: one's own, or with `auth.write` anybody's of the organisation.
    pub(crate) async fn delete_session(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let unknown = || {
            Error::Credential(CredentialError::SessionNotFound {
                id: id.chars().take(128).collect(),
            })
        };
        let known = SessionId::parse(id).map_err(|_| unknown())?;
        let session = self.store.session(&known).await?.ok_or_else(unknown)?;
        let now = self.clock.now();
        let is_own = caller.user_id() == Some(session.user_id.as_str());
        if !session.is_alive(now) || !(is_own || caller.permits("auth.write")) {
            return Err(unknown());
        }
        if !is_own && self.user_in(caller, session.user_id.as_str()).await.is_err() {
            return Err(unknown());
        }
        self.end(&session.id, now).await?;
        let details = vec![("user_id", session.user_id.to_string())];
        self.note(caller, "session.ended", ("session", session.id.as_str()), details).await
    }

    /// Ends a session and tells everyone. One that has ended stays ended.
    pub(super) async fn end(&self, id: &SessionId, now: Timestamp) -> Result<(), Error> {
        if self.store.end_session(id, now).await? {
            self.access.changed().await;
            tracing::info!(session_id = %id, "session ended");
        }
        Ok(())
    }
}

/// Whose things a caller gets to see.
pub(super) enum Visible<'a> {
    /// Nobody's.
    Nothing,
    /// This user's, or everybody's.
    Of(Option<&'a str>),
}

/// What a caller sees who asks for the things of one user, or of all.
pub(super) fn visible<'a>(caller: &'a Caller, asked: Option<&'a str>) -> Visible<'a> {
    if caller.permits("auth.read") {
        return Visible::Of(asked);
    }
    match (caller.user_id(), asked) {
        (Some(own), None) => Visible::Of(Some(own)),
        (Some(own), Some(asked)) if own == asked => Visible::Of(Some(own)),
        (Some(_), Some(_)) | (None, _) => Visible::Nothing,
    }
}

/// The user and the session of a caller who logged in; API keys, services and the admin of open mode
/// did not.
pub(super) fn session_of(caller: &Caller) -> Result<(UserId, SessionId), Error> {
    let user = caller.subject.strip_prefix("user:").and_then(|id| UserId::parse(id).ok());
    let session = caller.session_id.as_deref().and_then(|id| SessionId::parse(id).ok());
    user.zip(session).ok_or(Error::Credential(CredentialError::SessionRequired(
        if is_local(caller) {
            "this needs a user who logged in, and no user exists yet: register one with POST \
         /api/v1/auth/register and log in with POST /api/v1/auth/login"
        } else {
            "this needs the access token of a user who logged in (POST /api/v1/auth/login)"
        },
    )))
}

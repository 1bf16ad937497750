//! Passwords and codes at a login, and how fresh a login must be for what.
//!
//! Every way in that asks for a password or a code comes through here, so that one lockout and one rule
//! about second factors hold for all of them. A password alone never clears the failures of an account
//! that has a second factor: somebody who knows it could try codes for ever.

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use lightning_mesh::{config::Secret, identity::Caller};

use super::{
    Auth,
    sessions::{Tokens, session_of},
};
use crate::{
    Error,
    audit::{Event, Outcome},
    domain::{
        SessionId, UserId,
        browser_sessions::BrowserSession,
        clients::OWN_CLIENT,
        users::{self, User},
    },
    error::{CredentialError, FactorError},
    lockout::{Attempt, Axis},
    passwords::{self, Passwords},
    store::Ends,
};

/// How long after a login changes of credentials are allowed.
const FRESH: Duration = Duration::from_mins(15);

const TOO_OLD: Error = Error::Factor(FactorError::LoginTooOld(
    "this needs a login of the last 15 minutes: log in again and repeat it",
));

/// Somebody whose password was right.
pub(crate) struct Known {
    pub(crate) user: User,
    /// Whether a code is needed as well.
    pub(crate) needs_code: bool,
    attempt: Attempt,
}

/// Somebody who logged in lately, by themselves.
pub(crate) struct Recent {
    pub(crate) user: User,
    /// The session of the browser or of the tokens that speak for them.
    pub(crate) session: SessionId,
    address: Option<IpAddr>,
}

// === impl Recent ===

impl Recent {
    /// Something that they did.
    pub(super) fn event(&self, action: &'static str, outcome: Outcome) -> Event {
        let event = Event::new(action, outcome, format!("user:{}", self.user.id));
        let organization_id = self.user.organization_id.clone();
        Event { organization_id, address: self.address, ..event }
    }
}

// === impl Known ===

impl Known {
    /// The login is complete: the failures before it are forgotten.
    pub(crate) fn complete(self) -> User {
        self.attempt.succeeded();
        self.user
    }

    /// The password was right and nothing more: failures stay counted.
    pub(crate) fn half(self) -> User {
        self.user
    }
}

impl Auth {
    /// Logs a user in who sends everything at once. Every way in which it fails looks and lasts the
    /// same, except the wait after many failures, which unknown names have too, and the question for a
    /// code, which only those with the right password see.
    pub(super) async fn try_login(
        &self,
        typed: &str,
        password: &Secret,
        code: &str,
        address: Option<IpAddr>,
    ) -> Result<Tokens, Error> {
        let known = self.check_password(typed, password, address).await?;
        let methods: &[&str] = if known.needs_code {
            if code.is_empty() {
                return Err(Error::Factor(FactorError::SecondFactorRequired));
            }
            let now = self.clock.now();
            let second = self.lockout.begin(&[Axis::Factor(&known.user.id)], now)?;
            if !self.is_code_right(&known.user, code, now).await? {
                second.failed(now);
                known.attempt.failed(now);
                self.login_failed(&known.user, address, "code");
                return Err(Error::CredentialsInvalid);
            }
            second.succeeded();
            &["pwd", "otp", "mfa"]
        } else {
            &["pwd"]
        };
        let user = known.complete();
        self.begin_session(&user, methods, address).await
    }

    /// Whose name and password these are. The caller says with [`Known`] how it went on.
    pub(crate) async fn check_password(
        &self,
        typed: &str,
        password: &Secret,
        address: Option<IpAddr>,
    ) -> Result<Known, Error> {
        if !passwords::is_possible(password.expose()) {
            return Err(Error::CredentialsInvalid);
        }
        let name = users::login_name(typed);
        let found = self.store.credentials(&name).await?;
        let account = match &found {
            Some(found) => Axis::Account(&found.user.id),
            None => Axis::Name(&name),
        };
        let attempt = self
            .lockout
            .begin(&axes(&[account, Axis::Password(password)], address), self.clock.now())?;
        let hash = found.as_ref().map(|found| found.password_hash.as_str());
        let is_right = self.passwords.verify(password, hash).await?;
        match found {
            Some(found) if is_right && self.may_act(&found.user) => {
                let needs_code = !self.second_factors(&found.user.id).await?.is_empty();
                self.strengthen(&found.user.id, password, &found.password_hash).await;
                Ok(Known { user: found.user, needs_code, attempt })
            }
            found => {
                attempt.failed(self.clock.now());
                if let Some(found) = found {
                    self.login_failed(&found.user, address, "password");
                } else {
                    // What was typed may be a password in the wrong field, so it stands nowhere.
                    self.audit(&from(
                        Event::new("user.login", Outcome::Failure, "anonymous"),
                        address,
                    ));
                }
                Err(Error::CredentialsInvalid)
            }
        }
    }

    /// Checks the code of somebody whose password was right before, in a step of its own.
    pub(crate) async fn check_code(
        &self,
        user: &UserId,
        code: &str,
        address: Option<IpAddr>,
    ) -> Result<User, Error> {
        let user = self.acting_user(user).await.map_err(|_| Error::CredentialsInvalid)?;
        let now = self.clock.now();
        let attempt = self
            .lockout
            .begin(&axes(&[Axis::Account(&user.id), Axis::Factor(&user.id)], address), now)?;
        if self.is_code_right(&user, code, now).await? {
            attempt.succeeded();
            return Ok(user);
        }
        attempt.failed(now);
        self.login_failed(&user, address, "code");
        Err(Error::CredentialsInvalid)
    }

    /// Makes a hash of the past as strong as those of today. That the login goes on matters more than
    /// that it succeeds.
    async fn strengthen(&self, user: &UserId, password: &Secret, old: &str) {
        if !Passwords::is_outdated(old) {
            return;
        }
        let Ok(new) = self.passwords.hash(password).await else {
            return;
        };
        match self.store.set_password(user, (old, &new), Ends::None, self.clock.now()).await {
            Ok(_) => tracing::info!(user_id = %user, "a password's hash was renewed"),
            Err(error) => tracing::warn!(error = %error, "a password's hash was not renewed"),
        }
    }

    fn login_failed(&self, user: &User, address: Option<IpAddr>, what: &'static str) {
        let event = Event::new("user.login", Outcome::Failure, format!("user:{}", user.id));
        let event = Event { organization_id: user.organization_id.clone(), ..event };
        self.audit(&from(event.with("wrong", what), address));
    }

    /// The caller, if they logged in lately, by themselves and not through an application of others.
    pub(crate) async fn recent(&self, caller: &Caller) -> Result<Recent, Error> {
        let (user, session) = session_of(caller)?;
        let found = self.store.session(&session).await?.ok_or_else(Error::grant_invalid)?;
        let now = self.clock.now();
        if !(found.client_id.is_empty() || found.client_id == OWN_CLIENT)
            || !caller.actors.is_empty()
        {
            return Err(Error::Factor(FactorError::LoginTooOld(
                "this is for users themselves, not for an application in their name: log in with \
                 POST /api/v1/auth/login",
            )));
        }
        if !found.is_alive(now) || now.since(found.terms.authentication.at) > FRESH {
            return Err(TOO_OLD);
        }
        let user = self.acting_user(&user).await?;
        Ok(Recent { user, session, address: caller.address })
    }

    /// Whoever is signed in in a browser, if they signed in lately.
    pub(crate) async fn recent_in_browser(
        &self,
        session: &BrowserSession,
    ) -> Result<Recent, Error> {
        if session.is_half || self.clock.now().since(session.authentication.at) > FRESH {
            return Err(TOO_OLD);
        }
        let user = self.acting_user(&session.user_id).await?;
        let address = session.origin.address.parse().ok();
        Ok(Recent { user, session: session.id.clone(), address })
    }

    /// The host of the issuer, as apps and messages show it.
    pub(super) fn issuer_host(&self) -> String {
        let host = url::Url::parse(&self.config.issuer)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned));
        host.unwrap_or_else(|| "Agent Lightning".to_owned())
    }

    /// Seals a secret for a row.
    pub(super) fn seal_text(&self, about: &str, plain: &[u8]) -> String {
        STANDARD_NO_PAD.encode(self.seal.close(about, plain))
    }

    /// Opens what [`Self::seal_text`] made.
    pub(super) fn open_text(&self, about: &str, sealed: &str) -> Result<Vec<u8>, Error> {
        let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| Error::Row { what: "secret" })?;
        Ok(self.seal.open(about, &sealed)?)
    }
}

/// The user behind a caller, however they came in.
pub(crate) fn own_id(caller: &Caller) -> Result<UserId, Error> {
    let user = caller.user_id().and_then(|id| UserId::parse(id).ok());
    user.ok_or(Error::Credential(CredentialError::SessionRequired(
        "this is about a user's own account; log in as one",
    )))
}

fn from(event: Event, address: Option<IpAddr>) -> Event {
    Event { address, ..event }
}

fn axes<'a>(axes: &[Axis<'a>], address: Option<IpAddr>) -> Vec<Axis<'a>> {
    axes.iter().copied().chain(address.map(Axis::Address)).collect()
}

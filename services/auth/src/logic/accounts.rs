//! One's own account: reading and changing it, another password, a lost password, a proven address.
//!
//! Links in messages are made of the configured issuer and never of a request. What is asked for in the
//! name of an account (a link by mail) is answered the same whether or not it exists, and everything
//! that depends on that happens after the answer.

use std::{net::IpAddr, sync::Arc};

use lightning_mesh::{clock::Timestamp, config::Secret, identity::Caller, task};
use serde::{Deserialize, Serialize};

use super::{
    Auth,
    credentials::{Recent, own_id},
    is_local, must_hold,
};
use crate::{
    Error,
    audit::{Event, Outcome},
    domain::{
        UserId, Violation,
        tickets::{self, Kind, Ticket},
        users::{self, Change, User},
    },
    error::FactorError,
    lockout::Axis,
    mail::Stamp,
    passwords,
    store::Ends,
};

/// A link to set a password anew, for somebody to hand over. Has no `Debug`: it holds a secret.
pub(crate) struct Link {
    pub(crate) token: String,
    pub(crate) url: String,
    pub(crate) expires_at: Timestamp,
}

/// What a link remembers.
#[derive(Serialize, Deserialize)]
struct About {
    /// What the account looked like.
    picture: String,
    /// The address that the link was sent to; empty for one that an admin handed over.
    email_key: String,
}

impl Auth {
    /// The caller's own user.
    pub(crate) async fn own_account(&self, caller: &Caller) -> Result<User, Error> {
        let id = own_id(caller)?;
        self.store.user(&id).await?.ok_or_else(|| Error::UserNotFound { id: id.to_string() })
    }

    /// Changes the caller's own name and address. Links go to the address, so another one needs a fresh
    /// login.
    pub(crate) async fn update_own_account(
        &self,
        caller: &Caller,
        change: &Change,
        etag: &str,
    ) -> Result<User, Error> {
        let own = self.own_account(caller).await?;
        if change.email.as_ref().is_some_and(|email| email.trim() != own.email) {
            self.recent(caller).await?;
        }
        let allowed = Change {
            email: change.email.clone(),
            display_name: change.display_name.clone(),
            ..Change::default()
        };
        self.update_user(caller, own.id.as_str(), &allowed, etag).await
    }

    /// Changes the caller's own password and ends all other sessions.
    pub(crate) async fn change_password(
        &self,
        recent: &Recent,
        current: &Secret,
        new: &Secret,
    ) -> Result<(), Error> {
        let Recent { user, session, .. } = recent;
        check_new(new, user)?;
        let now = self.clock.now();
        let attempt = self.lockout.begin(&[Axis::Account(&user.id)], now)?;
        let old = self.store.password_hash(&user.id).await?.ok_or_else(Error::grant_invalid)?;
        let is_right = passwords::is_possible(current.expose())
            && self.passwords.verify(current, Some(&old)).await?;
        if !is_right {
            attempt.failed(now);
            let event = recent.event("password.changed", Outcome::Failure);
            self.audit(&event.on("user", user.id.to_string()));
            return Err(invalid("current_password", "is not the present password"));
        }
        let hash = self.passwords.hash(new).await?;
        let ends = Ends::Others(session);
        if !self.store.set_password(&user.id, (&old, &hash), ends, now).await? {
            return Err(Error::EtagMismatch);
        }
        drop(attempt);
        self.access.changed().await;
        self.audit(
            &recent.event("password.changed", Outcome::Success).on("user", user.id.to_string()),
        );
        self.tell_of_new_password(user);
        Ok(())
    }

    /// Sends a link to set a password anew, if there is such a user with an address.
    pub(crate) fn request_reset(
        self: &Arc<Self>,
        typed: &str,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        let name = users::login_name(typed);
        let stamp = self.stamp(&name, address)?;
        let auth = self.clone();
        task::spawn("auth-reset-mail", async move {
            if let Err(error) = auth.send_reset(&name, stamp).await {
                tracing::warn!(error = %error, "a link to set a password anew was not sent");
            }
        });
        Ok(())
    }

    async fn send_reset(&self, name: &str, stamp: Stamp) -> Result<(), Error> {
        let found = self.store.credentials(name).await?;
        let Some(found) =
            found.filter(|found| self.may_act(&found.user) && !found.user.email.is_empty())
        else {
            return Ok(());
        };
        let user = found.user;
        let email_key = users::email_key(&user.email);
        let about =
            About { picture: tickets::picture(&email_key, &found.password_hash), email_key };
        let link = self.link(Kind::PasswordReset, &user.id, &about).await?;
        let text = format!(
            "Somebody asked to set the password of {} at {} anew.\n\nIf that was you, open this link \
             within 30 minutes:\n\n{}\n\nIf not, ignore this message: nothing has changed.\n",
            user.username, self.config.issuer, link.url
        );
        let subject = format!("Set your password for {}", self.issuer_host());
        if let Some(mailer) = &self.mailer {
            mailer.send(stamp, &user.email, &subject, text).await;
        }
        Ok(())
    }

    /// Makes a link to set a user's password anew, for the caller to hand over.
    pub(crate) async fn reset_user(&self, caller: &Caller, id: &str) -> Result<Link, Error> {
        if is_local(caller) {
            return Err(Error::OpenModeEnded);
        }
        let user = self.user_in(caller, id).await?;
        // Whoever can set a password can become its owner.
        must_hold(caller, &self.principal_of(&user).permissions)?;
        let hash = self.store.password_hash(&user.id).await?.unwrap_or_default();
        let picture = tickets::picture(&users::email_key(&user.email), &hash);
        let about = About { picture, email_key: String::new() };
        let link = self.link(Kind::PasswordReset, &user.id, &about).await?;
        let event = Event::by(caller, "password.reset_link", Outcome::Success);
        self.audit(&event.on("user", user.id.to_string()));
        Ok(link)
    }

    /// Sets a password anew with the token of a link. Second factors stay.
    pub(crate) async fn complete_reset(
        &self,
        token: &str,
        new: &Secret,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        let attempt = self.link_attempt(address)?;
        let now = self.clock.now();
        let Some((ticket, user)) = self.ticket(Kind::PasswordReset, token).await? else {
            if let Some(attempt) = attempt {
                attempt.failed(now);
            }
            return Err(Error::Factor(FactorError::LinkInvalid));
        };
        let about = self.about_link(&ticket)?;
        let email_key = users::email_key(&user.email);
        let old = self
            .store
            .password_hash(&user.id)
            .await?
            .ok_or(Error::Factor(FactorError::LinkInvalid))?;
        if tickets::picture(&email_key, &old) != about.picture || !self.may_act(&user) {
            return Err(Error::Factor(FactorError::LinkInvalid));
        }
        // A password that is not good enough does not use up the link.
        check_new(new, &user)?;
        let hash = self.passwords.hash(new).await?;
        let taken = self.store.take_ticket(ticket.kind, &ticket.hash, now).await?;
        if taken.is_none()
            || !self.store.set_password(&user.id, (&old, &hash), Ends::All, now).await?
        {
            return Err(Error::Factor(FactorError::LinkInvalid));
        }
        if !about.email_key.is_empty() {
            self.store.prove_email(&user.id, &about.email_key, now).await?;
        }
        self.lockout.clear(&Axis::Account(&user.id));
        self.access.changed().await;
        let event = Event::new("password.reset", Outcome::Success, format!("user:{}", user.id));
        let event = Event { organization_id: user.organization_id.clone(), address, ..event };
        self.audit(&event.on("user", user.id.to_string()));
        self.tell_of_new_password(&user);
        Ok(())
    }

    /// Sends a link that proves the caller's address.
    pub(crate) async fn request_proof(self: &Arc<Self>, caller: &Caller) -> Result<(), Error> {
        let user = self.own_account(caller).await?;
        if user.email.is_empty() {
            return Err(invalid("user.email", "is empty; set an address first"));
        }
        let stamp = self.stamp(&users::email_key(&user.email), caller.address)?;
        self.send_proof(user, stamp);
        Ok(())
    }

    /// Sends a link that proves a new user's address, if messages can be sent at all.
    pub(super) fn welcome(self: &Arc<Self>, user: &User) {
        let stamp = match &self.mailer {
            Some(mailer) if !user.email.is_empty() => mailer.stamp(),
            Some(_) | None => return,
        };
        if let Ok(stamp) = stamp {
            self.send_proof(user.clone(), stamp);
        }
    }

    fn send_proof(self: &Arc<Self>, user: User, stamp: Stamp) {
        let auth = self.clone();
        task::spawn("auth-proof-mail", async move {
            let about = About { picture: String::new(), email_key: users::email_key(&user.email) };
            let link = match auth.link(Kind::EmailProof, &user.id, &about).await {
                Ok(link) => link,
                Err(error) => {
                    tracing::warn!(error = %error, "a link that proves an address was not sent");
                    return;
                }
            };
            let text = format!(
                "The user {} at {} gave this address.\n\nIf that was you, open this link within 30 \
                 minutes to confirm it:\n\n{}\n\nIf not, ignore this message.\n",
                user.username, auth.config.issuer, link.url
            );
            let subject = format!("Confirm your address for {}", auth.issuer_host());
            if let Some(mailer) = &auth.mailer {
                mailer.send(stamp, &user.email, &subject, text).await;
            }
        });
    }

    /// Proves an address with the token of a link.
    pub(crate) async fn prove_email(
        &self,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        let attempt = self.link_attempt(address)?;
        let now = self.clock.now();
        let Some((ticket, user)) = self.ticket(Kind::EmailProof, token).await? else {
            if let Some(attempt) = attempt {
                attempt.failed(now);
            }
            return Err(Error::Factor(FactorError::LinkInvalid));
        };
        let about = self.about_link(&ticket)?;
        let taken = self.store.take_ticket(ticket.kind, &ticket.hash, now).await?;
        if taken.is_none() || users::email_key(&user.email) != about.email_key {
            return Err(Error::Factor(FactorError::LinkInvalid));
        }
        self.store.prove_email(&user.id, &about.email_key, now).await?;
        let event = Event::new("email.verified", Outcome::Success, format!("user:{}", user.id));
        let event = Event { organization_id: user.organization_id.clone(), address, ..event };
        self.audit(&event.on("user", user.id.to_string()));
        Ok(())
    }

    /// Whether the user receives messages under the present address (`email_verified`).
    pub(crate) async fn is_email_proven(&self, user: &UserId) -> Result<bool, Error> {
        self.store.is_email_proven(user).await
    }

    /// Makes a ticket and the link with its number; older ones of the kind are void.
    async fn link(&self, kind: Kind, user: &UserId, about: &About) -> Result<Link, Error> {
        let (number, hash) = tickets::number();
        let state = serde_json::to_vec(about).map_err(|_| Error::Row { what: "ticket" })?;
        let expires_at = self.clock.now() + kind.lifetime();
        let ticket = Ticket {
            state: self.seal_text(&hash, &state),
            hash,
            kind,
            user_id: Some(user.clone()),
            expires_at,
        };
        self.store.forget_tickets(user, kind).await?;
        self.store.insert_ticket(&ticket).await?;
        let page = if kind == Kind::EmailProof { "verify" } else { "reset" };
        let url = format!("{}/account/{page}?token={number}", self.config.issuer);
        Ok(Link { token: number, url, expires_at })
    }

    /// The ticket with this number and its user, without taking it.
    async fn ticket(&self, kind: Kind, number: &str) -> Result<Option<(Ticket, User)>, Error> {
        if number.len() != 43 {
            return Ok(None);
        }
        let hash = crate::secrets::hash(number);
        let found = self.store.ticket(kind, &hash, self.clock.now()).await?;
        let Some((ticket, id)) = found.and_then(|ticket| {
            let id = ticket.user_id.clone()?;
            Some((ticket, id))
        }) else {
            return Ok(None);
        };
        Ok(self.store.user(&id).await?.map(|user| (ticket, user)))
    }

    fn about_link(&self, ticket: &Ticket) -> Result<About, Error> {
        let state = self.open_text(&ticket.hash, &ticket.state)?;
        serde_json::from_slice(&state).map_err(|_| Error::Row { what: "ticket" })
    }

    /// The right to send one message to a name or address. Used up whether or not there is anybody.
    fn stamp(&self, to: &str, address: Option<IpAddr>) -> Result<Stamp, Error> {
        let mailer = self.mailer.as_ref().ok_or(Error::Factor(FactorError::MailOff))?;
        let now = self.clock.now();
        let axes: Vec<_> =
            [Axis::Message(to)].into_iter().chain(address.map(Axis::Address)).collect();
        let attempt = self.lockout.begin(&axes, now)?;
        let stamp = mailer.stamp()?;
        attempt.failed(now);
        Ok(stamp)
    }

    fn link_attempt(
        &self,
        address: Option<IpAddr>,
    ) -> Result<Option<crate::lockout::Attempt>, Error> {
        let begin = |address| self.lockout.begin(&[Axis::Address(address)], self.clock.now());
        Ok(address.map(begin).transpose()?)
    }

    /// Tells the owner that the password is another, in case it was not them.
    fn tell_of_new_password(&self, user: &User) {
        let Some(mailer) = self.mailer.clone() else {
            return;
        };
        let Ok(stamp) = mailer.stamp() else {
            return;
        };
        if user.email.is_empty() {
            return;
        }
        let text = format!(
            "The password of {} at {} was changed just now.\n\nIf that was not you, tell the people \
             who run the service at once.\n",
            user.username, self.config.issuer
        );
        let subject = format!("Your password for {} was changed", self.issuer_host());
        let to = user.email.clone();
        task::spawn("auth-notice-mail", async move {
            mailer.send(stamp, &to, &subject, text).await;
        });
    }
}

fn check_new(new: &Secret, user: &User) -> Result<(), Error> {
    passwords::check(new.expose(), &user.username, &user.email).map_err(Error::PasswordWeak)
}

fn invalid(field: &'static str, text: &str) -> Error {
    Error::UserInvalid(vec![Violation { field, text: text.to_owned() }])
}

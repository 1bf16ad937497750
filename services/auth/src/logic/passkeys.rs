//! Registering passkeys and logging in with them.

use std::net::IpAddr;

use serde_json::Value;

use super::{Auth, credentials::Recent, factors::factor_name, sessions::Tokens};
use crate::{
    Error,
    audit::{Event, Outcome},
    domain::{
        FactorId,
        factors::{Factor, Kind},
        tickets::{self, Kind as TicketKind, Ticket},
        users::User,
    },
    error::FactorError,
    lockout::Axis,
    passkeys::Passkeys,
    secrets,
};

/// How a passkey proves somebody (RFC 8176): a key in hardware or like it, the user verified by it, and
/// with that two factors.
pub(crate) const METHODS: [&str; 3] = ["hwk", "user", "mfa"];

/// The first half of a ceremony, for a browser.
pub(crate) struct Ceremony {
    pub(crate) id: String,
    pub(crate) options: Value,
}

impl Auth {
    /// Begins to register a passkey of the caller.
    pub(crate) async fn begin_passkey(&self, recent: &Recent) -> Result<Ceremony, Error> {
        let user = &recent.user;
        self.check_room(&user.id).await?;
        let factors = self.store.factors(&user.id).await?;
        let others: Vec<String> =
            factors.into_iter().filter_map(|factor| factor.credential_id).collect();
        let begun = self.passkeys.begin_registration(user, &others)?;
        self.keep(TicketKind::PasskeyRegistration, Some(user), &begun.state, begun.options).await
    }

    /// Registers a passkey of the caller.
    pub(crate) async fn finish_passkey(
        &self,
        recent: &Recent,
        ceremony: &str,
        name: &str,
        answer: Value,
    ) -> Result<Factor, Error> {
        let user = &recent.user;
        let name = factor_name(name, "Passkey")?;
        let (ticket, state) = self.begun(TicketKind::PasskeyRegistration, ceremony).await?;
        if ticket.user_id.as_ref() != Some(&user.id) {
            return Err(Error::Factor(FactorError::PasskeyRefused));
        }
        let kept = self.passkeys.finish_registration(&state, answer)?;
        let now = self.clock.now();
        let factor = Factor {
            id: FactorId::generate(),
            user_id: user.id.clone(),
            kind: Kind::Passkey,
            name,
            data: kept.data,
            credential_id: Some(kept.credential_id),
            counter: kept.counter,
            confirmed_at: Some(now),
            created_at: now,
            used_at: None,
        };
        if !self
            .store
            .insert_factor(&factor, now.before(std::time::Duration::from_hours(1)))
            .await?
        {
            return Err(Error::Factor(FactorError::PasskeyRefused));
        }
        let event = recent.event("factor.confirmed", Outcome::Success);
        self.audit(&event.on("factor", factor.id.to_string()));
        Ok(factor)
    }

    /// Begins a login with a passkey, of nobody in particular.
    pub(crate) async fn begin_passkey_login(&self) -> Result<Ceremony, Error> {
        let begun = self.passkeys.begin_login()?;
        self.keep(TicketKind::PasskeyLogin, None, &begun.state, begun.options).await
    }

    /// Whose passkey answered. No account's lockout stands in its way: it cannot be guessed, and it is
    /// the way in for an owner whose password others keep locked.
    pub(crate) async fn check_passkey(
        &self,
        ceremony: &str,
        answer: Value,
        address: Option<IpAddr>,
    ) -> Result<User, Error> {
        let axes: Vec<_> = address.map(Axis::Address).into_iter().collect();
        let attempt = self.lockout.begin(&axes, self.clock.now())?;
        let user = self.try_passkey(ceremony, answer).await;
        match &user {
            Ok(user) => {
                attempt.succeeded();
                self.lockout.clear(&Axis::Account(&user.id));
            }
            Err(Error::Factor(FactorError::PasskeyRefused)) => {
                attempt.failed(self.clock.now());
                let event = Event::new("user.login", Outcome::Failure, "anonymous");
                self.audit(&Event { address, ..event }.with("wrong", "passkey"));
            }
            Err(_) => {}
        }
        user
    }

    async fn try_passkey(&self, ceremony: &str, answer: Value) -> Result<User, Error> {
        let (_, state) = self.begun(TicketKind::PasskeyLogin, ceremony).await?;
        let claim = Passkeys::claim(&answer)?;
        let kept = self
            .store
            .passkey(&claim.credential_id)
            .await?
            .ok_or(Error::Factor(FactorError::PasskeyRefused))?;
        if claim.user_id.as_ref() != Some(&kept.user_id) {
            return Err(Error::Factor(FactorError::PasskeyRefused));
        }
        let used = self.passkeys.finish_login(&state, answer, &kept.data)?;
        let user = self
            .acting_user(&kept.user_id)
            .await
            .map_err(|_| Error::Factor(FactorError::PasskeyRefused))?;
        let now = self.clock.now();
        if !self.store.use_passkey(&kept.id, used.counter, &used.data, now).await? {
            // Its count did not grow: there are two of it.
            return Err(Error::Factor(FactorError::PasskeyRefused));
        }
        Ok(user)
    }

    /// Logs a user in with a passkey.
    pub(crate) async fn login_with_passkey(
        &self,
        ceremony: &str,
        answer: Value,
        address: Option<IpAddr>,
    ) -> Result<Tokens, Error> {
        let result = match self.check_passkey(ceremony, answer, address).await {
            Ok(user) => self.begin_session(&user, &METHODS, address).await,
            Err(error) => Err(error),
        };
        self.count_login(result.is_ok());
        result
    }

    async fn keep(
        &self,
        kind: TicketKind,
        user: Option<&User>,
        state: &str,
        options: Value,
    ) -> Result<Ceremony, Error> {
        let (id, hash) = tickets::number();
        let ticket = Ticket {
            state: self.seal_text(&hash, state.as_bytes()),
            hash,
            kind,
            user_id: user.map(|user| user.id.clone()),
            expires_at: self.clock.now() + kind.lifetime(),
        };
        self.store.insert_ticket(&ticket).await?;
        Ok(Ceremony { id, options })
    }

    /// Takes the state of a ceremony, once.
    async fn begun(&self, kind: TicketKind, id: &str) -> Result<(Ticket, String), Error> {
        let hash = secrets::hash(id);
        let ticket = self.store.take_ticket(kind, &hash, self.clock.now()).await?;
        let ticket = ticket.ok_or(Error::Factor(FactorError::PasskeyRefused))?;
        let state = self.open_text(&ticket.hash, &ticket.state)?;
        let state = String::from_utf8(state).map_err(|_| Error::Row { what: "ticket" })?;
        Ok((ticket, state))
    }
}

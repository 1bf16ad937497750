//! People who log in elsewhere: coming back, becoming a user, linking an account.
//!
//! The way back is good once, and only in the browser that set out: its state is a ticket, and the
//! ticket knows a secret that stands in a cookie of that browser. A person from elsewhere is found by
//! issuer and subject alone. An address never links anybody, however verified it is: only a user who is
//! logged in links an account, and whoever is new becomes a new user.

use lightning_mesh::identity::DEFAULT_ORGANIZATION;
use serde::{Deserialize, Serialize};

use super::Auth;
use crate::{
    Error,
    audit::{Event, Outcome},
    domain::{
        UserId,
        permissions::Role,
        tickets::{self, Kind, Ticket},
        upstream::Identity,
        users::{Draft, User},
    },
    error::FactorError,
    passwords::Passwords,
    secrets,
    upstream::Pending,
};

/// What is remembered until the browser is back.
#[derive(Serialize, Deserialize)]
struct Way {
    name: String,
    /// Hash of the secret in the browser's cookie.
    browser: String,
    /// What the browser was about to do, as a query.
    then: String,
    pending: Pending,
}

/// What a browser brings back.
pub(crate) struct Return<'a> {
    /// The provider in the address.
    pub(crate) name: &'a str,
    pub(crate) state: &'a str,
    pub(crate) code: &'a str,
    /// Who says that it answers (RFC 9207).
    pub(crate) iss: Option<&'a str>,
    /// The secret in the browser's cookie.
    pub(crate) browser: &'a str,
}

/// Who came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Somebody who wants to log in.
    Login(User),
    /// A user whose account is linked from now on.
    Linked(User),
}

impl Auth {
    /// The providers to offer: names in addresses and on pages.
    pub(crate) fn upstreams(&self) -> Vec<(&str, &str)> {
        self.upstreams.names()
    }

    /// Where to send a browser that wants to log in elsewhere, or to link the account of `user`.
    pub(crate) async fn begin_upstream(
        &self,
        name: &str,
        browser: &str,
        user: Option<&UserId>,
        then: &str,
    ) -> Result<String, Error> {
        let (state, hash) = tickets::number();
        let begun = self.upstreams.begin(name, &state, &self.clock).await?;
        let way = Way {
            name: name.to_owned(),
            browser: secrets::hash(browser),
            then: then.to_owned(),
            pending: begun.pending,
        };
        let way = serde_json::to_vec(&way).map_err(|_| Error::Row { what: "ticket" })?;
        let ticket = Ticket {
            state: self.seal_text(&hash, &way),
            hash,
            kind: Kind::Upstream,
            user_id: user.cloned(),
            expires_at: self.clock.now() + Kind::Upstream.lifetime(),
        };
        self.store.insert_ticket(&ticket).await?;
        Ok(begun.url)
    }

    /// Takes in a browser that comes back; answers what it was about to do as well.
    pub(crate) async fn finish_upstream(
        &self,
        back: &Return<'_>,
    ) -> Result<(Arrival, String), Error> {
        let now = self.clock.now();
        let hash = secrets::hash(back.state);
        let ticket = self.store.take_ticket(Kind::Upstream, &hash, now).await?;
        let ticket = ticket.ok_or(Error::Factor(FactorError::UpstreamRefused))?;
        let way = self.open_text(&ticket.hash, &ticket.state)?;
        let way: Way = serde_json::from_slice(&way).map_err(|_| Error::Row { what: "ticket" })?;
        let is_same_browser = way.browser == secrets::hash(back.browser);
        let is_its_issuer = back.iss.is_none_or(|iss| self.upstreams.is_issuer(&way.name, iss));
        if way.name != back.name || !is_same_browser || !is_its_issuer {
            return Err(Error::Factor(FactorError::UpstreamRefused));
        }
        let identity =
            self.upstreams.finish(&way.name, back.code, &way.pending, &self.clock).await?;
        let arrival = match ticket.user_id {
            Some(user) => Arrival::Linked(self.link_upstream(&user, &identity).await?),
            None => Arrival::Login(self.login_upstream(&way.name, &identity).await?),
        };
        Ok((arrival, way.then))
    }

    async fn link_upstream(&self, user: &UserId, identity: &Identity) -> Result<User, Error> {
        let user = self
            .acting_user(user)
            .await
            .map_err(|_| Error::Factor(FactorError::UpstreamRefused))?;
        let is_new = self.store.link(identity, &user.id, self.clock.now()).await?;
        let linked = self.store.linked_user(identity).await?;
        if linked.as_ref() != Some(&user.id) {
            return Err(Error::Factor(FactorError::UpstreamRefused));
        }
        if is_new {
            let event = Event::new("account.linked", Outcome::Success, format!("user:{}", user.id));
            self.audit(&event.with("issuer", identity.issuer.clone()));
        }
        Ok(user)
    }

    async fn login_upstream(&self, name: &str, identity: &Identity) -> Result<User, Error> {
        if let Some(user) = self.store.linked_user(identity).await? {
            return self
                .acting_user(&user)
                .await
                .map_err(|_| Error::Factor(FactorError::UpstreamRefused));
        }
        // The first user is made on the machine itself, whoever knocks from elsewhere.
        if !self.upstreams.registers(name) || self.store.users().await? == 0 {
            return Err(Error::Factor(FactorError::UpstreamRefused));
        }
        let username = identity.new_username(&secrets::random_base62(6));
        let email = identity.email.clone().unwrap_or_default();
        let draft = Draft::try_new(&username, &email, &identity.display_name, Vec::new())
            .or_else(|_| Draft::try_new(&username, "", "", Vec::new()))
            .map_err(Error::user_invalid)?;
        let hash = Passwords::unusable();
        let mut user = draft.into_user(
            UserId::generate(),
            DEFAULT_ORGANIZATION.to_owned(),
            vec![Role::Viewer.name().to_owned()],
            self.clock.now(),
        );
        match self.store.insert_linked_user(&user, &hash, identity).await {
            // Somebody has the address: that neither links nor refuses the newcomer.
            Err(Error::UserExists { field: "email" }) => {
                user.email = String::new();
                self.store.insert_linked_user(&user, &hash, identity).await?;
            }
            other => other?,
        }
        self.access.changed().await;
        let event = Event::new("user.registered", Outcome::Success, format!("user:{}", user.id));
        self.audit(&event.with("issuer", identity.issuer.clone()));
        Ok(user)
    }
}

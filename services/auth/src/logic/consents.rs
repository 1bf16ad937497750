//! What users allow applications: asking, remembering, taking back.

use super::Auth;
use crate::{
    Error,
    audit::{Event, Outcome},
    domain::{
        UserId, clients::Client, consents::Consent, principals::Subject,
        requests::AuthorizationRequest,
    },
};

impl Auth {
    /// Whether the user need not be asked: the application is ours, or everything was allowed before. An
    /// application that anybody on the user's machine could pose as is asked about each time: it has no
    /// secret, and its address is any port of the machine (RFC 8252 section 8.6).
    pub(crate) async fn has_agreed(
        &self,
        user: &UserId,
        client: &Client,
        request: &AuthorizationRequest,
        scopes: &[String],
    ) -> Result<bool, Error> {
        if client.first_party {
            return Ok(true);
        }
        if client.is_public() && !request.is_exact {
            return Ok(false);
        }
        let known = self.store.consent(user, &client.id).await?;
        Ok(known.is_some_and(|known| known.covers(scopes, &request.resources)))
    }

    /// Remembers that a user agreed.
    pub(crate) async fn agree(
        &self,
        user: &UserId,
        client: &Client,
        scopes: &[String],
        resources: &[String],
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let known = self.store.consent(user, &client.id).await?.unwrap_or_else(|| Consent {
            user_id: user.clone(),
            client_id: client.id.clone(),
            scopes: Vec::new(),
            resources: Vec::new(),
            created_at: now,
            updated_at: now,
        });
        self.store.keep_consent(&known.and(scopes, resources, now)).await?;
        let event = self.about(user, client.id.as_str(), "consent.granted", Outcome::Success);
        self.audit(&event.with("scopes", scopes.join(" ")));
        Ok(())
    }

    /// Notes that a user did not agree.
    pub(crate) fn declined(&self, user: &UserId, client_id: &str) {
        self.audit(&self.about(user, client_id, "consent.granted", Outcome::Denied));
    }

    pub(crate) async fn consents(&self, user: &UserId) -> Result<Vec<Consent>, Error> {
        self.store.consents_of(user).await
    }

    /// Takes a consent back: the application is asked about again, and its grants end.
    pub(crate) async fn revoke_consent(&self, user: &UserId, client_id: &str) -> Result<(), Error> {
        let now = self.clock.now();
        let had = self.store.delete_consent(user, client_id).await?;
        for id in self.store.grants_for(user, client_id, now).await? {
            self.end(&id, now).await?;
        }
        if had {
            self.audit(&self.about(user, client_id, "consent.revoked", Outcome::Success));
        }
        Ok(())
    }

    pub(super) fn about(
        &self,
        user: &UserId,
        client_id: &str,
        action: &'static str,
        outcome: Outcome,
    ) -> Event {
        let event = Event::new(action, outcome, Subject::User(user.to_string()).full());
        let event = Event { client_id: Some(client_id.to_owned()), ..event };
        event.on("client", client_id)
    }
}

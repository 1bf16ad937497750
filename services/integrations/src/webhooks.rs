//! Webhooks: registers addresses, receives what is sent to them, and lists it.
//!
//! An event is believed by its signature alone and is on disk before it is acknowledged; starting its
//! workflow is the business of [`delivery`], which is only woken from here. A webhook acts with the
//! authority of whoever registered it, never with more.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lightning_mesh::{
    audit::Reports, channel::Peers, clock::Clock, idempotency::Key, identity::Caller,
};
use lightning_proto::workflows::v1::{
    GetWorkflowRequest, workflow_service_client::WorkflowServiceClient,
};
use lightning_store::Outcome;
use tokio::sync::Notify;
use tonic::Code;

use crate::{
    Error,
    domain::{Event, EventStatus, MAX_EVENT_BYTES, Scheme, Violation, Webhook, WebhookId},
    hub::{self, Made},
    seal::{self, Keyring},
    store::{Listing, Store},
};

pub(crate) mod delivery;
pub(crate) mod signature;

/// What generated secrets begin with, as Standard Webhooks wants it.
const SECRET_PREFIX: &str = "whsec_";
/// The random bytes of a generated secret.
const SECRET_BYTES: usize = 32;

/// Keeps webhooks and their events.
pub(crate) struct Webhooks {
    pub(crate) store: Store,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Clock,
    pub(crate) peers: Peers,
    /// Wakes the delivery.
    pub(crate) wake: Arc<Notify>,
    /// Where showing a secret again is reported.
    pub(crate) reports: Reports,
}

/// What a caller gives for a new webhook. No `Debug`: it holds a secret.
pub(crate) struct Registration {
    pub(crate) name: String,
    pub(crate) scheme: Scheme,
    pub(crate) secret: Option<String>,
    pub(crate) workflow_id: Option<String>,
}

/// A delivery as it came.
pub(crate) struct Delivery {
    pub(crate) headers: signature::Headers,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

// === impl Webhooks ===

impl Webhooks {
    /// Registers a webhook; answers it with its open secret, which is shown this once.
    pub(crate) async fn register(
        &self,
        caller: &Caller,
        registration: Registration,
        repeat: Option<Key>,
        reply: impl Fn(&Webhook) -> Vec<u8>,
    ) -> Result<(Made<Webhook>, String), Error> {
        let Registration { name, scheme, secret, workflow_id } = registration;
        if let Some(id) = &workflow_id {
            self.check_workflow(caller, id).await?;
        }
        let secret = match secret {
            Some(secret) => secret,
            None => format!("{SECRET_PREFIX}{}", STANDARD.encode(seal::random::<SECRET_BYTES>()?)),
        };
        if signature::key(scheme, &secret).is_none() {
            let why = "must be base64, with or without the prefix whsec_, for the scheme standard";
            return Err(Error::WebhookInvalid(vec![Violation::new("secret", why)]));
        }
        let id = WebhookId::generate();
        let webhook = Webhook {
            sealed: self.keyring.seal(&place(&id), secret.as_bytes())?,
            id,
            name,
            scheme,
            workflow_id,
            owner: caller.detached().member_of(caller.organization()?),
            created_at: self.clock.now(),
        };
        let once =
            repeat.map(|repeat| hub::once(repeat, &self.keyring, reply(&webhook))).transpose()?;
        match self.store.insert_webhook(&webhook, once).await? {
            Outcome::Done(_) => {}
            // The kept answer has no secret; whoever repeats the request gets it from the webhook.
            Outcome::Replayed(before) => return Ok((Made::Before(before), String::new())),
            Outcome::Mismatch => return Err(Error::KeyReused),
        }
        tracing::info!(webhook_id = %webhook.id, caller = caller.subject, "webhook registered");
        Ok((Made::New(webhook), secret))
    }

    /// The open secret of a webhook, for the repetition of its registration.
    pub(crate) async fn secret(&self, caller: &Caller, id: &WebhookId) -> Result<String, Error> {
        let webhook = self.store.webhook(caller.organization()?, id).await?;
        let secret = self.open_secret(&webhook)?;
        self.reports.secret_used(caller, "webhook", id.as_str());
        Ok(secret)
    }

    /// The webhook of an id.
    pub(crate) async fn get(&self, organization: &str, id: &WebhookId) -> Result<Webhook, Error> {
        self.store.webhook(organization, id).await
    }

    /// A page of webhooks.
    pub(crate) async fn list(&self, listing: &Listing<'_>) -> Result<Vec<Webhook>, Error> {
        self.store.webhooks(listing).await
    }

    /// Deletes a webhook with its events.
    pub(crate) async fn delete(&self, caller: &Caller, id: &WebhookId) -> Result<(), Error> {
        self.store.delete_webhook(caller.organization()?, id).await?;
        tracing::info!(webhook_id = %id, caller = caller.subject, "webhook deleted");
        Ok(())
    }

    /// A page of the events of a webhook, newest first.
    pub(crate) async fn events(
        &self,
        id: &WebhookId,
        listing: &Listing<'_>,
    ) -> Result<Vec<Event>, Error> {
        self.store.webhook(listing.organization, id).await?;
        self.store.events(id, listing).await
    }

    /// Receives a delivery; answers the id of its event, which is on disk by then.
    pub(crate) async fn receive(
        &self,
        id: &WebhookId,
        delivery: Delivery,
    ) -> Result<String, Error> {
        let webhook = self.store.webhook_of_anybody(id).await?;
        if delivery.body.len() > MAX_EVENT_BYTES {
            let why = format!("must have at most {MAX_EVENT_BYTES} bytes");
            return Err(Error::WebhookInvalid(vec![Violation::new("body", why)]));
        }
        let secret = self.open_secret(&webhook)?;
        let now = self.clock.now();
        let sender_id =
            signature::verify(webhook.scheme, &secret, &delivery.headers, &delivery.body, now)?;
        let waits = webhook.workflow_id.is_some();
        let event = Event {
            organization_id: webhook.owner.organization_id,
            id: sender_id.unwrap_or_else(lightning_mesh::id::generate),
            webhook_id: webhook.id,
            status: if waits { EventStatus::Pending } else { EventStatus::Delivered },
            content_type: delivery.content_type,
            body: delivery.body,
            execution_id: None,
            error: None,
            attempts: 0,
            created_at: now,
        };
        if self.store.insert_event(&event).await? && waits {
            self.wake.notify_one();
        }
        Ok(event.id)
    }

    async fn check_workflow(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        // Its events would be refused one by one later, when nobody is looking.
        caller.require("workflows.execute")?;
        let mut workflows = WorkflowServiceClient::new(self.peers.channel("workflows"));
        match workflows.get_workflow(caller.request(GetWorkflowRequest { id: id.to_owned() })).await
        {
            Ok(_) => Ok(()),
            Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => {
                Err(Error::WorkflowNotFound { id: crate::domain::cut(id, 128) })
            }
            Err(status) => Err(Error::Peer(Box::new(status))),
        }
    }

    fn open_secret(&self, webhook: &Webhook) -> Result<String, Error> {
        let plain = self.keyring.open_sealed(&place(&webhook.id), &webhook.sealed)?;
        String::from_utf8(plain).map_err(|_| Error::CredentialsUnreadable)
    }
}

/// What a sealed secret is bound to.
fn place(id: &WebhookId) -> String {
    format!("webhook/{id}/secret")
}

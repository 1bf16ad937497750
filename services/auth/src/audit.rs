//! The audit trail: who did what to what, and how it ended.
//!
//! Every login, grant, denial, administrative change and use of a secret is an [`Event`]. An event holds
//! names and ids and never a secret, a token or a code.

use lightning_mesh::identity::Caller;

use crate::logic::Auth;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    Denied,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// What, such as `user.login`, `token.issued`, `client.registered`, `role.updated`.
    pub(crate) action: &'static str,
    pub(crate) outcome: Outcome,
    /// Who did it, as the mesh writes subjects.
    pub(crate) subject: String,
    pub(crate) organization_id: String,
    /// Who acted for the subject, the nearest first.
    pub(crate) actors: Vec<String>,
    pub(crate) client_id: Option<String>,
    /// From where.
    pub(crate) address: Option<std::net::IpAddr>,
    /// What it was done to: a kind and an id.
    pub(crate) resource: Option<(&'static str, String)>,
    /// Further facts: names and values, none of them secret.
    pub(crate) details: Vec<(&'static str, String)>,
}

// === impl Event ===

impl Event {
    pub(crate) fn new(action: &'static str, outcome: Outcome, subject: impl Into<String>) -> Self {
        Self {
            action,
            outcome,
            subject: subject.into(),
            organization_id: String::new(),
            actors: Vec::new(),
            client_id: None,
            address: None,
            resource: None,
            details: Vec::new(),
        }
    }

    /// Something that a caller did.
    pub(crate) fn by(caller: &Caller, action: &'static str, outcome: Outcome) -> Self {
        Self {
            organization_id: caller.organization_id.clone(),
            actors: caller.actors.clone(),
            client_id: caller.client_id.clone(),
            address: caller.address,
            ..Self::new(action, outcome, &caller.subject)
        }
    }

    #[must_use]
    pub(crate) fn on(mut self, kind: &'static str, id: impl Into<String>) -> Self {
        self.resource = Some((kind, id.into()));
        self
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }
}

impl Auth {
    /// Notes an event.
    pub(crate) fn audit(&self, event: &Event) {
        tracing::info!(
            target: "audit",
            action = event.action,
            outcome = ?event.outcome,
            subject = event.subject,
            organization_id = event.organization_id,
            client_id = event.client_id,
            resource = ?event.resource,
            details = ?event.details,
            "audit"
        );
    }
}

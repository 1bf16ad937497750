//! The audit trail: who did what to what, and how it ended.
//!
//! Every login, grant, denial, administrative change and use of a secret is an [`Event`]. An event holds
//! names and ids and never a secret, a token or a code; what looks like one is taken out before it is
//! kept. Events are kept in one chain for the installation (`audit/chain.rs`) by one writer
//! (`audit/writer.rs`).
//!
//! `Auth::audited` answers when the event is on disk, together with others in one flush; changes by
//! administrators wait for it before they are acknowledged. `Auth::audit` does not wait, so that the
//! path on which tokens are issued costs no flush: a crash loses the events of the last milliseconds,
//! and of tokens that a program fetches again and again only the first of ten seconds is an event of
//! its own, the others are counted.

use lightning_mesh::identity::Caller;

mod chain;
mod writer;

pub(crate) use chain::{Entry, Link, Verdict, entry_of_content};
pub(crate) use writer::Audit;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    Denied,
}

// === impl Outcome ===

impl Outcome {
    pub(crate) const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Denied];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Denied => "denied",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
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

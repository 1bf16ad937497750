//! The RPCs: decode, ask, encode. Nothing is decided here.
//!
//! Whoever arrives was let in by the gate, which enforces the permission that the contract names for
//! the method. One file per service of the contract.

use std::sync::Arc;

use crate::{
    agents::Agents, deployments::Deployments, invocations::Invocations, templates::Templates,
};

mod agents;
mod deployments;
mod templates;

/// What the RPCs ask. Clones share everything.
#[derive(Clone)]
pub(crate) struct Api {
    agents: Agents,
    deployments: Deployments,
    invocations: Invocations,
    templates: Arc<Templates>,
}

// === impl Api ===

impl Api {
    pub(crate) fn new(
        agents: Agents,
        deployments: Deployments,
        invocations: Invocations,
        templates: Arc<Templates>,
    ) -> Self {
        Self { agents, deployments, invocations, templates }
    }
}

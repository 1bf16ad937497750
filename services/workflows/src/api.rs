//! The tonic traits: decode, call, encode. One file per service of the contract.

use crate::{executions::Executions, workflows::Workflows};

mod executions;
mod watch;
mod workflows;

/// What the RPCs work on.
#[derive(Clone)]
pub(crate) struct Api {
    workflows: Workflows,
    executions: Executions,
}

// === impl Api ===

impl Api {
    pub(crate) fn new(workflows: Workflows, executions: Executions) -> Self {
        Self { workflows, executions }
    }
}

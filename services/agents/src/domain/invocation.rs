//! Invocations: what an agent is asked and what it answers.
//!
//! An invocation is not kept: what it cost is recorded by the models service, its steps (if a workflow
//! answered) by the workflows service, and what was said belongs to the caller.

use std::{collections::BTreeMap, time::Duration};

use lightning_mesh::clock::Timestamp;
use serde_json::Value;

use super::{AgentId, Deployment, DeploymentId, InvocationId};

/// The most characters of an input, and of each turn before it.
pub(crate) const MAX_INPUT: usize = 100_000;
/// The most turns before the input.
pub(crate) const MAX_HISTORY: usize = 200;

/// The most bytes of a context as JSON.
pub(crate) const MAX_CONTEXT: usize = 256 * 1024;

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Assistant,
}

/// Something that was said before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) role: Role,
    pub(crate) content: String,
}

/// What an agent is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    pub(crate) agent_id: AgentId,
    pub(crate) environment: String,
    pub(crate) input: String,
    pub(crate) context: BTreeMap<String, Value>,
    /// Oldest first.
    pub(crate) history: Vec<Turn>,
}

/// What the model or the workflow behind an agent said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) output: String,
    /// Empty when a workflow answered.
    pub(crate) model: String,
    pub(crate) finish_reason: String,
    pub(crate) input_tokens: i64,
    pub(crate) output_tokens: i64,
    pub(crate) cost_usd: f64,
    /// Empty when a model answered.
    pub(crate) execution_id: String,
}

/// An answer with where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Invocation {
    pub(crate) id: InvocationId,
    pub(crate) agent_id: AgentId,
    pub(crate) agent_version: i32,
    pub(crate) deployment_id: DeploymentId,
    pub(crate) answer: Answer,
    pub(crate) latency: Duration,
    pub(crate) create_time: Timestamp,
}

/// The system message: the instructions, and the context as JSON below them. `None` if there is neither.
///
/// Keys are sorted, so that the same context is the same text and a provider's prompt cache can help.
pub(crate) fn system_message(
    instructions: &str,
    context: &BTreeMap<String, Value>,
) -> Option<String> {
    if context.is_empty() {
        return (!instructions.is_empty()).then(|| instructions.to_owned());
    }
    let facts = serde_json::to_string_pretty(context).expect("JSON values always serialize");
    let heading = if instructions.is_empty() { "" } else { "\n\n" };
    Some(format!("{instructions}{heading}Context (JSON):\n{facts}"))
}

// === impl Role ===

impl Role {
    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::User, Self::Assistant].into_iter().find(|role| role.as_str() == word)
    }
}

// === impl Invocation ===

impl Invocation {
    /// The answer of a deployment.
    pub(crate) fn new(
        id: InvocationId,
        deployment: &Deployment,
        answer: Answer,
        create_time: Timestamp,
        latency: Duration,
    ) -> Self {
        Self {
            id,
            agent_id: deployment.agent_id.clone(),
            agent_version: deployment.agent_version,
            deployment_id: deployment.id.clone(),
            answer,
            latency,
            create_time,
        }
    }
}

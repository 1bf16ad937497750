//! The record of one call of a model, and the sums over many.

use lightning_mesh::clock::Timestamp;

use super::Usage;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Embeddings,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered.
    Ok,
    /// The provider failed or refused; costs nothing.
    Failed,
    /// The caller went away; what was read and written until then counts.
    Cancelled,
}

/// One call of a model. It never holds a prompt or an answer.
#[derive(Debug, Clone)]
pub(crate) struct CallRecord {
    pub(crate) id: String,
    pub(crate) create_time: Timestamp,
    pub(crate) model: String,
    pub(crate) provider: String,
    /// The organisation that it is charged to.
    pub(crate) organization_id: String,
    /// Who asked: the subject of the caller.
    pub(crate) caller: String,
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    pub(crate) usage: Usage,
    /// Whether the tokens were counted here because the provider did not say.
    pub(crate) estimated: bool,
    /// In nano-dollars.
    pub(crate) cost: i64,
    pub(crate) latency_micros: i64,
}

/// How costs are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupBy {
    Model,
    Provider,
    Caller,
    Day,
}

/// One part of the costs; `cost` in nano-dollars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CostLine {
    pub(crate) key: String,
    pub(crate) cost: i64,
    pub(crate) requests: i64,
    pub(crate) usage: Usage,
}

/// What a span of time cost: all of it, and its dearest parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Costs {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) total: CostLine,
    pub(crate) lines: Vec<CostLine>,
}

// === impl Kind ===

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
        }
    }
}

// === impl Outcome ===

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

// === impl GroupBy ===

impl GroupBy {
    /// From the word of the contract; empty is by model.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "model" => Some(Self::Model),
            "provider" => Some(Self::Provider),
            "caller" => Some(Self::Caller),
            "day" => Some(Self::Day),
            _ => None,
        }
    }
}

/// Dollars from nano-dollars, for showing.
pub(crate) fn dollars(nanos: i64) -> f64 {
    // Exact below 2^53 nano-dollars, which is nine million dollars.
    nanos as f64 / 1e9
}

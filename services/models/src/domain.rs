//! What the trade of this service is about: models, conversations with them, and what those cost.
//!
//! Plain types and rules without I/O, wire formats or SQL, so that the providers, the two request
//! surfaces (ours and OpenAI's) and the store agree on one meaning. Money is whole nano-dollars,
//! because sums of doubles drift.

mod chat;
mod cost;
mod model;

pub(crate) use chat::{
    ChatAnswer, ChatRequest, Delta, EmbedRequest, Embeddings, FinishReason, Format, Message, Role,
    Sampling, Tool, ToolCall, ToolChoice, Usage,
};
pub(crate) use cost::{CallRecord, CostLine, Costs, GroupBy, Kind, Outcome, dollars};
pub(crate) use model::{Capability, Model, ModelId, Prices, Registration, Source};

#[cfg(test)]
mod tests;

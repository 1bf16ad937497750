//! A conversation with a model, independent of who asks and who answers.

use serde_json::{Map, Value};

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    System,
    User,
    Assistant,
    Tool,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) role: Role,
    pub(crate) content: String,
    /// The calls that an assistant asked for.
    pub(crate) tool_calls: Vec<ToolCall>,
    /// Which call a tool's message answers; empty otherwise.
    pub(crate) tool_call_id: String,
}

/// A call that a model asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ToolCall {
    pub(crate) id: String,
    pub(crate) name: String,
    /// JSON text as the model wrote it: models make mistakes, and the caller is who can judge them.
    pub(crate) arguments: String,
}

/// A tool that a model may ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: String,
    /// The JSON Schema of its arguments.
    pub(crate) parameters: Option<Value>,
}

/// Whether the model may, must or must not ask for a tool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ToolChoice {
    #[default]
    Auto,
    None,
    Required,
    Named(String),
}

/// What the text of the answer must be.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Format {
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema; the name is for providers that want one.
    Schema { name: String, schema: Value },
}

/// How the answer is drawn and where it ends.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sampling {
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    /// In tokens.
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) stop: Vec<String>,
}

/// One question to a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ChatRequest {
    pub(crate) messages: Vec<Message>,
    pub(crate) sampling: Sampling,
    pub(crate) tools: Vec<Tool>,
    pub(crate) tool_choice: ToolChoice,
    pub(crate) format: Format,
    /// Further OpenAI fields that are handed to OpenAI-compatible providers as they are.
    pub(crate) extra: Map<String, Value>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FinishReason {
    #[default]
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

/// Tokens read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) input_tokens: i64,
    pub(crate) output_tokens: i64,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ChatAnswer {
    pub(crate) text: String,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) finish: FinishReason,
    /// Missing when the provider does not say.
    pub(crate) usage: Option<Usage>,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Delta {
    /// Text to append.
    Text(String),
    /// A piece of the tool call at `index`: id and name come once, arguments are appended.
    ToolCall { index: usize, id: Option<String>, name: Option<String>, arguments: String },
    /// The end. Nothing follows.
    End { finish: FinishReason, usage: Option<Usage> },
}

/// Texts to turn into vectors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EmbedRequest {
    pub(crate) inputs: Vec<String>,
    /// How long the vectors are to be; the model's own length when absent.
    pub(crate) dimensions: Option<u32>,
}

/// One vector for each text, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Embeddings {
    pub(crate) vectors: Vec<Vec<f32>>,
    pub(crate) usage: Option<Usage>,
}

// === impl Role ===

impl Role {
    /// The word of the contract, which is also OpenAI's.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// From the word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::System, Self::User, Self::Assistant, Self::Tool]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

// === impl Message ===

impl Message {
    /// A message that is only text.
    pub(crate) fn text(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: String::new() }
    }
}

// === impl FinishReason ===

impl FinishReason {
    /// The word of the contract, which is also OpenAI's.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }

    /// From a provider's word; words that are not OpenAI's count as a normal end.
    pub(crate) fn parse(text: &str) -> Self {
        [Self::Length, Self::ToolCalls, Self::ContentFilter]
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .unwrap_or_default()
    }
}

// === impl Usage ===

impl Usage {
    /// Both together.
    pub(crate) fn total(self) -> i64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// The sum of two calls.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
        }
    }
}

// === impl ChatAnswer ===

impl ChatAnswer {
    /// Most tool calls of one answer.
    pub(crate) const MAX_TOOL_CALLS: usize = 128;

    /// Appends a piece. Pieces of tool calls beyond [`Self::MAX_TOOL_CALLS`] are dropped.
    pub(crate) fn push(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) => self.text.push_str(text),
            Delta::ToolCall { index, id, name, arguments } => {
                if *index >= Self::MAX_TOOL_CALLS {
                    return;
                }
                if self.tool_calls.len() <= *index {
                    self.tool_calls.resize_with(*index + 1, ToolCall::default);
                }
                let call = &mut self.tool_calls[*index];
                if let Some(id) = id {
                    call.id.clone_from(id);
                }
                if let Some(name) = name {
                    call.name.clone_from(name);
                }
                call.arguments.push_str(arguments);
            }
            Delta::End { finish, usage } => {
                self.finish = *finish;
                self.usage = *usage;
            }
        }
    }
}

// === impl ChatRequest ===

impl ChatRequest {
    /// The last message that the user wrote.
    pub(crate) fn input(&self) -> &str {
        self.messages
            .iter()
            .rev()
            .find(|message| message.role == Role::User)
            .map_or("", |m| &m.content)
    }
}

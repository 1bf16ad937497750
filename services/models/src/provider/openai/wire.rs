//! OpenAI's JSON: what is sent, and what is read of the answers.
//!
//! Reading is tolerant (missing and null fields, text in parts, arguments as object) because the many
//! servers that speak this format differ in such details; writing keeps to what OpenAI documents.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Upstream, fault};
use crate::domain::{
    ChatAnswer, ChatRequest, Delta, EmbedRequest, Embeddings, FinishReason, Format, Message,
    ToolCall, ToolChoice, Usage,
};

/// Where servers differ in what they accept.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    /// The limit of the answer is called `max_completion_tokens`, not `max_tokens`.
    pub(super) completion_tokens: bool,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Choice {
    message: Option<Piece>,
    delta: Option<Piece>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Piece {
    content: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireCall {
    index: Option<usize>,
    id: Option<String>,
    function: Option<WireFunction>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireFunction {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(default)]
struct WireUsage {
    prompt_tokens: i64,
    completion_tokens: i64,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct EmbeddingList {
    data: Vec<EmbeddingItem>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct EmbeddingItem {
    #[serde(default)]
    index: usize,
    embedding: Vec<f32>,
}

/// Follows a stream and remembers how it ends.
#[derive(Default)]
pub(super) struct Chunks {
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    called: bool,
    /// The index of the last tool call, for servers that leave it out.
    last_call: Option<usize>,
}

/// The body of a chat completion.
pub(super) fn chat_body(
    dialect: Dialect,
    model: &str,
    request: &ChatRequest,
    stream: bool,
) -> Value {
    let mut body: Map<String, Value> = request.extra.clone();
    body.insert("model".to_owned(), model.into());
    body.insert("messages".to_owned(), request.messages.iter().map(message).collect());
    let sampling = &request.sampling;
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    set("temperature", sampling.temperature.map(Value::from));
    set("top_p", sampling.top_p.map(Value::from));
    let limit = if dialect.completion_tokens { "max_completion_tokens" } else { "max_tokens" };
    set(limit, sampling.max_output_tokens.map(Value::from));
    set("stop", (!sampling.stop.is_empty()).then(|| sampling.stop.clone().into()));
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            let mut function = json!({"name": tool.name});
            if !tool.description.is_empty() {
                function["description"] = tool.description.clone().into();
            }
            if let Some(parameters) = &tool.parameters {
                function["parameters"] = parameters.clone();
            }
            json!({"type": "function", "function": function})
        });
        set("tools", Some(tools.collect()));
        set(
            "tool_choice",
            match &request.tool_choice {
                ToolChoice::Auto => None,
                ToolChoice::None => Some("none".into()),
                ToolChoice::Required => Some("required".into()),
                ToolChoice::Named(name) => {
                    Some(json!({"type": "function", "function": {"name": name}}))
                }
            },
        );
    }
    set(
        "response_format",
        match &request.format {
            Format::Text => None,
            Format::JsonObject => Some(json!({"type": "json_object"})),
            Format::Schema { name, schema } => Some(
                json!({"type": "json_schema", "json_schema": {"name": name, "schema": schema}}),
            ),
        },
    );
    if stream {
        set("stream", Some(true.into()));
        set("stream_options", Some(json!({"include_usage": true})));
    }
    Value::Object(body)
}

fn message(message: &Message) -> Value {
    let mut value = json!({"role": message.role.as_str(), "content": message.content});
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            json!({
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            })
        });
        value["tool_calls"] = calls.collect();
        if message.content.is_empty() {
            value["content"] = Value::Null;
        }
    }
    if !message.tool_call_id.is_empty() {
        value["tool_call_id"] = message.tool_call_id.clone().into();
    }
    value
}

/// Reads a whole chat completion.
pub(super) fn answer(body: &[u8]) -> Result<ChatAnswer, Upstream> {
    let completion: Completion = serde_json::from_slice(body)
        .map_err(|_| Upstream::Unreadable("it is not a chat completion in JSON"))?;
    let choice =
        completion.choices.into_iter().next().ok_or(Upstream::Unreadable("it holds no choice"))?;
    let piece = choice.message.ok_or(Upstream::Unreadable("its choice holds no message"))?;
    let finish = choice.finish_reason.as_deref().map(FinishReason::parse);
    let calls = piece.tool_calls.unwrap_or_default().into_iter().take(ChatAnswer::MAX_TOOL_CALLS);
    let tool_calls: Vec<ToolCall> = calls
        .map(|call| {
            let function = call.function.unwrap_or_default();
            ToolCall {
                id: call.id.unwrap_or_default(),
                name: function.name.unwrap_or_default(),
                arguments: arguments(function.arguments),
            }
        })
        .collect();
    Ok(ChatAnswer {
        text: piece
            .content
            .map(text)
            .filter(|text| !text.is_empty())
            .or(piece.refusal)
            .unwrap_or_default(),
        finish: ending(finish.unwrap_or_default(), !tool_calls.is_empty()),
        tool_calls,
        usage: completion.usage.map(usage),
    })
}

// === impl Chunks ===

impl Chunks {
    /// Reads one event's data.
    pub(super) fn read(&mut self, data: &str) -> Result<Vec<Delta>, Upstream> {
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|_| Upstream::Unreadable("a piece of the stream is not a chunk in JSON"))?;
        if let Some(error) = chunk.error {
            let status =
                error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            return Err(match status {
                Some(429) => Upstream::RateLimited { retry_after: None },
                Some(status @ 400..=499) => {
                    Upstream::Rejected { status, message: fault::explain_value(&error) }
                }
                Some(_) | None => Upstream::StreamCut,
            });
        }
        // Some servers repeat the usage on every chunk; the last one counts.
        self.usage = chunk.usage.map(usage).or(self.usage);
        let mut deltas = Vec::new();
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(deltas) };
        let piece = choice.delta.or(choice.message).unwrap_or_default();
        let words = piece.content.map(text).filter(|text| !text.is_empty());
        if let Some(words) = words.or(piece.refusal) {
            deltas.push(Delta::Text(words));
        }
        for call in piece.tool_calls.unwrap_or_default() {
            deltas.push(self.call(call));
        }
        self.finish = choice.finish_reason.as_deref().map(FinishReason::parse).or(self.finish);
        Ok(deltas)
    }

    fn call(&mut self, call: WireCall) -> Delta {
        self.called = true;
        let begins = call.id.as_ref().is_some_and(|id| !id.is_empty());
        let index = call.index.unwrap_or(match self.last_call {
            None => 0,
            Some(last) if begins => last + 1,
            Some(last) => last,
        });
        self.last_call = Some(index);
        let function = call.function.unwrap_or_default();
        Delta::ToolCall {
            index,
            id: call.id.filter(|id| !id.is_empty()),
            name: function.name.filter(|name| !name.is_empty()),
            arguments: function.arguments.map(|value| arguments(Some(value))).unwrap_or_default(),
        }
    }

    /// The end of the stream, if it was an end: `[DONE]` or a finish reason came.
    pub(super) fn finish(&self, done: bool) -> Result<Delta, Upstream> {
        if !done && self.finish.is_none() {
            return Err(Upstream::StreamCut);
        }
        Ok(Delta::End {
            finish: ending(self.finish.unwrap_or_default(), self.called),
            usage: self.usage,
        })
    }
}

/// The body of an embeddings request.
pub(super) fn embed_body(model: &str, request: &EmbedRequest) -> Value {
    let mut body = json!({"model": model, "input": request.inputs, "encoding_format": "float"});
    if let Some(dimensions) = request.dimensions {
        body["dimensions"] = dimensions.into();
    }
    body
}

/// Reads a list of embeddings.
pub(super) fn embeddings(body: &[u8]) -> Result<Embeddings, Upstream> {
    let mut list: EmbeddingList = serde_json::from_slice(body)
        .map_err(|_| Upstream::Unreadable("it is not a list of embeddings in JSON"))?;
    list.data.sort_by_key(|item| item.index);
    Ok(Embeddings {
        vectors: list.data.into_iter().map(|item| item.embedding).collect(),
        usage: list.usage.map(usage),
    })
}

fn usage(wire: WireUsage) -> Usage {
    Usage { input_tokens: wire.prompt_tokens.max(0), output_tokens: wire.completion_tokens.max(0) }
}

/// Some servers say `stop` although they ask for tools.
fn ending(finish: FinishReason, called: bool) -> FinishReason {
    match finish {
        FinishReason::Stop if called => FinishReason::ToolCalls,
        FinishReason::Stop
        | FinishReason::Length
        | FinishReason::ToolCalls
        | FinishReason::ContentFilter => finish,
    }
}

/// Text as a string or as a list of parts.
fn text(content: Value) -> String {
    match content {
        Value::String(text) => text,
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

/// Arguments as JSON text; some servers send the object itself.
fn arguments(value: Option<Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            other.to_string()
        }
    }
}

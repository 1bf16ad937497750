//! Reads the body of `POST /v1/chat/completions`.

use std::collections::HashSet;

use bytes::Bytes;
use lightning_mesh::fault::Violations;
use lightning_proto::models::v1::ErrorReason as Reason;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Failure, Refusal};
use crate::{
    convert::inferences::{MAX_MESSAGES, check_message, check_sampling, check_tools},
    domain::{ChatRequest, Format, Message, ModelId, Role, Sampling, Tool, ToolCall, ToolChoice},
    engine::Ask,
    schema::Schema,
};

/// Fields that are handed to OpenAI-compatible providers as they are. Others that are not known are
/// dropped, since some would change the shape of the answer.
const PASSED_ON: [&str; 10] = [
    "frequency_penalty",
    "logit_bias",
    "min_p",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "seed",
    "top_k",
    "user",
    "verbosity",
];

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    model: Option<String>,
    messages: Vec<WireMessage>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    stop: Option<OneOrMany>,
    n: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    tools: Option<Vec<WireTool>>,
    tool_choice: Option<Value>,
    response_format: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireMessage {
    role: String,
    content: Option<Value>,
    tool_calls: Option<Vec<WireCall>>,
    tool_call_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireCall {
    id: String,
    function: WireCallFunction,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireCallFunction {
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct WireTool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<WireFunction>,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

/// Reads a request body.
pub(crate) fn read(body: &Bytes) -> Result<Asked, Failure> {
    let body: Body = super::parse(body)?;
    let model = body.model.unwrap_or_default();
    if !model.is_empty() && ModelId::parse(&model).is_none() {
        return Err(Refusal::new(
            "model",
            "must have at most 128 characters of A-Z a-z 0-9 . _ : / -",
        )
        .into());
    }
    if body.n.is_some_and(|n| n != 1) {
        return Err(
            Refusal::new("n", "only one choice is offered; leave n out or set it to 1").into()
        );
    }
    let limit = body.max_completion_tokens.or(body.max_tokens);
    let sampling = Sampling {
        temperature: body.temperature,
        top_p: body.top_p,
        max_output_tokens: limit
            .map(|most| u32::try_from(most.clamp(0, i64::from(u32::MAX))).unwrap_or(0)),
        stop: match body.stop {
            None => Vec::new(),
            Some(OneOrMany::One(stop)) => vec![stop],
            Some(OneOrMany::Many(stops)) => stops,
        },
    };
    let messages = messages(body.messages)?;
    let tools = tools(body.tools.unwrap_or_default())?;
    let mut violations = Violations::new();
    for (place, message) in messages.iter().enumerate() {
        check_message(&format!("messages[{place}]."), message, &mut violations);
    }
    check_sampling("", &sampling, &mut violations);
    check_tools("tools", "function.", &tools, &mut violations);
    violations.finish(Reason::RequestInvalid).map_err(|fault| Failure::Failed(fault.into()))?;
    let tool_choice = tool_choice(body.tool_choice.as_ref(), &tools)?;
    let format = format(body.response_format.as_ref())?;
    let known: HashSet<&str> = PASSED_ON.into_iter().collect();
    let extra = body
        .rest
        .into_iter()
        .filter(|(key, value)| known.contains(key.as_str()) && !value.is_null());
    Ok(Asked {
        ask: Ask {
            model,
            request: ChatRequest {
                messages,
                sampling,
                tools,
                tool_choice,
                format,
                extra: extra.collect(),
            },
        },
        stream: body.stream.unwrap_or(false),
        include_usage: body
            .stream_options
            .and_then(|options| options.include_usage)
            .unwrap_or(false),
    })
}

fn messages(given: Vec<WireMessage>) -> Result<Vec<Message>, Refusal> {
    if given.is_empty() || given.len() > MAX_MESSAGES {
        return Err(Refusal::new("messages", "must have 1 to 1,000 messages"));
    }
    let each = given.into_iter().enumerate().map(|(place, given)| {
        let role = match given.role.as_str() {
            "developer" => Some(Role::System),
            other => Role::parse(other),
        };
        let refuse = |field: &str, message: &str| {
            Refusal::new(format!("messages[{place}].{field}"), message)
        };
        let calls = given.tool_calls.unwrap_or_default().into_iter().map(|call| ToolCall {
            id: call.id,
            name: call.function.name,
            arguments: call.function.arguments,
        });
        Ok(Message {
            role: role.ok_or_else(|| {
                refuse("role", "must be system, developer, user, assistant or tool")
            })?,
            content: content(given.content).ok_or_else(|| {
                refuse("content", "must be a text or a list of parts of type text")
            })?,
            tool_calls: calls.collect(),
            tool_call_id: given.tool_call_id.unwrap_or_default(),
        })
    });
    each.collect()
}

/// The text of a message; nothing if it holds something else, such as an image.
fn content(content: Option<Value>) -> Option<String> {
    match content {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::String(text)) => Some(text),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(|part| part.get("text").and_then(Value::as_str))
            .collect::<Option<String>>(),
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => None,
    }
}

fn tools(given: Vec<WireTool>) -> Result<Vec<Tool>, Refusal> {
    let each = given.into_iter().enumerate().map(|(place, tool)| match tool.function {
        Some(function) if tool.kind == "function" => Ok(Tool {
            name: function.name,
            description: function.description.unwrap_or_default(),
            parameters: function.parameters.filter(|schema| !schema.is_null()),
        }),
        Some(_) | None => {
            Err(Refusal::new(format!("tools[{place}].type"), "must be function, with its function"))
        }
    });
    each.collect()
}

fn tool_choice(given: Option<&Value>, tools: &[Tool]) -> Result<ToolChoice, Refusal> {
    let refuse = |message: &str| Err(Refusal::new("tool_choice", message));
    match given {
        None | Some(Value::Null) => Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" if tools.is_empty() => refuse("needs tools"),
            "required" => Ok(ToolChoice::Required),
            _ => refuse("must be auto, none, required or a function"),
        },
        Some(other) => match other.pointer("/function/name").and_then(Value::as_str) {
            Some(name) if tools.iter().any(|tool| tool.name == name) => {
                Ok(ToolChoice::Named(name.to_owned()))
            }
            Some(_) => refuse("must name one of the tools"),
            None => refuse("must be auto, none, required or a function"),
        },
    }
}

fn format(given: Option<&Value>) -> Result<Format, Refusal> {
    let Some(given) = given.filter(|given| !given.is_null()) else { return Ok(Format::Text) };
    match given.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(Format::JsonObject),
        Some("json_schema") => {
            let schema = given.pointer("/json_schema/schema").cloned().unwrap_or(Value::Bool(true));
            Schema::compile(&schema).map_err(|problem| {
                Refusal::new("response_format", format!("json_schema.schema: {problem}"))
            })?;
            let name =
                given.pointer("/json_schema/name").and_then(Value::as_str).unwrap_or("answer");
            Ok(Format::Schema { name: name.chars().take(64).collect(), schema })
        }
        Some(_) | None => {
            Err(Refusal::new("response_format.type", "must be text, json_object or json_schema"))
        }
    }
}

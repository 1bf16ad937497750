//! Questions and answers of our own surface.

use lightning_mesh::{
    fault::{Fault, Violations},
    json,
};
use lightning_proto::models::v1::{self as pb, ErrorReason as Reason};
use serde_json::{Map, Value};

use crate::{
    domain::{
        ChatRequest, Format, Message, ModelId, Role, Sampling, Tool, ToolCall, ToolChoice, dollars,
    },
    engine::{Ask, Inference},
    error::Error,
    schema::Schema,
};

/// The most messages of a conversation.
pub(crate) const MAX_MESSAGES: usize = 1_000;

/// The most tools of a question, and the most calls of a message.
pub(crate) const MAX_TOOLS: usize = 128;

/// The most texts that end an answer.
pub(crate) const MAX_STOPS: usize = 8;

/// The longest text that ends an answer, in bytes.
pub(crate) const MAX_STOP: usize = 256;

/// The longest description of a tool, in bytes.
const MAX_DESCRIPTION: usize = 16_384;

/// Reads a question. `at` is where it stands in the request, such as `inference.`.
pub(crate) fn ask(at: &str, request: pb::InferRequest) -> Result<Ask, Fault> {
    let mut violations = Violations::new();
    let model = request.model;
    violations.check(
        model.is_empty() || ModelId::parse(&model).is_some(),
        format!("{at}model"),
        "must have at most 128 characters of A-Z a-z 0-9 . _ : / -",
    );
    let messages = messages(at, request.messages, request.prompt, &mut violations);
    let sampling = Sampling {
        temperature: request.temperature,
        top_p: request.top_p,
        max_output_tokens: request.max_output_tokens.map(|most| u32::try_from(most).unwrap_or(0)),
        stop: request.stop,
    };
    check_sampling(at, &sampling, &mut violations);
    let tools = tools(at, request.tools, &mut violations);
    let format = match request.response_schema {
        None => Format::Text,
        Some(schema) => {
            let schema = Value::Object(json::from_struct(&schema));
            check_schema(format!("{at}response_schema"), &schema, &mut violations);
            Format::Schema { name: "answer".to_owned(), schema }
        }
    };
    violations.finish(Reason::RequestInvalid)?;
    let tool_choice = ToolChoice::Auto;
    let request = ChatRequest { messages, sampling, tools, tool_choice, format, extra: Map::new() };
    Ok(Ask { model, request })
}

fn messages(
    at: &str,
    given: Vec<pb::Message>,
    prompt: String,
    violations: &mut Violations,
) -> Vec<Message> {
    let field = format!("{at}messages");
    if given.is_empty() {
        violations.check(!prompt.is_empty(), field, "must not be empty unless prompt is given");
        return vec![Message::text(Role::User, prompt)];
    }
    violations.check(
        prompt.is_empty(),
        format!("{at}prompt"),
        "must be empty when messages are given",
    );
    violations.check(
        given.len() <= MAX_MESSAGES,
        field.clone(),
        "must have at most 1,000 messages",
    );
    let each = given.into_iter().take(MAX_MESSAGES).enumerate();
    each.map(|(place, given)| message(&format!("{field}[{place}]."), given, violations)).collect()
}

fn message(at: &str, given: pb::Message, violations: &mut Violations) -> Message {
    let role = Role::parse(&given.role);
    violations.check(
        role.is_some(),
        format!("{at}role"),
        "must be system, user, assistant or tool",
    );
    let role = role.unwrap_or(Role::User);
    let tool_calls: Vec<ToolCall> = given
        .tool_calls
        .into_iter()
        .map(|call| {
            let arguments = json::from_struct(&call.arguments.unwrap_or_default());
            ToolCall {
                id: call.id,
                name: call.name,
                arguments: Value::Object(arguments).to_string(),
            }
        })
        .collect();
    let message =
        Message { role, content: given.content, tool_calls, tool_call_id: given.tool_call_id };
    check_message(at, &message, violations);
    message
}

/// What every message must hold, whichever surface it came from.
pub(crate) fn check_message(at: &str, message: &Message, violations: &mut Violations) {
    let calls = &message.tool_calls;
    let by_assistant = message.role == Role::Assistant;
    violations.check(
        by_assistant || calls.is_empty(),
        format!("{at}tool_calls"),
        "belong to an assistant's message",
    );
    violations.check(
        calls.len() <= MAX_TOOLS,
        format!("{at}tool_calls"),
        "must have at most 128 calls",
    );
    for (place, call) in calls.iter().take(MAX_TOOLS).enumerate() {
        violations.check(
            is_tool_name(&call.name),
            format!("{at}tool_calls[{place}].name"),
            TOOL_NAME,
        );
    }
    let answers = !message.tool_call_id.is_empty();
    let path = format!("{at}tool_call_id");
    if message.role == Role::Tool {
        violations.check(answers, path, "must say which call a tool's message answers");
    } else {
        violations.check(!answers, path, "belongs to a tool's message");
    }
}

const TOOL_NAME: &str = "must have 1 to 64 characters of A-Z a-z 0-9 _ -";

fn is_tool_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn tools(at: &str, given: Vec<pb::Tool>, violations: &mut Violations) -> Vec<Tool> {
    let tools: Vec<Tool> = given
        .into_iter()
        .map(|tool| Tool {
            name: tool.name,
            description: tool.description,
            parameters: tool.parameters.map(|schema| Value::Object(json::from_struct(&schema))),
        })
        .collect();
    check_tools(&format!("{at}tools"), "", &tools, violations);
    tools
}

/// What tools must hold. `inner` is what stands between the place and the field, such as `function.`.
pub(crate) fn check_tools(field: &str, inner: &str, tools: &[Tool], violations: &mut Violations) {
    violations.check(tools.len() <= MAX_TOOLS, field, "must have at most 128 tools");
    for (place, tool) in tools.iter().take(MAX_TOOLS).enumerate() {
        let at = format!("{field}[{place}].{inner}");
        violations.check(is_tool_name(&tool.name), format!("{at}name"), TOOL_NAME);
        let twice = tools[..place].iter().any(|other| other.name == tool.name);
        violations.check(!twice, format!("{at}name"), "must differ from the other tools' names");
        let short = tool.description.len() <= MAX_DESCRIPTION;
        violations.check(short, format!("{at}description"), "must have at most 16 KiB");
        if let Some(schema) = &tool.parameters {
            check_schema(format!("{at}parameters"), schema, violations);
        }
    }
}

/// The ranges of the contract, whichever surface they came from.
pub(crate) fn check_sampling(at: &str, sampling: &Sampling, violations: &mut Violations) {
    let within = |value: Option<f64>, holds: fn(f64) -> bool| value.is_none_or(holds);
    let path = |field: &str| format!("{at}{field}");
    let warm = within(sampling.temperature, |value| (0.0..=2.0).contains(&value));
    violations.check(warm, path("temperature"), "must be 0 to 2");
    let share = within(sampling.top_p, |value| value > 0.0 && value <= 1.0);
    violations.check(share, path("top_p"), "must be above 0 and at most 1");
    let room = sampling.max_output_tokens.is_none_or(|most| most >= 1);
    violations.check(room, path("max_output_tokens"), "must be at least 1");
    violations.check(sampling.stop.len() <= MAX_STOPS, path("stop"), "must have at most 8 texts");
    let sized = sampling.stop.iter().all(|stop| (1..=MAX_STOP).contains(&stop.len()));
    violations.check(sized, path("stop"), "must hold texts of 1 to 256 bytes");
}

/// Notes what is wrong with a schema.
pub(crate) fn check_schema(path: String, schema: &Value, violations: &mut Violations) {
    if let Err(problem) = Schema::compile(schema) {
        violations.add(path, problem);
    }
}

/// Writes an answer. Fails if a tool call's arguments are no JSON object, which models get wrong.
pub(crate) fn inference(inference: Inference) -> Result<pb::Inference, Error> {
    let Inference { id, model, provider, answer, structured, usage, cost, latency, create_time } =
        inference;
    let calls = answer.tool_calls.into_iter().map(|call| tool_call(&model, call));
    let tool_calls = calls.collect::<Result<Vec<_>, _>>()?;
    Ok(pb::Inference {
        id,
        model,
        provider,
        output: answer.text,
        structured_output: structured.map(json::to_value),
        tool_calls,
        finish_reason: answer.finish.as_str().to_owned(),
        usage: Some(pb::Usage {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            total_tokens: usage.total(),
        }),
        cost_usd: dollars(cost),
        latency: prost_types::Duration::try_from(latency).ok(),
        create_time: Some(create_time.to_proto()),
    })
}

fn tool_call(model: &str, call: ToolCall) -> Result<pb::ToolCall, Error> {
    let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    let arguments = match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => json::to_struct(arguments),
        Ok(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        )
        | Err(_) => {
            let problem =
                format!("the arguments of its call of {:?} are not a JSON object", call.name);
            return Err(Error::AnswerInvalid { model: model.to_owned(), problem });
        }
    };
    Ok(pb::ToolCall { id: call.id, name: call.name, arguments: Some(arguments) })
}

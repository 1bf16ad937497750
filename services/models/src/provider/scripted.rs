//! A provider that answers from rules, in process and the same way every time.
//!
//! It is what runs before anybody has configured a real model, and what tests of agents and workflows
//! rely on: no network, no weights, exact token counts. It does not understand anything and its default
//! rules say so. A structured answer always fits the schema asked for, as far as a fitting value can be
//! found at all.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};

use self::rules::{Action, Rules};
use super::{BoxFuture, DeltaStream, Provider, Upstream};
use crate::{
    domain::{
        ChatAnswer, ChatRequest, Delta, EmbedRequest, Embeddings, FinishReason, Format, Role, Tool,
        ToolCall, ToolChoice, Usage,
    },
    error::Error,
    heavy,
    schema::{Schema, instance},
};

mod embed;
mod rules;
mod text;
pub(crate) mod tokens;

#[cfg(test)]
mod tests;

/// The rules that ship with the program.
const DEFAULT_RULES: &str = include_str!("../../rules/default.yaml");

/// How many tokens fit into a scripted model.
pub(crate) const CONTEXT_WINDOW: u32 = 128_000;

/// The rules, shared by all models of the provider.
pub(crate) struct Scripted(Arc<Rules>);

/// What a rule can refer to.
struct Scene<'a> {
    request: &'a ChatRequest,
    model: &'a str,
    input: &'a str,
    /// The last message, if a tool wrote it.
    tool_result: Option<&'a str>,
    /// How many messages the user wrote.
    turn: usize,
}

// === impl Scripted ===

impl Scripted {
    /// The rules that ship with the program.
    pub(crate) fn built_in() -> Result<Self, Error> {
        Self::from_yaml("built-in", DEFAULT_RULES)
    }

    /// Rules of a file. `path` is for errors.
    pub(crate) fn from_yaml(path: &str, yaml: &str) -> Result<Self, Error> {
        let rules = Rules::parse(yaml)
            .map_err(|problem| Error::Rules { path: path.to_owned(), problem })?;
        Ok(Self(Arc::new(rules)))
    }
}

impl Provider for Scripted {
    fn chat(
        &self,
        model: &str,
        request: Arc<ChatRequest>,
    ) -> BoxFuture<Result<ChatAnswer, Upstream>> {
        Box::pin(answer_aside(Arc::clone(&self.0), model.to_owned(), request))
    }

    fn chat_stream(
        &self,
        model: &str,
        request: Arc<ChatRequest>,
    ) -> BoxFuture<Result<DeltaStream, Upstream>> {
        let answer = answer_aside(Arc::clone(&self.0), model.to_owned(), request);
        Box::pin(async move {
            let deltas: DeltaStream =
                stream::iter(deltas(answer.await?).into_iter().map(Ok)).boxed();
            Ok(deltas)
        })
    }

    fn embed(
        &self,
        _model: &str,
        request: Arc<EmbedRequest>,
    ) -> BoxFuture<Result<Embeddings, Upstream>> {
        let embeddings = embed::embed(&request);
        Box::pin(std::future::ready(embeddings))
    }

    fn serves_any_model(&self) -> bool {
        false
    }
}

/// Answers a question; where values are made for a schema, on a thread that may block.
async fn answer_aside(
    rules: Arc<Rules>,
    model: String,
    request: Arc<ChatRequest>,
) -> Result<ChatAnswer, Upstream> {
    let large = matches!(request.format, Format::Schema { .. }) || !request.tools.is_empty();
    let answered = heavy::run(large, move || answer(&rules, &model, &request)).await;
    answered.map_err(|_| Upstream::StreamCut)?
}

/// Answers a question.
fn answer(rules: &Rules, model: &str, request: &ChatRequest) -> Result<ChatAnswer, Upstream> {
    let input_tokens = tokens::of_request(request);
    if input_tokens > i64::from(CONTEXT_WINDOW) {
        let message = format!("it has {input_tokens} tokens and {CONTEXT_WINDOW} fit");
        return Err(Upstream::ContextTooLong { message });
    }
    let last = request.messages.last();
    let scene = Scene {
        request,
        model,
        input: request.input(),
        tool_result: last.filter(|last| last.role == Role::Tool).map(|last| last.content.as_str()),
        turn: request.messages.iter().filter(|message| message.role == Role::User).count(),
    };
    let mut answer = match forced_call(&scene) {
        Some(call) => called(call),
        None => act(rules, &scene),
    };
    if answer.tool_calls.is_empty() {
        let (text, finish) = limit(&answer.text, request);
        answer.text = text;
        answer.finish = finish;
    }
    let output_tokens = tokens::of_answer(&answer);
    answer.usage = Some(Usage { input_tokens, output_tokens });
    Ok(answer)
}

/// Does what the first matching rule says.
fn act(rules: &Rules, scene: &Scene<'_>) -> ChatAnswer {
    let found = rules.find(scene);
    let values = found.captures;
    let action: &Action = found.action;
    if let Some(call) = found.call {
        let arguments = match &action.call_arguments {
            Some(template) => text::render_json(template, scene, &values),
            None => arguments(call, scene),
        };
        return called(tool_call(scene, call, &arguments));
    }
    let said =
        action.text.as_ref().map(|template| template.render(scene, &values)).unwrap_or_default();
    let structured =
        action.structured.as_ref().map(|template| text::render_json(template, scene, &values));
    let text = match &scene.request.format {
        Format::Text => match structured {
            Some(value) if said.is_empty() => value.to_string(),
            Some(_) | None => said,
        },
        Format::JsonObject => structured.unwrap_or_else(|| json!({"reply": said})).to_string(),
        Format::Schema { schema, .. } => {
            fitted(schema, action, structured.as_ref(), &said, scene).to_string()
        }
    };
    ChatAnswer { text, ..ChatAnswer::default() }
}

/// A value that fits the schema and says what the rule wants, as far as both go together.
fn fitted(
    schema: &Value,
    action: &Action,
    structured: Option<&Value>,
    said: &str,
    scene: &Scene<'_>,
) -> Value {
    let prefer = |name: &str, part: &Value| -> Option<Value> {
        let choices = part.get("enum").and_then(Value::as_array);
        let wanted = structured.and_then(|value| value.get(name));
        if let Some(wanted) = wanted.filter(|wanted| choices.is_none_or(|all| all.contains(wanted)))
        {
            return Some(wanted.clone());
        }
        if let Some(choices) = choices {
            let chosen =
                action.choose.iter().find(|word| choices.iter().any(|each| each == word.as_str()));
            return chosen
                .map(|word| word.as_str().into())
                .or_else(|| mentioned(choices, scene.input));
        }
        (is_plain_text(part) && !said.is_empty()).then(|| said.into())
    };
    let value = instance::smallest(schema, &prefer);
    if Schema::compile(schema).is_ok_and(|schema| schema.fits(&value)) {
        return value;
    }
    instance::smallest(schema, &|_, _| None)
}

/// The first choice that the input names.
fn mentioned(choices: &[Value], input: &str) -> Option<Value> {
    let words = text::normal(input);
    let named = |choice: &&Value| {
        let normal = choice.as_str().map(text::normal).unwrap_or_default();
        normal.trim() != "" && words.contains(&normal)
    };
    choices.iter().find(named).cloned()
}

/// Whether any text is welcome here.
fn is_plain_text(schema: &Value) -> bool {
    let bound =
        ["const", "enum", "pattern", "format", "maxLength", "$ref", "anyOf", "oneOf", "allOf"];
    schema.get("type").and_then(Value::as_str) == Some("string")
        && bound.iter().all(|keyword| schema.get(keyword).is_none())
}

/// The call that the request insists on.
fn forced_call(scene: &Scene<'_>) -> Option<ToolCall> {
    if scene.tool_result.is_some() {
        return None;
    }
    let tools = &scene.request.tools;
    let tool = match &scene.request.tool_choice {
        ToolChoice::Auto | ToolChoice::None => None,
        ToolChoice::Required => rules::mentioned_tool(tools, scene.input).or_else(|| tools.first()),
        ToolChoice::Named(name) => tools.iter().find(|tool| tool.name == *name),
    }?;
    Some(tool_call(scene, tool, &arguments(tool, scene)))
}

/// Arguments that fit the tool: texts get the input, numbers the first number in it.
fn arguments(tool: &Tool, scene: &Scene<'_>) -> Value {
    let Some(schema) = &tool.parameters else { return Value::Object(Map::new()) };
    let prefer = |_: &str, part: &Value| -> Option<Value> {
        if let Some(choices) = part.get("enum").and_then(Value::as_array) {
            return mentioned(choices, scene.input);
        }
        if is_plain_text(part) {
            return Some(text::excerpt(scene.input).into());
        }
        let number = text::first_number(scene.input)?;
        match part.get("type").and_then(Value::as_str) {
            Some("number") => Some(number),
            Some("integer") => number.as_i64().map(Value::from),
            Some(_) | None => None,
        }
    };
    let value = instance::smallest(schema, &prefer);
    let fits = Schema::compile(schema).is_ok_and(|schema| schema.fits(&value));
    let value = if fits { value } else { instance::smallest(schema, &|_, _| None) };
    if value.is_object() { value } else { Value::Object(Map::new()) }
}

fn tool_call(scene: &Scene<'_>, tool: &Tool, arguments: &Value) -> ToolCall {
    let before: usize = scene.request.messages.iter().map(|message| message.tool_calls.len()).sum();
    ToolCall {
        id: format!("call_{}", before + 1),
        name: tool.name.clone(),
        arguments: arguments.to_string(),
    }
}

fn called(call: ToolCall) -> ChatAnswer {
    ChatAnswer { tool_calls: vec![call], finish: FinishReason::ToolCalls, ..ChatAnswer::default() }
}

/// Ends a text at the first stop text or at the limit of tokens, whichever comes first.
fn limit(text: &str, request: &ChatRequest) -> (String, FinishReason) {
    let stops = request.sampling.stop.iter().filter(|stop| !stop.is_empty());
    let end = stops.filter_map(|stop| text.find(stop.as_str())).min().unwrap_or(text.len());
    let text = &text[..end];
    let most = request.sampling.max_output_tokens.map_or(usize::MAX, |most| most as usize);
    let kept = tokens::first(text, most);
    let finish = if kept.len() < text.len() { FinishReason::Length } else { FinishReason::Stop };
    (kept.to_owned(), finish)
}

/// The answer word by word.
fn deltas(answer: ChatAnswer) -> Vec<Delta> {
    let mut deltas: Vec<Delta> = answer
        .text
        .split_inclusive(char::is_whitespace)
        .map(|word| Delta::Text(word.to_owned()))
        .collect();
    for (index, call) in answer.tool_calls.into_iter().enumerate() {
        let begin = (Some(call.id), Some(call.name));
        deltas.push(Delta::ToolCall {
            index,
            id: begin.0,
            name: begin.1,
            arguments: String::new(),
        });
        let arguments = call.arguments.split_inclusive(' ').map(str::to_owned);
        deltas.extend(arguments.map(|arguments| Delta::ToolCall {
            index,
            id: None,
            name: None,
            arguments,
        }));
    }
    deltas.push(Delta::End { finish: answer.finish, usage: answer.usage });
    deltas
}

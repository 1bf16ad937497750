//! The rules of the scripted provider: YAML data, checked when they are loaded.
//!
//! The first rule that matches answers; there is always a fallback. The format is documented in the
//! README of this crate. Everything that can be wrong with a rule is found at start, so that answering
//! cannot fail.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Scene,
    text::{self, Captures, Template},
};
use crate::domain::{Format, Role, Tool, ToolChoice};

/// The largest rules file: 1 MiB.
const MAX_FILE: usize = 1 << 20;

/// The most rules of a file.
const MAX_RULES: usize = 1_000;

/// The most bytes of a compiled pattern: 8 MiB.
const MAX_PATTERN: usize = 8 << 20;

/// Verbs that say nothing about what a tool is for.
const EMPTY_WORDS: [&str; 9] = ["get", "list", "fetch", "do", "run", "the", "by", "for", "tool"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    version: u32,
    #[serde(default)]
    rules: Vec<RawRule>,
    fallback: RawAction,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: String,
    #[serde(default)]
    when: RawWhen,
    then: RawAction,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawWhen {
    input: Option<RawText>,
    system: Option<RawText>,
    tool_result: Option<RawText>,
    turn: Option<usize>,
    schema: Option<bool>,
    choices: Vec<String>,
    tools: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawText {
    any: Vec<String>,
    all: Vec<String>,
    none: Vec<String>,
    matches: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawAction {
    text: Option<String>,
    choose: Vec<String>,
    structured: Option<Value>,
    call: Option<RawCall>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawCall {
    name: Option<String>,
    arguments: Option<Value>,
}

/// All rules of a provider.
pub(super) struct Rules {
    rules: Vec<Rule>,
    fallback: Action,
}

struct Rule {
    when: When,
    then: Action,
}

struct When {
    input: TextTest,
    system: TextTest,
    tool_result: Option<TextTest>,
    turn: Option<usize>,
    schema: Option<bool>,
    choices: Vec<String>,
    tools: Option<bool>,
}

/// What a text must hold. Needles are normalised; one without a blank at its end is a prefix.
#[derive(Default)]
struct TextTest {
    any: Vec<String>,
    all: Vec<String>,
    none: Vec<String>,
    matches: Option<Regex>,
}

/// What to answer.
#[derive(Default)]
pub(super) struct Action {
    pub(super) text: Option<Template>,
    /// Values to pick from an `enum` of the schema, best first.
    pub(super) choose: Vec<String>,
    pub(super) structured: Option<Value>,
    call: Option<Call>,
    /// The arguments of the call; fitting ones are made when absent.
    pub(super) call_arguments: Option<Value>,
}

enum Call {
    Named(String),
    /// The tool that the input mentions.
    Mentioned,
}

/// The rule that matches, with what it refers to.
pub(super) struct Found<'a> {
    pub(super) action: &'a Action,
    pub(super) captures: Captures,
    /// The tool to call.
    pub(super) call: Option<&'a Tool>,
}

// === impl Rules ===

impl Rules {
    /// Reads a rules file; fails with what is wrong and where.
    pub(super) fn parse(yaml: &str) -> Result<Self, String> {
        if yaml.len() > MAX_FILE {
            return Err("the file is larger than 1 MiB".to_owned());
        }
        let file: RawFile = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        if file.version != 1 {
            return Err(format!("version must be 1, not {}", file.version));
        }
        if file.rules.len() > MAX_RULES {
            return Err(format!("there are more than {MAX_RULES} rules"));
        }
        let rules = file.rules.into_iter().map(|raw| {
            let name = raw.name.clone();
            Rule::compile(raw).map_err(|problem| format!("rule {name:?}: {problem}"))
        });
        let fallback =
            Action::compile(file.fallback).map_err(|problem| format!("fallback: {problem}"))?;
        if fallback.text.is_none() || fallback.call.is_some() {
            return Err("fallback: must have a text and no call".to_owned());
        }
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, fallback })
    }

    /// The first rule that matches, or the fallback.
    pub(super) fn find<'a>(&'a self, scene: &Scene<'a>) -> Found<'a> {
        let input = text::normal(text::head(scene.input));
        let system: String = scene
            .request
            .messages
            .iter()
            .filter(|message| message.role == Role::System)
            .map(|message| text::normal(text::head(&message.content)))
            .collect();
        let found = self.rules.iter().find_map(|rule| {
            let captures = rule.when.test(scene, &input, &system)?;
            let call = match &rule.then.call {
                None => None,
                Some(_) if scene.request.tool_choice == ToolChoice::None => return None,
                Some(Call::Named(name)) => {
                    Some(scene.request.tools.iter().find(|tool| tool.name == *name)?)
                }
                Some(Call::Mentioned) => Some(mentioned_tool(&scene.request.tools, scene.input)?),
            };
            Some(Found { action: &rule.then, captures, call })
        });
        found.unwrap_or(Found { action: &self.fallback, captures: Captures::new(), call: None })
    }
}

// === impl Rule ===

impl Rule {
    fn compile(raw: RawRule) -> Result<Self, String> {
        let RawWhen { input, system, tool_result, turn, schema, choices, tools } = raw.when;
        let test = |raw: Option<RawText>| TextTest::compile(raw.unwrap_or_default());
        let when = When {
            input: test(input)?,
            system: test(system)?,
            tool_result: tool_result.map(TextTest::compile).transpose()?,
            turn,
            schema,
            choices,
            tools,
        };
        let then = Action::compile(raw.then)?;
        if then.is_empty() {
            return Err("then: must have text, choose, structured or call".to_owned());
        }
        Ok(Self { when, then })
    }
}

// === impl When ===

impl When {
    /// What the input's pattern captured, if everything holds.
    fn test(&self, scene: &Scene<'_>, input: &str, system: &str) -> Option<Captures> {
        let schema = match &scene.request.format {
            Format::Schema { schema, .. } => Some(schema),
            Format::Text | Format::JsonObject => None,
        };
        // After a tool answered, only rules for that apply; otherwise a rule would call it for ever.
        let result = match (&self.tool_result, scene.tool_result) {
            (None, None) => true,
            (Some(test), Some(result)) => {
                test.test(&text::normal(text::head(result)), text::head(result)).is_some()
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        let holds = result
            && self.turn.is_none_or(|turn| turn == scene.turn)
            && self.schema.is_none_or(|wanted| wanted == schema.is_some())
            && self.tools.is_none_or(|wanted| wanted != scene.request.tools.is_empty())
            && (self.choices.is_empty()
                || schema.is_some_and(|schema| offers(schema, &self.choices, 0)))
            && self.system.test(system, system).is_some();
        if holds { self.input.test(input, text::head(scene.input)) } else { None }
    }
}

/// Whether one `enum` of the schema has all of the values.
fn offers(schema: &Value, choices: &[String], depth: usize) -> bool {
    match schema {
        Value::Object(fields) if depth < 32 => {
            let here = fields.get("enum").and_then(Value::as_array);
            here.is_some_and(|values| {
                choices.iter().all(|choice| values.iter().any(|each| each == choice.as_str()))
            }) || fields.values().any(|each| offers(each, choices, depth + 1))
        }
        Value::Array(values) if depth < 32 => {
            values.iter().any(|each| offers(each, choices, depth + 1))
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)
        | Value::Array(_) => false,
    }
}

// === impl TextTest ===

impl TextTest {
    fn compile(raw: RawText) -> Result<Self, String> {
        let needles =
            |words: Vec<String>| words.iter().map(|word| needle(word)).collect::<Result<_, _>>();
        let pattern = |pattern: String| {
            let built =
                RegexBuilder::new(&pattern).case_insensitive(true).size_limit(MAX_PATTERN).build();
            built.map_err(|error| format!("matches: {error}"))
        };
        Ok(Self {
            any: needles(raw.any)?,
            all: needles(raw.all)?,
            none: needles(raw.none)?,
            matches: raw.matches.map(pattern).transpose()?,
        })
    }

    /// What the pattern captured, if everything holds.
    fn test(&self, normal: &str, original: &str) -> Option<Captures> {
        let holds = |needle: &String| normal.contains(needle.as_str());
        if !self.all.iter().all(holds) || self.none.iter().any(holds) {
            return None;
        }
        if !self.any.is_empty() && !self.any.iter().any(holds) {
            return None;
        }
        let Some(pattern) = &self.matches else { return Some(Captures::new()) };
        let captures = pattern.captures(original)?;
        Some(
            captures
                .iter()
                .map(|group| group.map_or("", |found| found.as_str()).to_owned())
                .collect(),
        )
    }
}

/// `"charged twice"` becomes `" charged twice "`, `"refund*"` becomes `" refund"`.
fn needle(word: &str) -> Result<String, String> {
    let (stem, prefix) = word.strip_suffix('*').map_or((word, false), |stem| (stem, true));
    let normal = text::normal(stem);
    if normal.trim().is_empty() {
        return Err(format!("{word:?} holds no letter and no digit"));
    }
    Ok(if prefix { normal.trim_end().to_owned() } else { normal })
}

// === impl Action ===

impl Action {
    fn compile(raw: RawAction) -> Result<Self, String> {
        let RawAction { text, choose, structured, call } = raw;
        structured.iter().try_for_each(text::check_json)?;
        let (call, call_arguments) = match call {
            None => (None, None),
            Some(RawCall { name, arguments }) => {
                arguments.iter().try_for_each(text::check_json)?;
                if arguments.as_ref().is_some_and(|arguments| !arguments.is_object()) {
                    return Err("call.arguments must be a mapping".to_owned());
                }
                (Some(name.map_or(Call::Mentioned, Call::Named)), arguments)
            }
        };
        let text = text.as_deref().map(Template::parse).transpose()?;
        Ok(Self { text, choose, structured, call, call_arguments })
    }

    fn is_empty(&self) -> bool {
        self.text.is_none()
            && self.choose.is_empty()
            && self.structured.is_none()
            && self.call.is_none()
    }
}

/// The first tool whose name's words all occur in the input.
pub(super) fn mentioned_tool<'a>(tools: &'a [Tool], input: &str) -> Option<&'a Tool> {
    let input = text::normal(text::head(input));
    tools.iter().find(|tool| {
        let name = text::normal(&tool.name.replace('_', " "));
        let mut words =
            name.split_whitespace().filter(|word| !EMPTY_WORDS.contains(word)).peekable();
        words.peek().is_some() && words.all(|word| input.contains(&format!(" {word}")))
    })
}

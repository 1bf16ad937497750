//! Text as rules see it: normalised for matching, and templates for answering.

use serde_json::Value;

use super::Scene;

/// The longest piece of the conversation that a template repeats, in characters.
const MAX_EXCERPT: usize = 500;

/// How much of a text rules look at, in bytes.
const MAX_MATCHED: usize = 16 << 10;

/// The placeholders that a template may have, besides `{{1}}` to `{{9}}`.
const NAMES: [&str; 7] = ["input", "turn", "model", "tool_result", "words", "lines", "characters"];

/// A text with placeholders.
pub(super) struct Template(Vec<Part>);

enum Part {
    Text(String),
    /// One of [`NAMES`].
    Name(String),
    /// What the pattern of the rule captured.
    Capture(usize),
}

/// What a rule's pattern captured: the whole first, then the groups.
pub(super) type Captures = Vec<String>;

// === impl Template ===

impl Template {
    /// Reads a template; fails on a placeholder that does not exist.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or("a {{ is not closed by }}")?;
            let name = name.trim();
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name.parse::<usize>() {
                Ok(group @ 1..=9) => Part::Capture(group),
                _ if NAMES.contains(&name) => Part::Name(name.to_owned()),
                _ => {
                    return Err(format!(
                        "there is no placeholder {name:?}; use 1 to 9 or: {}",
                        NAMES.join(", ")
                    ));
                }
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// Fills the placeholders in.
    pub(super) fn render(&self, scene: &Scene<'_>, captures: &Captures) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Name(name) => text.push_str(&value(name, scene)),
                Part::Capture(group) => {
                    text.push_str(captures.get(*group).map_or("", String::as_str))
                }
            }
        }
        text
    }
}

/// Checks the placeholders in all texts of a value.
pub(super) fn check_json(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => Template::parse(text).map(|_| ()),
        Value::Array(values) => values.iter().try_for_each(check_json),
        Value::Object(fields) => fields.values().try_for_each(check_json),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Fills the placeholders in all texts of a value.
pub(super) fn render_json(value: &Value, scene: &Scene<'_>, captures: &Captures) -> Value {
    match value {
        Value::String(text) => match Template::parse(text) {
            Ok(template) => template.render(scene, captures).into(),
            Err(_) => text.clone().into(),
        },
        Value::Array(values) => {
            values.iter().map(|each| render_json(each, scene, captures)).collect()
        }
        Value::Object(fields) => {
            let filled =
                fields.iter().map(|(key, each)| (key.clone(), render_json(each, scene, captures)));
            Value::Object(filled.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn value(name: &str, scene: &Scene<'_>) -> String {
    match name {
        "input" => excerpt(scene.input),
        "turn" => scene.turn.to_string(),
        "model" => scene.model.to_owned(),
        "tool_result" => excerpt(scene.tool_result.unwrap_or_default()),
        "words" => scene.input.split_whitespace().count().to_string(),
        "lines" => scene.input.trim().lines().count().to_string(),
        "characters" => scene.input.trim().chars().count().to_string(),
        // `parse` lets only NAMES in.
        _ => String::new(),
    }
}

/// The beginning of a text.
pub(super) fn excerpt(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(MAX_EXCERPT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What rules look at of a text: its first 16 KiB, so that a long one costs no more than that.
pub(super) fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_MATCHED)]
}

/// The words of a text in lower case, each with a blank on both sides: `" i was charged "`.
pub(super) fn normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len() + 2);
    normal.push(' ');
    for word in text.split(|each: char| !each.is_alphanumeric()).filter(|word| !word.is_empty()) {
        normal.extend(word.chars().flat_map(char::to_lowercase));
        normal.push(' ');
    }
    normal
}

/// The first number in a text.
pub(super) fn first_number(text: &str) -> Option<Value> {
    let start = text.find(|each: char| each.is_ascii_digit())?;
    let length = text[start..]
        .find(|each: char| !each.is_ascii_digit() && each != '.')
        .unwrap_or(text.len() - start);
    serde_json::from_str(text[start..start + length].trim_end_matches('.')).ok()
}

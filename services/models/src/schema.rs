//! JSON Schemas that answers must fit.
//!
//! Schemas come from callers, so compiling and checking is bounded: patterns run on an engine with
//! linear time, references leave the document never, and size is limited. What does not fit is said in
//! one sentence, which is what a model is re-asked with.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

pub(crate) mod instance;

#[cfg(test)]
mod tests;

/// The most bytes of a schema as compact JSON: 128 KiB.
const MAX_SCHEMA: usize = 128 << 10;

/// The most bytes that the compiled form of one pattern may take: 1 MiB.
const MAX_PATTERN: usize = 1 << 20;

/// The most patterns of one schema; each may take [`MAX_PATTERN`].
const MAX_PATTERNS: usize = 32;

/// How many misfits are named at once.
const MAX_PROBLEMS: usize = 5;

/// The longest sentence about misfits, in characters.
const MAX_PROBLEM: usize = 800;

/// A compiled schema.
pub(crate) struct Schema(Validator);

// === impl Schema ===

impl Schema {
    /// Compiles a schema; fails with what is wrong with it.
    pub(crate) fn compile(schema: &Value) -> Result<Self, String> {
        if schema.to_string().len() > MAX_SCHEMA {
            return Err("must have at most 128 KiB as JSON".to_owned());
        }
        if patterns(schema) > MAX_PATTERNS {
            return Err("must have at most 32 patterns".to_owned());
        }
        let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
        jsonschema::options()
            .with_pattern_options(patterns)
            .offline()
            .build(schema)
            .map(Self)
            .map_err(|error| format!("must be a JSON Schema: {}", cut(&error.to_string())))
    }

    /// Whether a value fits.
    pub(crate) fn fits(&self, value: &Value) -> bool {
        self.0.is_valid(value)
    }

    /// Reads an answer as JSON that fits; fails with what does not.
    pub(crate) fn read(&self, answer: &str) -> Result<Value, String> {
        let value: Value = serde_json::from_str(unfenced(answer))
            .map_err(|error| format!("it is not JSON ({error})"))?;
        let problems: Vec<String> = self
            .0
            .iter_errors(&value)
            .take(MAX_PROBLEMS)
            .map(|error| match error.instance_path().as_str() {
                "" => error.to_string(),
                path => format!("at {path}: {error}"),
            })
            .collect();
        if problems.is_empty() { Ok(value) } else { Err(cut(&problems.join("; "))) }
    }
}

/// How many patterns a schema has, at most: a property may be called `pattern` too.
fn patterns(schema: &Value) -> usize {
    match schema {
        Value::Object(keywords) => keywords
            .iter()
            .map(|(keyword, value)| {
                let here = match (keyword.as_str(), value) {
                    ("pattern", Value::String(_)) => 1,
                    ("patternProperties", Value::Object(patterns)) => patterns.len(),
                    (_, _) => 0,
                };
                here + patterns(value)
            })
            .sum(),
        Value::Array(values) => values.iter().map(patterns).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Models like to wrap JSON in a fence of Markdown.
fn unfenced(answer: &str) -> &str {
    let text = answer.trim();
    let inside = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    match inside {
        Some(inside) => inside.strip_prefix("json").unwrap_or(inside).trim(),
        None => text,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_PROBLEM).collect()
}

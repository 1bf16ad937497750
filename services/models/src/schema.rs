//! JSON Schemas that answers must fit.
//!
//! Schemas come from callers, so compiling and checking is bounded: patterns run on an engine with
//! linear time, references leave the document never, and size is limited, also with every reference
//! followed; a recursive schema is refused. What does not fit is said in
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

/// The longest pattern, in bytes: a class of five bytes becomes hundreds of ranges while it is read.
const MAX_PATTERN_TEXT: usize = 4 << 10;

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
        lightning_mesh::schema::bounded(schema).map_err(|unbounded| {
            let place = cut(&unbounded.pointer);
            cut(&format!("must be a schema of bounded work, but at {place:?} {unbounded}"))
        })?;
        let mut found = Vec::new();
        patterns(schema, &mut found);
        if found.len() > MAX_PATTERNS {
            return Err("must have at most 32 patterns".to_owned());
        }
        if found.iter().any(|pattern| pattern.len() > MAX_PATTERN_TEXT) {
            return Err("must have patterns of at most 4 KiB".to_owned());
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

/// The patterns of a schema, and perhaps more: a property may be called `pattern` too.
fn patterns<'s>(schema: &'s Value, found: &mut Vec<&'s str>) {
    match schema {
        Value::Object(keywords) => {
            for (keyword, value) in keywords {
                match (keyword.as_str(), value) {
                    ("pattern", Value::String(pattern)) => found.push(pattern),
                    ("patternProperties", Value::Object(named)) => {
                        found.extend(named.keys().map(String::as_str));
                    }
                    (_, _) => {}
                }
                patterns(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| patterns(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
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

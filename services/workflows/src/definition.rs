//! Workflow definitions: the Serverless Workflow DSL 1.0, read, checked whole, and compiled.
//!
//! Reading gives either a [`Definition`], in which every expression and schema is compiled and every
//! jump resolved, or all faults at once, each with the JSON pointer of its place and, for text, line
//! and column. There is no separate plan: a definition that was read is ready to run, and a task's id
//! is its JSON pointer. What the engine does not run yet is a fault ("not supported yet"), never
//! ignored.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use crate::{expression, nesting};

mod graph;
mod kinds;
mod model;
mod reader;
mod schema;
mod tasks;
mod template;
mod text;
mod words;

pub(crate) use model::{
    Backoff, Call, Case, Catch, Definition, Flow, For, Fork, Kind, Retry, Task, Then, Try,
};
pub(crate) use schema::Schema;
pub(crate) use template::Template;
pub(crate) use words::error_type;

#[cfg(test)]
mod tests;

/// The longest source text, in bytes: 256 KiB.
pub(crate) const MAX_SOURCE: usize = 256 * 1024;
/// The most tasks of a definition.
pub(crate) const MAX_TASKS: usize = 1_000;
/// How deep tasks may be nested in tasks. Each level is a list, an object and a body, of which a message
/// carries this many (see `nesting`).
pub(crate) const MAX_DEPTH: usize = 10;
/// The most faults that are reported.
const MAX_FINDINGS: usize = 50;

/// One fault of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The JSON pointer of the place.
    pub(crate) pointer: String,
    /// What is wrong there and what to do.
    pub(crate) message: String,
    /// Line and column in the source text, from 1.
    pub(crate) position: Option<(u64, u64)>,
}

/// Where each part of a source text stands.
pub(crate) type Positions = BTreeMap<String, (u64, u64)>;

/// Reads a definition from its JSON value.
pub(crate) fn read(value: &Value) -> Result<Definition, Vec<Finding>> {
    if let Some(pointer) = nesting::too_deep(value) {
        return Err(vec![Finding { pointer, message: nesting::rule(), position: None }]);
    }
    let mut reader = reader::Reader::new();
    let definition = reader.definition(value);
    let mut findings = reader.into_findings();
    match definition {
        Some(definition) if findings.is_empty() => Ok(definition),
        Some(_) | None => {
            findings.truncate(MAX_FINDINGS);
            Err(findings)
        }
    }
}

/// Reads YAML or JSON text to the JSON value and the place of each of its parts.
pub(crate) fn parse(source: &str) -> Result<(Value, Positions), Finding> {
    let text = source.to_owned();
    // The parser recurses as deep as the text is nested, so it gets a stack for that.
    expression::with_room(move || text::parse(&text)).unwrap_or_else(|reason| {
        let message = format!("cannot be read: {reason}");
        Err(Finding { pointer: String::new(), message, position: None })
    })
}

/// Adds line and column to faults.
pub(crate) fn locate(findings: &mut [Finding], positions: &Positions) {
    for finding in findings {
        // A place that is missing is reported where it should be: in the nearest part that is there.
        let mut pointer = finding.pointer.as_str();
        finding.position = loop {
            if let Some(position) = positions.get(pointer) {
                break Some(*position);
            }
            match pointer.rfind('/') {
                Some(at) => pointer = &pointer[..at],
                None => break None,
            }
        };
    }
}

/// SHA-256 of the definition with sorted keys, in hexadecimal: the same for the same meaning.
pub(crate) fn hash(value: &Value) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical(value).as_bytes());
    hex(digest.as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let fields = sorted
                .into_iter()
                .map(|(key, field)| format!("{}:{}", Value::String(key.clone()), canonical(field)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// One part of a JSON pointer, escaped.
pub(crate) fn escape(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

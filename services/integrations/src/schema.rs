//! JSON Schemas of connectors, and what a value breaks of them, by field path.
//!
//! Schemas come with the program; nothing is fetched. The texts never repeat the value that is wrong,
//! because the same code checks credentials.

use jsonschema::{Validator, error::ValidationErrorKind};
use serde_json::Value;

use crate::domain::Violation;

#[cfg(test)]
mod tests;

/// The most violations that are reported for one value.
const MAX_VIOLATIONS: usize = 20;

/// A schema, ready to check with.
pub(crate) struct Schema {
    json: Value,
    validator: Validator,
}

// === impl Schema ===

impl Schema {
    /// Compiles a schema; the error is a defect of what the program ships.
    pub(crate) fn compile(json: Value) -> Result<Self, String> {
        let validator = jsonschema::draft202012::new(&json).map_err(|error| error.to_string())?;
        Ok(Self { json, validator })
    }

    /// The schema as JSON.
    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// What a value breaks. Paths start with `root`: `payload.rows[2].name`.
    pub(crate) fn check(&self, root: &str, value: &Value) -> Vec<Violation> {
        let mut found = Vec::new();
        for error in self.validator.iter_errors(value) {
            let at = path(root, &error.instance_path().to_string());
            if let ValidationErrorKind::Required { property } = error.kind() {
                let name = property.as_str().unwrap_or_default();
                found.push(Violation::new(format!("{at}.{name}"), "is required"));
            } else if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
                found.extend(
                    unexpected
                        .iter()
                        .map(|name| Violation::new(format!("{at}.{name}"), "is not a known field")),
                );
            } else {
                // The other kinds all say themselves what they expect.
                found.push(Violation::new(at, error.masked_with("the value").to_string()));
            }
            if found.len() >= MAX_VIOLATIONS {
                break;
            }
        }
        found.truncate(MAX_VIOLATIONS);
        found
    }
}

/// A JSON pointer (`/rows/2/name`) behind a root, as field path.
fn path(root: &str, pointer: &str) -> String {
    pointer.split('/').skip(1).fold(root.to_owned(), |path, part| {
        let part = part.replace("~1", "/").replace("~0", "~");
        let index = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if index { format!("{path}[{part}]") } else { format!("{path}.{part}") }
    })
}

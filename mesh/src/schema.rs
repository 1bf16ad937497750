//! JSON Schemas from outside: whether checking something against one is bounded work.
//!
//! A schema of a few kilobytes can ask for 2^60 steps: each `$ref` may be followed twice from the one
//! before. So a schema is taken only if its unfolding, with every reference followed, is small; then a
//! check costs at most that many subschemas for each part of the instance. Recursive schemas have no
//! finite unfolding and are refused, as is what the count cannot follow (anchors, other documents).
//! Checking itself is the business of whoever has the schema.

use std::collections::HashMap;

use serde_json::Value;

#[cfg(test)]
mod tests;

/// Most subschemas that a schema may unfold into.
pub const MAX_SUBSCHEMAS: u64 = 2_000;
/// Deepest nesting of a schema, references followed.
const MAX_DEPTH: usize = 64;
/// Keywords whose value is data and not a schema.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// Keywords whose value maps names of anything to schemas: what stands there are not keywords.
const NAMED: [&str; 4] = ["dependentSchemas", "dependencies", "patternProperties", "properties"];

/// Why a schema is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unbounded {
    /// The JSON pointer into the schema.
    pub pointer: String,
    what: String,
}

/// Refuses a schema against which a check could take unbounded work.
pub fn bounded(schema: &Value) -> Result<(), Unbounded> {
    let mut count = Count { root: schema, known: HashMap::new(), under_way: Vec::new() };
    count.of(schema, "", 0).map(|_| ())
}

struct Count<'s> {
    root: &'s Value,
    /// The unfolded size of what references lead to, counted once each.
    known: HashMap<&'s str, u64>,
    under_way: Vec<&'s str>,
}

impl<'s> Count<'s> {
    fn of(&mut self, value: &'s Value, pointer: &str, depth: usize) -> Result<u64, Unbounded> {
        if depth > MAX_DEPTH {
            return Err(refused(
                pointer,
                format!("the schema nests deeper than {MAX_DEPTH} levels"),
            ));
        }
        let size = match value {
            Value::Object(fields) => {
                let mut size = 1;
                for (key, field) in fields {
                    let place = format!("{pointer}/{}", escaped(key));
                    size += self.keyword(key, field, &place, depth)?;
                }
                size
            }
            Value::Array(items) => {
                let mut size = 0;
                for (at, item) in items.iter().enumerate() {
                    size += self.of(item, &format!("{pointer}/{at}"), depth + 1)?;
                }
                size
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        };
        if size > MAX_SUBSCHEMAS {
            let what = format!(
                "the schema is too complex: with its references followed it has more than \
                 {MAX_SUBSCHEMAS} subschemas"
            );
            return Err(refused(pointer, what));
        }
        Ok(size)
    }

    fn keyword(
        &mut self,
        key: &str,
        value: &'s Value,
        place: &str,
        depth: usize,
    ) -> Result<u64, Unbounded> {
        match (key, value) {
            ("$ref", Value::String(target)) => self.reference(target, place, depth),
            ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                Err(refused(place, format!("{key} is not supported; use $ref")))
            }
            ("$id", Value::String(_)) if depth > 0 => {
                Err(refused(place, "$id is supported at the root alone".to_owned()))
            }
            _ if DATA.contains(&key) => Ok(0),
            (_, Value::Object(named)) if NAMED.contains(&key) => {
                let mut size = 0;
                for (name, schema) in named {
                    size += self.of(schema, &format!("{place}/{}", escaped(name)), depth + 1)?;
                }
                Ok(size)
            }
            // What is defined counts where it is used.
            ("$defs" | "definitions", _) => Ok(0),
            _ => self.of(value, place, depth + 1),
        }
    }

    fn reference(&mut self, target: &'s str, place: &str, depth: usize) -> Result<u64, Unbounded> {
        if let Some(size) = self.known.get(target) {
            return Ok(*size);
        }
        if self.under_way.contains(&target) {
            return Err(refused(place, format!("the reference {target:?} is recursive")));
        }
        let pointer =
            target.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let Some(pointer) = pointer else {
            let what = format!("the reference {target:?} is not of the form \"#/$defs/name\"");
            return Err(refused(place, what));
        };
        let Some(schema) = self.root.pointer(pointer) else {
            return Err(refused(place, format!("the reference {target:?} leads nowhere")));
        };
        self.under_way.push(target);
        let size = self.of(schema, pointer, depth + 1)?;
        self.under_way.pop();
        self.known.insert(target, size);
        Ok(size)
    }
}

/// A name as a part of a JSON pointer (RFC 6901 section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn refused(pointer: &str, what: String) -> Unbounded {
    Unbounded { pointer: pointer.to_owned(), what }
}

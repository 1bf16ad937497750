//! How deep values may be nested: as deep as every message of the API can carry them.
//!
//! A decoder of Protocol Buffers follows 100 messages into each other and refuses the whole answer
//! beyond that. In a `google.protobuf.Value` an array costs two (the list and its item), an object three
//! (the struct, its entry and the value), and up to three more stand around a value (an event of an
//! execution with its steps). One value too deep would so make a list unreadable for everybody: it is
//! refused where it is made, and shown as a note where it is found.

use serde_json::Value;

use crate::definition::escape;

#[cfg(test)]
mod tests;

/// The most messages that a value may be made of, one in the other.
pub(crate) const MAX_MESSAGES: usize = 94;
/// What an array and an object cost.
const ARRAY: usize = 2;
const OBJECT: usize = 3;

/// What stands in the place of what cannot be shown.
pub(crate) const NOTE: &str = "[nested too deep to be shown]";

/// The rule, for whoever broke it.
pub(crate) fn rule() -> String {
    format!(
        "nested too deep: an array counts {ARRAY}, an object {OBJECT}, and one in the other they may \
         count at most {MAX_MESSAGES}, which is {} objects or {} arrays",
        MAX_MESSAGES / OBJECT,
        MAX_MESSAGES / ARRAY
    )
}

/// Whether the API can carry a value.
pub(crate) fn fits(value: &Value) -> bool {
    too_deep(value).is_none()
}

/// The JSON pointer of the first part that is too deep, if there is one.
pub(crate) fn too_deep(value: &Value) -> Option<String> {
    let mut path = Vec::new();
    walk(value, MAX_MESSAGES, &mut path).then(|| {
        path.reverse();
        path.iter().fold(String::new(), |pointer, part| format!("{pointer}/{part}"))
    })
}

/// Whether something in it is too deep; then `path` leads there, the last part first.
fn walk(value: &Value, room: usize, path: &mut Vec<String>) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        Value::Array(items) => {
            let Some(room) = room.checked_sub(ARRAY) else { return true };
            items.iter().enumerate().any(|(at, item)| {
                let found = walk(item, room, path);
                if found {
                    path.push(at.to_string());
                }
                found
            })
        }
        Value::Object(fields) => {
            let Some(room) = room.checked_sub(OBJECT) else { return true };
            fields.iter().any(|(key, field)| {
                let found = walk(field, room, path);
                if found {
                    path.push(escape(key));
                }
                found
            })
        }
    }
}

/// The value with a note in the place of each part that is too deep.
pub(crate) fn shown(mut value: Value) -> Value {
    prune(&mut value, MAX_MESSAGES);
    value
}

fn prune(value: &mut Value, room: usize) {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
        Value::Array(_) => room.checked_sub(ARRAY),
        Value::Object(_) => room.checked_sub(OBJECT),
    };
    let Some(inner) = inner else {
        *value = Value::from(NOTE);
        return;
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(items) => items.iter_mut().for_each(|item| prune(item, inner)),
        Value::Object(fields) => fields.values_mut().for_each(|field| prune(field, inner)),
    }
}

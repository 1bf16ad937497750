//! Integrations, webhooks and their events as this service thinks of them.
//!
//! Rules and types only: nothing here waits, calls, stores or knows the wire. A secret appears in
//! these types only sealed; the open form lives in [`crate::connectors::Access`] for one call.

use std::{collections::BTreeMap, fmt};

use lightning_mesh::{clock::Timestamp, identity::Caller, typed_id};
use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

typed_id!(IntegrationId, "An integration's id.");
typed_id!(WebhookId, "A webhook's id.");

/// The longest name, in characters.
pub(crate) const MAX_NAME: usize = 200;
/// The largest body of an event, in bytes.
pub(crate) const MAX_EVENT_BYTES: usize = 1 << 20;
/// The longest id that a sender may give an event, in bytes.
pub(crate) const MAX_EVENT_ID: usize = 200;
/// The most bytes of a configuration or of credentials, as JSON.
pub(crate) const MAX_CONFIG_BYTES: usize = 64 << 10;

/// The deepest JSON that is carried as a value.
const MAX_DEPTH: usize = 28;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, such as `integration.config.base_url`.
    pub path: String,
    /// What is wrong and what is expected. Never the value itself: it may be a secret.
    pub description: String,
}

/// A configured access to an external system.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Integration {
    /// Within it the id is unique, and nobody outside sees the integration.
    pub(crate) organization_id: String,
    pub(crate) id: IntegrationId,
    pub(crate) name: String,
    pub(crate) connector: String,
    pub(crate) config: Map<String, Value>,
    /// The sealed secrets by their names.
    pub(crate) sealed: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) revision: i64,
}

/// An integration among those of all organisations: what is kept in memory is kept under it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) organization_id: String,
    pub(crate) id: IntegrationId,
}

/// What a caller gives for a new integration. No `Debug`: it holds secrets.
pub(crate) struct Draft {
    pub(crate) id: IntegrationId,
    pub(crate) name: String,
    pub(crate) connector: String,
    pub(crate) config: Map<String, Value>,
    pub(crate) credentials: Map<String, Value>,
}

/// What a caller changes of an integration. No `Debug`: it holds secrets.
pub(crate) struct Change {
    pub(crate) id: IntegrationId,
    pub(crate) etag: String,
    /// The connector as the caller knows it; it cannot change.
    pub(crate) connector: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) config: Part,
    pub(crate) credentials: Part,
}

/// How an object changes.
pub(crate) enum Part {
    /// Not at all.
    Keep,
    /// It becomes this one.
    Replace(Map<String, Value>),
    /// Only these paths are taken from it; a path that it does not have is removed.
    Merge(Map<String, Value>, Vec<String>),
}

/// An address that an external system calls.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Webhook {
    pub(crate) id: WebhookId,
    pub(crate) name: String,
    pub(crate) scheme: Scheme,
    pub(crate) workflow_id: Option<String>,
    /// The sealed secret.
    pub(crate) sealed: String,
    /// Who registered it: its events act with this authority, in this organisation.
    pub(crate) owner: Caller,
    pub(crate) created_at: Timestamp,
}

/// How the events of a webhook are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard,
    /// `X-Hub-Signature-256`.
    Github,
    /// `X-Slack-Signature` and `X-Slack-Request-Timestamp`.
    Slack,
}

/// One event that came in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// That of its webhook.
    pub(crate) organization_id: String,
    /// The sender's id, or a UUIDv7.
    pub(crate) id: String,
    pub(crate) webhook_id: WebhookId,
    pub(crate) status: EventStatus,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    pub(crate) execution_id: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) created_at: Timestamp,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventStatus {
    /// Stored; its workflow is about to start.
    Pending,
    /// Handed on, or stored for a webhook without a workflow.
    Delivered,
    /// Its workflow could not be started.
    Failed,
}

// === impl Violation ===

impl Violation {
    pub(crate) fn new(path: impl Into<String>, description: impl Into<String>) -> Self {
        Self { path: path.into(), description: description.into() }
    }
}

// === impl Integration ===

impl Integration {
    pub(crate) fn address(&self) -> Address {
        Address { organization_id: self.organization_id.clone(), id: self.id.clone() }
    }
}

// === impl Part ===

impl Part {
    /// Whether nothing changes.
    pub(crate) fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The object after the change.
    pub(crate) fn apply(self, current: Map<String, Value>) -> Map<String, Value> {
        match self {
            Self::Keep => current,
            Self::Replace(new) => new,
            Self::Merge(new, paths) => paths.iter().fold(current, |mut merged, path| {
                let keys: Vec<&str> = path.split('.').collect();
                merge(&mut merged, Some(&new), &keys);
                merged
            }),
        }
    }

    /// The names on the first level that a merge touches; `None` if all are touched.
    pub(crate) fn touched(&self) -> Option<Vec<&str>> {
        match self {
            Self::Keep => Some(Vec::new()),
            Self::Replace(_) => None,
            Self::Merge(_, paths) => {
                Some(paths.iter().filter_map(|path| path.split('.').next()).collect())
            }
        }
    }
}

/// Takes over the value at a path, making the objects on the way; without a value it is removed.
fn merge(into: &mut Map<String, Value>, from: Option<&Map<String, Value>>, keys: &[&str]) {
    let Some((key, rest)) = keys.split_first() else { return };
    let value = from.and_then(|from| from.get(*key));
    if rest.is_empty() {
        match value {
            Some(value) => into.insert((*key).to_owned(), value.clone()),
            None => into.remove(*key),
        };
        return;
    }
    let inner = into.entry(*key).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Some(inner) = inner.as_object_mut() {
        merge(inner, value.and_then(Value::as_object), rest);
    }
}

// === impl Scheme ===

impl Scheme {
    /// Reads the name; empty is `standard`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "standard" => Some(Self::Standard),
            "github" => Some(Self::Github),
            "slack" => Some(Self::Slack),
            _ => None,
        }
    }

    /// The name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Github => "github",
            Self::Slack => "slack",
        }
    }
}

// === impl EventStatus ===

impl EventStatus {
    /// The word in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// From the word in the database.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "pending" => Some(Self::Pending),
            "delivered" => Some(Self::Delivered),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

/// Whether a text can be a human name: 1 to 200 characters, not only blanks, no control characters.
pub(crate) fn is_name(text: &str) -> bool {
    let length = text.chars().count();
    (1..=MAX_NAME).contains(&length)
        && !text.trim().is_empty()
        && !text.chars().any(char::is_control)
}

/// The first characters of a text, for messages.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Whether a JSON value is so deep that a `google.protobuf.Value` of it could not be read back: each
/// level takes up to three messages, and readers stop at 100.
pub(crate) fn is_too_deep(value: &Value) -> bool {
    fn deeper(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(values) => left == 0 || values.iter().any(|value| deeper(value, left - 1)),
            Value::Object(fields) => {
                left == 0 || fields.values().any(|value| deeper(value, left - 1))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    deeper(value, MAX_DEPTH)
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

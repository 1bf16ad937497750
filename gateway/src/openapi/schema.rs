//! JSON Schemas of messages, as the product's JSON writes them (see the transcoder's JSON rules).

use std::collections::BTreeMap;

use lightning_transcode::enum_word;
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;

/// Behaviours of `google.api.field_behavior` (AIP-203) that a schema can express.
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const INPUT_ONLY: i32 = 4;

/// The schemas that the operations refer to, gathered while they are written.
pub(super) struct Schemas<'c> {
    comments: &'c Comments,
    /// The upstream whose messages they are; none for the contract's.
    upstream: Option<&'c str>,
    by_name: BTreeMap<String, Value>,
    /// Messages that something refers to and whose schema is not written yet.
    pending: Vec<MessageDescriptor>,
}

impl<'c> Schemas<'c> {
    pub(super) fn new(comments: &'c Comments, upstream: Option<&'c str>) -> Self {
        Self { comments, upstream, by_name: BTreeMap::new(), pending: Vec::new() }
    }

    /// All schemas that were referred to, and those that they refer to.
    pub(super) fn into_map(mut self) -> Map<String, Value> {
        // A list instead of a recursion: how deep the messages of an upstream nest is not our choice.
        while let Some(message) = self.pending.pop() {
            let schema = self.message(&message);
            self.by_name.insert(self.component_name(&message), schema);
        }
        self.by_name.into_iter().collect()
    }

    /// A reference to a message's schema.
    pub(super) fn reference(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message.full_name()) {
            return schema;
        }
        let name = self.component_name(message);
        if !self.by_name.contains_key(&name) {
            // The place is taken now, so that each is written once.
            self.by_name.insert(name.clone(), Value::Null);
            self.pending.push(message.clone());
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The shape of every error.
    pub(super) fn add_error(&mut self) {
        let error = json!({
            "type": "object",
            "required": ["error"],
            "properties": { "error": {
                "type": "object",
                "required": ["code", "status", "message"],
                "properties": {
                    "code": { "type": "integer", "description": "The HTTP status." },
                    "status": { "type": "string", "description": "The name of the gRPC code." },
                    "message": { "type": "string", "description": "What went wrong and what to do." },
                    "details": {
                        "type": "array",
                        "description": "google.rpc details; each names its type in `@type`.",
                        "items": { "type": "object", "properties": { "@type": { "type": "string" } } },
                    },
                },
            } },
        });
        self.by_name.insert("Error".to_owned(), error);
    }

    /// `lightning.agents.v1.Agent` is `agents.Agent`: short, and unique since packages are. Messages of
    /// an upstream keep their whole name below that of the upstream, which no package of ours has.
    fn component_name(&self, message: &MessageDescriptor) -> String {
        let name = message.full_name();
        match self.upstream {
            Some(upstream) => format!("{upstream}.{name}"),
            None => name.strip_prefix("lightning.").unwrap_or(name).replace(".v1.", "."),
        }
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields() {
            let behaviours = behaviours(&field);
            let mut schema = of_field(&field, self);
            let notes = schema.as_object_mut();
            if let Some(notes) = notes {
                notes.insert("description".to_owned(), json!(self.comments.of_field(&field)));
                if behaviours.contains(&OUTPUT_ONLY) {
                    notes.insert("readOnly".to_owned(), json!(true));
                }
                if behaviours.contains(&INPUT_ONLY) {
                    notes.insert("writeOnly".to_owned(), json!(true));
                }
            }
            if behaviours.contains(&REQUIRED) {
                required.push(json!(field.name()));
            }
            properties.insert(field.name().to_owned(), schema);
        }
        let mut schema = json!({
            "type": "object",
            "description": self.comments.of(message.parent_file().name(), message.path()),
            "properties": properties,
        });
        if !required.is_empty() {
            schema["required"] = Value::Array(required);
        }
        schema
    }
}

/// The schema of one field.
pub(super) fn of_field(field: &FieldDescriptor, schemas: &mut Schemas<'_>) -> Value {
    if field.is_map() {
        let entry = field.kind();
        let value = entry.as_message().map(MessageDescriptor::map_entry_value_field);
        let value = value.map_or_else(|| json!({}), |value| of_kind(&value.kind(), schemas));
        return json!({ "type": "object", "additionalProperties": value });
    }
    let one = of_kind(&field.kind(), schemas);
    if field.cardinality() == Cardinality::Repeated {
        return json!({ "type": "array", "items": one });
    }
    one
}

/// Whether a field can be a query parameter: scalars, lists of them and well-known scalars.
pub(super) fn fits_query(field: &FieldDescriptor) -> bool {
    let is_string = |message: &MessageDescriptor| {
        let schema = well_known(message.full_name());
        schema.is_some_and(|schema| schema.get("type").is_some_and(|kind| kind == "string"))
    };
    !field.is_map() && field.kind().as_message().is_none_or(is_string)
}

/// Whether a field holds a raw body.
pub(super) fn is_raw(field: &FieldDescriptor) -> bool {
    field.kind().as_message().is_some_and(|message| message.full_name() == "google.api.HttpBody")
}

fn of_kind(kind: &Kind, schemas: &mut Schemas<'_>) -> Value {
    match kind {
        Kind::Double | Kind::Float => json!({ "type": "number" }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({ "type": "integer", "format": "int32" })
        }
        Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0 }),
        // Strings beyond 2^53, which JSON numbers cannot carry exactly everywhere.
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
            json!({ "type": ["integer", "string"], "format": "int64" })
        }
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Message(message) => schemas.reference(message),
        Kind::Enum(of) => {
            let words: Vec<String> = of.values().map(|value| enum_word(of, value.name())).collect();
            json!({ "type": "string", "enum": words })
        }
    }
}

/// Types whose JSON is not an object of their fields.
fn well_known(name: &str) -> Option<Value> {
    Some(match name {
        "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "google.protobuf.Duration" => {
            json!({ "type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$" })
        }
        "google.protobuf.FieldMask" => json!({ "type": "string" }),
        "google.protobuf.Struct" => json!({ "type": "object", "additionalProperties": true }),
        "google.protobuf.Value" => json!({}),
        "google.protobuf.Empty" => json!({ "type": "object" }),
        "google.protobuf.Any" => {
            json!({ "type": "object", "properties": { "@type": { "type": "string" } } })
        }
        _ => return None,
    })
}

fn behaviours(field: &FieldDescriptor) -> Vec<i32> {
    let pool = field.parent_pool().clone();
    let Some(extension) = pool.get_extension_by_name("google.api.field_behavior") else {
        return Vec::new();
    };
    let options = field.options();
    let value = options.get_extension(&extension);
    let list = value.as_list().unwrap_or_default();
    list.iter().filter_map(prost_reflect::Value::as_enum_number).collect()
}

//! Which of the field-name conventions apply to a route, decided once at start.
//!
//! The conventions go by field name and type alone (`request_id`, `etag`, `update_mask`), so they
//! hold for every service without any of them being known here.

use http::Method;
use prost_reflect::{
    ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};

use super::{
    super::{BodyRule, MaskPlan, PathField, Plan},
    is_output_only,
};
use crate::json::Wkt;

pub(super) fn of(
    method: &MethodDescriptor,
    http_method: &Method,
    body: &BodyRule,
    response_body: Option<&FieldDescriptor>,
    path_fields: &[PathField],
    behavior: Option<&ExtensionDescriptor>,
) -> Plan {
    let input = method.input();
    let output = method.output();
    let raw_in = match body {
        BodyRule::None => false,
        BodyRule::All => is_http_body(&input),
        BodyRule::Field(field) => message_of(field).is_some_and(|message| is_http_body(&message)),
    };
    let raw_out = match response_body {
        Some(field) => message_of(field).is_some_and(|message| is_http_body(&message)),
        None => is_http_body(&output),
    };
    let shown = match response_body {
        Some(_) => None,
        None => Some(&output),
    };
    Plan {
        request_id: string_field(&input, "request_id"),
        etag: etag(&input, body),
        answer_etag: shown.and_then(|message| string_field(message, "etag")),
        mask: mask(&input, http_method, body, path_fields, behavior),
        streaming: method.is_server_streaming(),
        input,
        output,
        raw_in,
        raw_out,
    }
}

/// Whether a message is `google.api.HttpBody`, which carries raw bytes and their type.
fn is_http_body(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.api.HttpBody"
}

/// The message of a singular field that holds an ordinary one.
fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    if let Kind::Message(message) = field.kind()
        && !field.is_list()
        && !field.is_map()
    {
        return Some(message);
    }
    None
}

fn string_field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    let field = message.get_field_by_name(name)?;
    (field.kind() == Kind::String && !field.is_list()).then_some(field)
}

fn etag(input: &MessageDescriptor, body: &BodyRule) -> Option<Vec<FieldDescriptor>> {
    if let BodyRule::Field(field) = body
        && let Some(message) = message_of(field)
        && let Some(etag) = string_field(&message, "etag")
    {
        return Some(vec![field.clone(), etag]);
    }
    string_field(input, "etag").map(|etag| vec![etag])
}

fn mask(
    input: &MessageDescriptor,
    http_method: &Method,
    body: &BodyRule,
    path_fields: &[PathField],
    behavior: Option<&ExtensionDescriptor>,
) -> Option<MaskPlan> {
    if http_method != Method::PUT && http_method != Method::PATCH {
        return None;
    }
    let BodyRule::Field(resource) = body else { return None };
    let message = message_of(resource).filter(|message| Wkt::of(message).is_none())?;
    let field = input.get_field_by_name("update_mask")?;
    if message_of(&field)?.full_name() != "google.protobuf.FieldMask" {
        return None;
    }
    let mut excluded: Vec<String> =
        path_fields.iter().filter_map(|field| field.in_body.clone()).collect();
    let silent =
        |field: &FieldDescriptor| field.name() == "etag" || is_output_only(field, behavior);
    excluded.extend(message.fields().filter(silent).map(|field| field.name().to_owned()));
    Some(MaskPlan { field, nested: http_method == Method::PATCH, excluded })
}

//! The request message: path, body, query and headers put together, in one fixed order.
//!
//! The path is stronger than the body and the body than the query, but they never have to fight:
//! a body that names a path field with another value is refused, and so is a query parameter for a
//! field of the path or the body. So the address that was authorised is the one that is acted on.
//!
//! By field name and type alone, and for every service alike: `Idempotency-Key` fills `request_id`,
//! `If-Match` fills `etag`, and on PUT and PATCH the keys of the body fill an absent `update_mask`.

use bytes::Bytes;
use http::{HeaderMap, header};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

use crate::{
    JsonStyle, Route, Routes,
    codec::Seen,
    json::scalar,
    routes::{BodyRule, MaskPlan, PathField},
    status::Refusal,
};

mod query;

use query::Binder;
pub(crate) use query::MAX_QUERY;

/// The longest idempotency key, in bytes.
const MAX_KEY: usize = 255;

/// A request, taken apart.
pub(crate) struct Parts<'r> {
    pub(crate) routes: &'r Routes,
    pub(crate) route: &'r Route,
    pub(crate) captures: &'r [String],
    pub(crate) query: &'r str,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) content: Content,
}

/// What the body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    Form,
    /// Bytes for a `google.api.HttpBody`, with their type.
    Raw(String),
}

/// Puts the request message together.
pub(crate) fn request(parts: Parts<'_>) -> Result<DynamicMessage, Refusal> {
    let plan = &parts.route.plan;
    let mut message = DynamicMessage::new(plan.input.clone());
    let Parts { routes, route, captures, query, headers, body, content } = parts;
    let style = routes.options().json;
    let form = (content == Content::Form).then(|| body.clone());

    let seen = read_body(routes, route, &mut message, body, content)?;
    for (field, text) in route.bound().iter().zip(captures) {
        path(&mut message, field, text, &seen, style)?;
    }

    let mut binder = Binder::new(&mut message, route, routes.options());
    if let Some(form) = form {
        let text = std::str::from_utf8(&form)
            .map_err(|_| Refusal::field("INVALID_VALUE", "", "the form is not UTF-8"))?;
        binder.form(text, captures)?;
    }
    binder.query(query)?;

    idempotency_key(&mut message, route, headers)?;
    if_match(&mut message, route, headers)?;
    if let Some(mask) = &plan.mask
        && !message.has_field(&mask.field)
    {
        update_mask(&mut message, mask, &seen);
    }
    Ok(message)
}

/// Reads the body into the message and tells which fields it names, where somebody needs that.
fn read_body(
    routes: &Routes,
    route: &Route,
    message: &mut DynamicMessage,
    body: Bytes,
    content: Content,
) -> Result<Seen, Refusal> {
    let blank = body.iter().all(u8::is_ascii_whitespace);
    let note =
        route.plan.mask.is_some() || route.bound().iter().any(|field| field.in_body.is_some());
    match (route.body(), content) {
        (BodyRule::None, _) if blank || body.trim_ascii() == b"{}" => Ok(Seen::default()),
        (BodyRule::None, _) => {
            let text = "this operation takes no body: its fields go into the path and the query";
            Err(Refusal::field("UNEXPECTED_BODY", "", text))
        }
        (BodyRule::All, Content::Raw(content_type)) => {
            raw(message, content_type, body);
            Ok(Seen::default())
        }
        (BodyRule::Field(field), Content::Raw(content_type)) => {
            if let Some(inner) = message.get_field_mut(field).as_message_mut() {
                raw(inner, content_type, body);
            }
            Ok(Seen::default())
        }
        (BodyRule::All | BodyRule::Field(_), Content::Form) => Ok(Seen::default()),
        (BodyRule::All, Content::Json) if blank => Ok(Seen::default()),
        (BodyRule::All, Content::Json) => {
            let read = routes.codec().read(&route.plan.input, &body, note);
            let (read, noted) = read.map_err(|error| Refusal::json(&error, &body, ""))?;
            *message = read;
            Ok(noted.0)
        }
        (BodyRule::Field(field), Content::Json) if blank => {
            if !matches!(field.kind(), Kind::Message(_)) || field.is_list() || field.is_map() {
                return Err(Refusal::field("INVALID_VALUE", field.name(), "a body is expected"));
            }
            message.get_field_mut(field);
            Ok(Seen::default())
        }
        (BodyRule::Field(field), Content::Json) => {
            let read = routes.codec().read_field(field, &body, note);
            let (value, noted) =
                read.map_err(|error| Refusal::json(&error, &body, field.name()))?;
            match value {
                Some(value) => message.set_field(field, value),
                None => {
                    let text = "null is not a value";
                    return Err(Refusal::field("INVALID_VALUE", field.name(), text));
                }
            }
            Ok(noted.0)
        }
    }
}

/// Fills a `google.api.HttpBody`.
fn raw(message: &mut DynamicMessage, content_type: String, data: Bytes) {
    message.set_field_by_number(1, Value::String(content_type));
    message.set_field_by_number(2, Value::Bytes(data));
}

/// Binds a path variable; a body that says otherwise is refused.
fn path(
    message: &mut DynamicMessage,
    field: &PathField,
    text: &str,
    seen: &Seen,
    style: JsonStyle,
) -> Result<(), Refusal> {
    let leaf = field.fields.last().expect("a field path has a field");
    let value = scalar::parse(&leaf.kind(), text, style)
        .map_err(|description| Refusal::field("INVALID_VALUE", &field.path, description))?;
    if field.in_body.as_deref().is_some_and(|path| seen.has(path))
        && get(message, &field.fields).as_ref() != Some(&value)
    {
        let text = "the body disagrees with the path";
        return Err(Refusal::field("DISAGREEMENT", &field.path, text));
    }
    set(message, &field.fields, value);
    Ok(())
}

/// The value at the end of a chain of fields; unset parts give defaults.
fn get(message: &DynamicMessage, fields: &[FieldDescriptor]) -> Option<Value> {
    let (first, rest) = fields.split_first()?;
    let value = message.get_field(first);
    if rest.is_empty() {
        return Some(value.into_owned());
    }
    get(value.as_message()?, rest)
}

/// Sets the value at the end of a chain of message fields.
pub(crate) fn set(message: &mut DynamicMessage, fields: &[FieldDescriptor], value: Value) {
    let Some((first, rest)) = fields.split_first() else { return };
    if rest.is_empty() {
        message.set_field(first, value);
    } else if let Some(inner) = message.get_field_mut(first).as_message_mut() {
        set(inner, rest, value);
    }
}

/// `Idempotency-Key` is `request_id`, unless the caller gave that.
fn idempotency_key(
    message: &mut DynamicMessage,
    route: &Route,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let (Some(field), Some(key)) = (&route.plan.request_id, headers.get("idempotency-key")) else {
        return Ok(());
    };
    let given = message.get_field(field).as_str().is_some_and(|given| !given.is_empty());
    if given {
        return Ok(());
    }
    let key =
        key.to_str().ok().map(str::trim).filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
    let Some(key) = key else {
        let text = "the key is 1 to 255 characters of printable ASCII";
        return Err(Refusal::field("INVALID_VALUE", "Idempotency-Key", text));
    };
    message.set_field(field, Value::String(key.to_owned()));
    Ok(())
}

/// `If-Match` is the etag that the resource must have; `*` asks for nothing more than existence.
fn if_match(
    message: &mut DynamicMessage,
    route: &Route,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let (Some(fields), Some(value)) = (&route.plan.etag, headers.get(header::IF_MATCH)) else {
        return Ok(());
    };
    let wrong = |text: &str| Refusal::field("INVALID_VALUE", "If-Match", text);
    let value = value.to_str().map_err(|_| wrong("an entity tag is expected"))?.trim();
    if value == "*" {
        return Ok(());
    }
    let tag = value.strip_prefix("W/").unwrap_or(value);
    if tag.is_empty() || tag.trim_matches('"').contains('"') {
        return Err(wrong("one entity tag is expected"));
    }
    let given = get(message, fields);
    let given = given.as_ref().and_then(Value::as_str).filter(|given| !given.is_empty());
    if given.is_some_and(|given| given.trim_matches('"') != tag.trim_matches('"')) {
        let text = "the etag in the request disagrees with the header";
        return Err(Refusal::field("DISAGREEMENT", "If-Match", text));
    }
    set(message, fields, Value::String(tag.to_owned()));
    Ok(())
}

/// Makes the mask from the fields that the body names, so that `{"description": ""}` clears it.
fn update_mask(message: &mut DynamicMessage, plan: &MaskPlan, seen: &Seen) {
    let mut paths: Vec<Value> = Vec::new();
    for seen in seen.paths() {
        let path = match plan.nested {
            true => seen.path.as_str(),
            false => seen.path.split('.').next().unwrap_or_default(),
        };
        let excluded = |excluded: &String| {
            let rest = path.strip_prefix(excluded.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let path_value = Value::String(path.to_owned());
        if !path.is_empty() && !plan.excluded.iter().any(excluded) && !paths.contains(&path_value) {
            paths.push(path_value);
        }
    }
    if let Some(mask) = message.get_field_mut(&plan.field).as_message_mut() {
        mask.set_field_by_number(1, Value::List(paths));
    }
}

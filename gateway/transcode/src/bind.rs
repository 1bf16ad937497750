//! The request message: path, body, query and headers put together, in one fixed order.
//!
//! The path is stronger than the body and the body than the query, but they never have to fight:
//! a body that names a path field with another value is refused, and so is a query parameter for a
//! field of the path or the body. So the address that was authorised is the one that is acted on.
//!
//! All of it is written straight onto the wire: the body first, then the rest behind it. That is one
//! message, because a decoder takes the last of several values and merges the parts of a message.
//!
//! By field name and type alone, and for every service alike: `Idempotency-Key` fills `request_id`,
//! `If-Match` fills `etag`, and on PUT and PATCH the keys of the body fill an absent `update_mask`.

use bytes::Bytes;
use http::{HeaderMap, header};
use prost_reflect::FieldDescriptor;

use crate::{
    Route, Routes,
    direct::{
        DirectCodec,
        decode::{self, Seen},
        out, plain,
    },
    frames,
    routes::{BodyRule, MaskPlan, PathField},
    status::Refusal,
    tables::{FieldKind, FieldTable, MessageId, MessageTable, Shape, Tables},
};

mod query;
mod wire;

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

/// The request message as far as it is written.
struct Draft<'r> {
    codec: &'r DirectCodec,
    id: MessageId,
    of: &'r MessageTable,
    /// The place of the frame's prefix, then the message.
    framed: Vec<u8>,
}

/// Puts the request message together and gives it framed for gRPC.
pub(crate) fn request(parts: Parts<'_>) -> Result<Bytes, Refusal> {
    let Parts { routes, route, captures, query, headers, body, content } = parts;
    let mut draft = Draft::new(routes, route, body.len() + query.len())?;
    let form = (content == Content::Form).then(|| body.clone());

    let seen = draft.body(route, &body, content)?;
    for (field, text) in route.bound().iter().zip(captures) {
        draft.path(field, text, &seen)?;
    }

    if form.is_some() || !query.is_empty() {
        let mut binder = Binder::new(&mut draft, route, routes.options());
        if let Some(form) = form {
            let text = std::str::from_utf8(&form)
                .map_err(|_| Refusal::field("INVALID_VALUE", "", "the form is not UTF-8"))?;
            binder.form(text, captures)?;
        }
        binder.query(query)?;
    }

    draft.idempotency_key(route, headers)?;
    draft.if_match(route, headers)?;
    if let Some(mask) = &route.plan.mask
        && draft.value(std::slice::from_ref(&mask.field)).is_none()
    {
        draft.update_mask(mask, &seen);
    }
    Ok(frames::framed(draft.framed))
}

// === impl Draft ===

impl<'r> Draft<'r> {
    fn new(routes: &'r Routes, route: &Route, size: usize) -> Result<Self, Refusal> {
        let codec = routes.codec();
        let id = codec.tables.own(route.plan.input.full_name()).ok_or_else(unknown_input)?;
        let mut framed = Vec::with_capacity(frames::PREFIX + size + 64);
        framed.resize(frames::PREFIX, 0);
        Ok(Self { codec, id, of: codec.tables.message(id), framed })
    }

    fn tables(&self) -> &'r Tables {
        &self.codec.tables
    }

    fn message(&self) -> &[u8] {
        &self.framed[frames::PREFIX..]
    }

    /// The table of a field of the request message.
    fn field(&self, field: &FieldDescriptor) -> Result<&'r FieldTable, Refusal> {
        self.of.field_of_number(field.number()).ok_or_else(unknown_input)
    }

    /// The tables of a chain of fields, which begins at the request message.
    fn chain(&self, fields: &[FieldDescriptor]) -> Vec<&'r FieldTable> {
        let mut chain = Vec::with_capacity(fields.len());
        let mut of = Some(self.of);
        for field in fields {
            let Some(table) = of.and_then(|of| of.field_of_number(field.number())) else { break };
            of = message_of(table).map(|id| self.tables().message(id));
            chain.push(table);
        }
        chain
    }

    /// The bytes of the value at the end of a chain of fields, as far as the message is written.
    fn value(&self, fields: &[FieldDescriptor]) -> Option<&[u8]> {
        wire::last(self.message(), fields)
    }

    /// Writes a value at the end of a chain of message fields.
    fn set<T>(
        &mut self,
        chain: &[&FieldTable],
        write: impl FnOnce(&FieldTable, &mut Vec<u8>) -> T,
    ) -> Option<T> {
        within(&mut self.framed, chain, write)
    }

    /// Reads the body and tells which fields it names, where somebody needs that.
    fn body(&mut self, route: &Route, body: &Bytes, content: Content) -> Result<Seen, Refusal> {
        let blank = body.iter().all(u8::is_ascii_whitespace);
        let note =
            route.plan.mask.is_some() || route.bound().iter().any(|field| field.in_body.is_some());
        match (route.body(), content) {
            (BodyRule::None, _) if blank || body.trim_ascii() == b"{}" => {}
            (BodyRule::None, _) => {
                let text =
                    "this operation takes no body: its fields go into the path and the query";
                return Err(Refusal::field("UNEXPECTED_BODY", "", text));
            }
            (BodyRule::All, Content::Raw(content_type)) => {
                raw(&mut self.framed, &content_type, body);
            }
            (BodyRule::Field(field), Content::Raw(content_type)) => {
                let table = self.field(field)?;
                let part = out::open(&mut self.framed, table.tag.bytes());
                raw(&mut self.framed, &content_type, body);
                out::close(&mut self.framed, part);
            }
            (BodyRule::All | BodyRule::Field(_), Content::Form) => {}
            (BodyRule::All, Content::Json) if blank => {}
            (BodyRule::All, Content::Json) => {
                return decode::message(self.codec, self.id, body, note, &mut self.framed)
                    .map_err(|error| Refusal::json(&error, body, ""));
            }
            (BodyRule::Field(field), Content::Json) => {
                return self.body_field(field, body, blank, note);
            }
        }
        Ok(Seen::default())
    }

    /// Reads a body that is the value of one field.
    fn body_field(
        &mut self,
        field: &FieldDescriptor,
        body: &Bytes,
        blank: bool,
        note: bool,
    ) -> Result<Seen, Refusal> {
        let table = self.field(field)?;
        if blank {
            if table.shape != Shape::Singular || message_of(table).is_none() {
                return Err(Refusal::field("INVALID_VALUE", field.name(), "a body is expected"));
            }
            empty(&mut self.framed, table);
            return Ok(Seen::default());
        }
        let read = decode::field(self.codec, table, body, note, &mut self.framed);
        let seen = read.map_err(|error| Refusal::json(&error, body, field.name()))?;
        seen.ok_or_else(|| Refusal::field("INVALID_VALUE", field.name(), "null is not a value"))
    }

    /// Binds a path variable; a body that says otherwise is refused.
    fn path(&mut self, field: &PathField, text: &str, seen: &Seen) -> Result<(), Refusal> {
        let (tables, style) = (self.tables(), self.codec.style);
        let chain = self.chain(&field.fields);
        let named = field.in_body.as_deref().is_some_and(|path| seen.has(path));
        let before = self.framed.len();
        let written =
            self.set(&chain, |leaf, out| plain::field(tables, leaf, text, style, true, out));
        written
            .unwrap_or(Ok(()))
            .map_err(|description| Refusal::field("INVALID_VALUE", &field.path, description))?;
        if named {
            let (body, path) = self.framed.split_at(before);
            let body = wire::last(&body[frames::PREFIX..], &field.fields);
            if body != wire::last(path, &field.fields) {
                let text = "the body disagrees with the path";
                return Err(Refusal::field("DISAGREEMENT", &field.path, text));
            }
            // Said twice is said once.
            self.framed.truncate(before);
        }
        Ok(())
    }

    /// `Idempotency-Key` is `request_id`, unless the caller gave that.
    fn idempotency_key(&mut self, route: &Route, headers: &HeaderMap) -> Result<(), Refusal> {
        let (Some(field), Some(key)) = (&route.plan.request_id, headers.get("idempotency-key"))
        else {
            return Ok(());
        };
        if self.value(std::slice::from_ref(field)).is_some_and(|given| !given.is_empty()) {
            return Ok(());
        }
        let key =
            key.to_str().ok().map(str::trim).filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
        let Some(key) = key else {
            let text = "the key is 1 to 255 characters of printable ASCII";
            return Err(Refusal::field("INVALID_VALUE", "Idempotency-Key", text));
        };
        let table = self.field(field)?;
        out::bytes(&mut self.framed, table.tag.bytes(), key.as_bytes());
        Ok(())
    }

    /// `If-Match` is the etag that the resource must have; `*` asks for nothing more than existence.
    fn if_match(&mut self, route: &Route, headers: &HeaderMap) -> Result<(), Refusal> {
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
        let given = self.value(fields).and_then(|given| std::str::from_utf8(given).ok());
        let given = given.filter(|given| !given.is_empty());
        if given.is_some_and(|given| given.trim_matches('"') != tag.trim_matches('"')) {
            let text = "the etag in the request disagrees with the header";
            return Err(Refusal::field("DISAGREEMENT", "If-Match", text));
        }
        let chain = self.chain(fields);
        self.set(&chain, |leaf, out| out::bytes(out, leaf.tag.bytes(), tag.as_bytes()));
        Ok(())
    }

    /// Makes the mask from the fields that the body names, so that `{"description": ""}` clears it.
    fn update_mask(&mut self, plan: &MaskPlan, seen: &Seen) {
        let chain = self.chain(std::slice::from_ref(&plan.field));
        self.set(&chain, |mask, out| {
            let part = out::open(out, mask.tag.bytes());
            let mut previous = "";
            for seen in seen.paths() {
                let path = match plan.nested {
                    true => seen.path,
                    false => seen.path.split('.').next().unwrap_or_default(),
                };
                let excluded = |excluded: &String| {
                    let rest = path.strip_prefix(excluded.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                // A text names no field twice, so only the parts of one field can give equal paths.
                if !path.is_empty() && path != previous && !plan.excluded.iter().any(excluded) {
                    out::bytes(out, &[0x0a], path.as_bytes());
                }
                previous = path;
            }
            out::close(out, part);
        });
    }
}

/// The message that a field holds.
fn message_of(field: &FieldTable) -> Option<MessageId> {
    if let FieldKind::Message(id) | FieldKind::Group(id) = field.kind { Some(id) } else { None }
}

/// Writes the parents of the last field of a chain around what `write` gives for that.
fn within<T>(
    out: &mut Vec<u8>,
    chain: &[&FieldTable],
    write: impl FnOnce(&FieldTable, &mut Vec<u8>) -> T,
) -> Option<T> {
    let (leaf, parents) = chain.split_last()?;
    let mut open = Vec::with_capacity(parents.len());
    for parent in parents {
        if matches!(parent.kind, FieldKind::Group(_)) {
            out.extend_from_slice(parent.tag.bytes());
            open.push(None);
        } else {
            open.push(Some(out::open(out, parent.tag.bytes())));
        }
    }
    let written = write(leaf, out);
    for (parent, part) in parents.iter().zip(open).rev() {
        match part {
            Some(part) => out::close(out, part),
            None => out.extend_from_slice(parent.end.bytes()),
        }
    }
    Some(written)
}

/// Writes a message that is present and empty.
fn empty(out: &mut Vec<u8>, field: &FieldTable) {
    if matches!(field.kind, FieldKind::Group(_)) {
        out.extend_from_slice(field.tag.bytes());
        out.extend_from_slice(field.end.bytes());
    } else {
        out::bytes(out, field.tag.bytes(), b"");
    }
}

/// Writes the content of a `google.api.HttpBody`.
fn raw(out: &mut Vec<u8>, content_type: &str, data: &[u8]) {
    for (tag, value) in [(0x0a, content_type.as_bytes()), (0x12, data)] {
        if !value.is_empty() {
            out::bytes(out, &[tag], value);
        }
    }
}

/// A route is built from the pool that its tables are compiled from, so this is never seen.
fn unknown_input() -> Refusal {
    let message = "the request's message is not among the descriptors";
    Refusal::of_code(crate::status::known::INTERNAL, "MALFORMED_ROUTE", message)
}

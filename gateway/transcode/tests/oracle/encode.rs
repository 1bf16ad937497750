//! From a message to JSON.
//!
//! Map keys are sorted, so that equal messages give equal texts. A value that JSON cannot express
//! (a `Timestamp` out of range, a NaN inside a `Value`) is an error and never a guess; only an `Any`
//! of an unknown type has a fallback, `{"@type": …, "value": <base64>}`, since error details may be
//! of types that nobody here knows.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value,
};

use super::{
    Settings, Style, Wkt, names,
    number::{SAFE, put, write_double, write_float},
    time,
};

/// The most `Any`s inside each other; each is decoded anew, so the decoder's own limit is not enough.
const MAX_ANYS: usize = 16;

/// Why a message cannot be written as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncodeError(pub(crate) String);

type Result = std::result::Result<(), EncodeError>;

impl From<&str> for EncodeError {
    fn from(message: &str) -> Self {
        Self(message.to_owned())
    }
}

/// Writes a message.
pub(crate) fn message(settings: &Settings, message: &DynamicMessage, out: &mut Vec<u8>) -> Result {
    Encoder { settings, out, anys: 0 }.message(message)
}

/// Writes one field of a message as a whole JSON text. An unset message is `{}`, or `null` where its
/// JSON form is not an object.
pub(crate) fn field(
    settings: &Settings,
    message: &DynamicMessage,
    field: &FieldDescriptor,
    out: &mut Vec<u8>,
) -> Result {
    let mut encoder = Encoder { settings, out, anys: 0 };
    if let Kind::Message(of) = field.kind()
        && field.cardinality() != Cardinality::Repeated
        && !message.has_field(field)
    {
        let object = matches!(Wkt::of(&of), None | Some(Wkt::Any | Wkt::Struct));
        encoder.out.extend_from_slice(if object { b"{}" } else { b"null" });
        return Ok(());
    }
    encoder.field_value(field, &message.get_field(field))
}

struct Encoder<'s, 'o> {
    settings: &'s Settings,
    out: &'o mut Vec<u8>,
    anys: usize,
}

impl Encoder<'_, '_> {
    fn message(&mut self, message: &DynamicMessage) -> Result {
        if let Some(wkt) = Wkt::of(&message.descriptor()) {
            return self.wkt(wkt, message);
        }
        self.out.push(b'{');
        let mut first = true;
        self.members(message, &mut first)?;
        self.out.push(b'}');
        Ok(())
    }

    fn members(&mut self, message: &DynamicMessage, first: &mut bool) -> Result {
        for field in message.descriptor().fields() {
            let always = self.settings.style == Style::Product && !field.supports_presence();
            if !always && !message.has_field(&field) {
                continue;
            }
            self.comma(first);
            match self.settings.style {
                Style::Product => string(self.out, field.name()),
                Style::Canonical => string(self.out, field.json_name()),
            }
            self.out.push(b':');
            self.field_value(&field, &message.get_field(&field))?;
        }
        Ok(())
    }

    fn comma(&mut self, first: &mut bool) {
        if !std::mem::replace(first, false) {
            self.out.push(b',');
        }
    }

    fn field_value(&mut self, field: &FieldDescriptor, value: &Value) -> Result {
        let kind = field.kind();
        if field.is_list() {
            return self.list(&kind, value.as_list().unwrap_or_default());
        }
        if let (Kind::Message(entry), Some(map)) = (&kind, value.as_map()) {
            return self.map(&entry.map_entry_value_field().kind(), map);
        }
        self.value(&kind, value)
    }

    fn list(&mut self, kind: &Kind, list: &[Value]) -> Result {
        self.out.push(b'[');
        let mut first = true;
        for value in list {
            self.comma(&mut first);
            self.value(kind, value)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, kind: &Kind, map: &std::collections::HashMap<MapKey, Value>) -> Result {
        let mut entries: Vec<(&MapKey, &Value)> = map.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        self.out.push(b'{');
        let mut first = true;
        for (key, value) in entries {
            self.comma(&mut first);
            match key {
                MapKey::Bool(key) => put(self.out, format_args!("\"{key}\":")),
                MapKey::I32(key) => put(self.out, format_args!("\"{key}\":")),
                MapKey::I64(key) => put(self.out, format_args!("\"{key}\":")),
                MapKey::U32(key) => put(self.out, format_args!("\"{key}\":")),
                MapKey::U64(key) => put(self.out, format_args!("\"{key}\":")),
                MapKey::String(key) => {
                    string(self.out, key);
                    self.out.push(b':');
                }
            }
            self.value(kind, value)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn value(&mut self, kind: &Kind, value: &Value) -> Result {
        match value {
            Value::Bool(value) => put(self.out, format_args!("{value}")),
            Value::I32(value) => put(self.out, format_args!("{value}")),
            Value::U32(value) => put(self.out, format_args!("{value}")),
            Value::I64(value) if self.plain(value.unsigned_abs()) => {
                put(self.out, format_args!("{value}"));
            }
            Value::I64(value) => put(self.out, format_args!("\"{value}\"")),
            Value::U64(value) if self.plain(*value) => put(self.out, format_args!("{value}")),
            Value::U64(value) => put(self.out, format_args!("\"{value}\"")),
            Value::F32(value) => write_float(self.out, *value),
            Value::F64(value) => write_double(self.out, *value),
            Value::String(value) => string(self.out, value),
            Value::Bytes(value) => put(self.out, format_args!("\"{}\"", STANDARD.encode(value))),
            Value::EnumNumber(number) => self.enumeration(kind, *number),
            Value::Message(message) => return self.message(message),
            Value::List(list) => return self.list(kind, list),
            Value::Map(map) => return self.map(kind, map),
        }
        Ok(())
    }

    /// Whether a 64-bit integer is written as a number.
    fn plain(&self, distance: u64) -> bool {
        self.settings.style == Style::Product && distance < SAFE
    }

    fn enumeration(&mut self, kind: &Kind, number: i32) {
        let Kind::Enum(of) = kind else { return put(self.out, format_args!("{number}")) };
        if of.full_name() == "google.protobuf.NullValue" {
            return self.out.extend_from_slice(b"null");
        }
        match (of.get_value(number), self.settings.style) {
            (None, Style::Product | Style::Canonical) => put(self.out, format_args!("{number}")),
            (Some(value), Style::Canonical) => string(self.out, value.name()),
            (Some(value), Style::Product) => string(self.out, &names::word(of, value.name())),
        }
    }

    fn wkt(&mut self, wkt: Wkt, message: &DynamicMessage) -> Result {
        match wkt {
            Wkt::Timestamp => {
                let (seconds, nanos) = seconds_and_nanos(message);
                string(self.out, &time::format_timestamp(seconds, nanos)?);
            }
            Wkt::Duration => {
                let (seconds, nanos) = seconds_and_nanos(message);
                string(self.out, &time::format_duration(seconds, nanos)?);
            }
            Wkt::FieldMask => {
                let paths = first(message);
                let paths = paths.as_list().unwrap_or_default();
                let paths = paths.iter().filter_map(Value::as_str);
                string(self.out, &names::format_mask(paths, self.settings.style)?);
            }
            Wkt::Wrapper | Wkt::Struct | Wkt::ListValue => {
                let field = message.descriptor().get_field(1).expect("these types have field 1");
                return self.field_value(&field, &message.get_field(&field));
            }
            Wkt::Value => return self.any_json(message),
            Wkt::Any => {
                let url = first(message);
                let value = message.get_field_by_number(2);
                let bytes = value.as_ref().and_then(|value| value.as_bytes());
                self.any(url.as_str().unwrap_or_default(), bytes.unwrap_or(&Bytes::new()));
            }
        }
        Ok(())
    }

    fn any_json(&mut self, message: &DynamicMessage) -> Result {
        let set = message.fields().next();
        match set {
            None => self.out.extend_from_slice(b"null"),
            Some((_, Value::F64(value))) if !value.is_finite() => {
                return Err("a Value holds a number that JSON cannot express".into());
            }
            Some((field, value)) => return self.field_value(&field, value),
        }
        Ok(())
    }

    fn any(&mut self, url: &str, bytes: &Bytes) {
        if url.is_empty() && bytes.is_empty() {
            return self.out.extend_from_slice(b"{}");
        }
        self.out.extend_from_slice(b"{\"@type\":");
        string(self.out, url);
        let name = url.rsplit('/').next().unwrap_or_default();
        let of = self.settings.pool.get_message_by_name(name);
        let inner = of.filter(|_| self.anys < MAX_ANYS);
        let inner = inner.and_then(|of| DynamicMessage::decode(of, bytes.clone()).ok());
        let before = self.out.len();
        let written = inner.is_some_and(|inner| self.any_content(&inner).is_ok());
        if !written {
            self.out.truncate(before);
            put(self.out, format_args!(",\"value\":\"{}\"", STANDARD.encode(bytes)));
        }
        self.out.push(b'}');
    }

    fn any_content(&mut self, inner: &DynamicMessage) -> Result {
        self.anys += 1;
        let result = match Wkt::of(&inner.descriptor()) {
            Some(wkt) => {
                self.out.extend_from_slice(b",\"value\":");
                self.wkt(wkt, inner)
            }
            None => self.members(inner, &mut false),
        };
        self.anys -= 1;
        result
    }
}

fn first(message: &DynamicMessage) -> Value {
    message.get_field_by_number(1).map_or(Value::Bool(false), std::borrow::Cow::into_owned)
}

fn seconds_and_nanos(message: &DynamicMessage) -> (i64, i32) {
    let seconds = message.get_field_by_number(1).and_then(|value| value.as_i64());
    let nanos = message.get_field_by_number(2).and_then(|value| value.as_i32());
    (seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// Writes a string with quotes, escaping what JSON asks for and nothing else.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escaped: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        if escaped.is_empty() {
            put(out, format_args!("\\u{byte:04x}"));
        } else {
            out.extend_from_slice(escaped);
        }
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

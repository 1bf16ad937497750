//! From JSON to a message, walking the schema and the text together.

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};

use super::{
    JsonError, Settings, Wkt,
    lex::{Lexer, Next},
    names, number, scalar, suggest,
};

/// The most messages (and map entries) inside each other that protobuf decoders take by default. A text
/// may nest deeper than its message: one level of a `Struct` is three of the wire.
const MAX_WIRE_DEPTH: usize = 100;

/// A walk over one text.
pub(crate) struct Decoder<'t, 's> {
    pub(super) lex: Lexer<'t>,
    pub(super) settings: &'s Settings,
    /// How many messages are around the present one, since the last `Any`.
    wire_depth: usize,
}

type Result<T> = std::result::Result<T, JsonError>;

/// Reads a whole text as a message.
pub(crate) fn message(
    settings: &Settings,
    of: &MessageDescriptor,
    json: &[u8],
) -> Result<DynamicMessage> {
    let lex = Lexer::new(json, settings.max_depth)?;
    let mut decoder = Decoder { lex, settings, wire_depth: 0 };
    let message = decoder.message_value(of)?;
    decoder.lex.finish()?;
    Ok(message)
}

// === impl Decoder ===

impl Decoder<'_, '_> {
    /// Runs the part of the walk that is one message deeper.
    pub(super) fn deeper<T>(&mut self, walk: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.wire_depth == MAX_WIRE_DEPTH {
            let message = "the value nests deeper than a protobuf message can";
            return Err(JsonError::new(self.lex.offset(), message));
        }
        self.at_depth(self.wire_depth + 1, walk)
    }

    /// Runs a part of the walk at a depth, whatever its outcome.
    pub(super) fn at_depth<T>(
        &mut self,
        depth: usize,
        walk: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = std::mem::replace(&mut self.wire_depth, depth);
        let result = walk(self);
        self.wire_depth = before;
        result
    }

    /// Reads a message in whatever form its type has.
    pub(super) fn message_value(&mut self, of: &MessageDescriptor) -> Result<DynamicMessage> {
        let mut message = DynamicMessage::new(of.clone());
        match Wkt::of(of) {
            Some(wkt) => self.wkt(wkt, &mut message)?,
            None => self.object(&mut message, of, None)?,
        }
        Ok(message)
    }

    /// Reads an object into an ordinary message. `ignored` is the key of an `Any`'s type.
    pub(super) fn object(
        &mut self,
        message: &mut DynamicMessage,
        of: &MessageDescriptor,
        ignored: Option<&str>,
    ) -> Result<()> {
        self.expect(Next::Object)?;
        self.lex.enter()?;
        let mut first = true;
        let mut numbers = Vec::new();
        while let Some((key, offset)) = self.lex.key(&mut first)? {
            if ignored == Some(&*key) {
                self.lex.skip()?;
                continue;
            }
            let named = of.get_field_by_name(&key).or_else(|| of.get_field_by_json_name(&key));
            let Some(field) = named else {
                if self.settings.ignore_unknown {
                    self.lex.skip()?;
                    continue;
                }
                return Err(unknown_field(of, &key, offset));
            };
            if numbers.contains(&field.number()) {
                let message = "the field is given twice";
                return Err(JsonError::new(offset, message).under(field.name()));
            }
            numbers.push(field.number());
            self.member(message, &field, offset).map_err(|error| error.under(field.name()))?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        offset: usize,
    ) -> Result<()> {
        let value = self.field_value(field)?;
        let Some(value) = value else { return Ok(()) };
        if let Some(oneof) = field.containing_oneof()
            && let Some(other) = oneof.fields().find(|other| message.has_field(other))
        {
            let text = format!("{} is given too, and only one of them may be", other.name());
            return Err(JsonError::new(offset, text));
        }
        message.set_field(field, value);
        Ok(())
    }

    /// Reads the value of a field: a list, a map or a single value; `None` for `null`.
    fn field_value(&mut self, field: &FieldDescriptor) -> Result<Option<Value>> {
        let kind = field.kind();
        if self.lex.peek()? == Next::Null && (field.is_list() || !takes_null(&kind)) {
            self.lex.null()?;
            return Ok(None);
        }
        if field.is_list() {
            return self.list(&kind).map(Some);
        }
        if let (true, Kind::Message(entry)) = (field.is_map(), &kind) {
            return self.map(entry).map(Some);
        }
        self.value(&kind)
    }

    pub(super) fn list(&mut self, kind: &Kind) -> Result<Value> {
        self.expect(Next::Array)?;
        self.lex.enter()?;
        let mut first = true;
        let mut list = Vec::new();
        let mut index = 0;
        while self.lex.item(&mut first)? {
            let value = self.element(kind).map_err(|error| error.under_index(index))?;
            list.extend(value);
            index += 1;
        }
        Ok(Value::List(list))
    }

    fn map(&mut self, entry: &MessageDescriptor) -> Result<Value> {
        self.expect(Next::Object)?;
        self.lex.enter()?;
        let (keys, values) =
            (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut first = true;
        let mut map = std::collections::HashMap::new();
        let mut dropped = std::collections::HashSet::new();
        while let Some((text, offset)) = self.lex.key(&mut first)? {
            let key = scalar::key(&keys, &text)
                .map_err(|message| JsonError::new(offset, message).under_key(&text))?;
            if map.contains_key(&key) || dropped.contains(&key) {
                let error = JsonError::new(offset, "the key is given twice");
                return Err(error.under_key(&text));
            }
            let value = self.deeper(|decoder| decoder.element(&values));
            match value.map_err(|error| error.under_key(&text))? {
                Some(value) => drop(map.insert(key, value)),
                None => drop(dropped.insert(key)),
            }
        }
        Ok(Value::Map(map))
    }

    /// Reads an element of a list or a map, where `null` means nothing.
    fn element(&mut self, kind: &Kind) -> Result<Option<Value>> {
        if self.lex.peek()? == Next::Null && !takes_null(kind) {
            return Err(JsonError::new(self.lex.offset(), "null cannot be an element"));
        }
        self.value(kind)
    }

    /// Reads a single value; `None` only for an unknown enum name that is to be ignored.
    pub(super) fn value(&mut self, kind: &Kind) -> Result<Option<Value>> {
        let offset = self.lex.offset();
        let next = self.lex.peek()?;
        let fail = |message: &str| JsonError::new(offset, message);
        let value = match kind {
            Kind::Message(of) => Value::Message(self.deeper(|decoder| decoder.message_value(of))?),
            Kind::Enum(of) => return self.enumeration(of, next, offset),
            Kind::Bool => {
                self.expect(Next::Bool)?;
                Value::Bool(self.lex.bool()?)
            }
            Kind::String => {
                self.expect(Next::String)?;
                Value::String(self.lex.string()?.into_owned())
            }
            Kind::Bytes => {
                self.expect(Next::String)?;
                Value::Bytes(scalar::base64(&self.lex.string()?).map_err(|text| fail(&text))?)
            }
            Kind::Double
            | Kind::Float
            | Kind::Int32
            | Kind::Sint32
            | Kind::Sfixed32
            | Kind::Int64
            | Kind::Sint64
            | Kind::Sfixed64
            | Kind::Uint32
            | Kind::Fixed32
            | Kind::Uint64
            | Kind::Fixed64 => {
                let text = match next {
                    Next::String => self.lex.string()?,
                    Next::Number => self.lex.number()?.into(),
                    Next::Object | Next::Array | Next::Bool | Next::Null => {
                        return Err(fail(&format!(
                            "a number is expected, not {}",
                            next.describe()
                        )));
                    }
                };
                scalar::parse(kind, &text, self.settings.style).map_err(|text| fail(&text))?
            }
        };
        Ok(Some(value))
    }

    fn enumeration(
        &mut self,
        of: &EnumDescriptor,
        next: Next,
        offset: usize,
    ) -> Result<Option<Value>> {
        let number = match next {
            Next::Null => {
                self.lex.null()?;
                0
            }
            Next::Number => {
                let text = self.lex.number()?;
                number::sized(text).map_err(|message| JsonError::new(offset, message))?
            }
            Next::String => {
                let text = self.lex.string()?;
                match names::enum_number(of, &text, self.settings.style) {
                    Some(number) => number,
                    None if self.settings.ignore_unknown => return Ok(None),
                    None => return Err(JsonError::new(offset, unknown_value(of, &text))),
                }
            }
            Next::Object | Next::Array | Next::Bool => {
                let message = format!("a value of {} is expected", of.name());
                return Err(JsonError::new(offset, message));
            }
        };
        Ok(Some(Value::EnumNumber(number)))
    }

    /// Checks the kind of the next value.
    pub(super) fn expect(&mut self, wanted: Next) -> Result<()> {
        let offset = self.lex.offset();
        let next = self.lex.peek()?;
        if next == wanted {
            return Ok(());
        }
        let message = format!("{} is expected, not {}", wanted.describe(), next.describe());
        Err(JsonError::new(offset, message))
    }
}

/// Whether `null` is a value of the type and not the absence of one.
fn takes_null(kind: &Kind) -> bool {
    if let Kind::Message(message) = kind {
        return Wkt::of(message) == Some(Wkt::Value);
    }
    if let Kind::Enum(of) = kind {
        return of.full_name() == "google.protobuf.NullValue";
    }
    false
}

fn unknown_field(of: &MessageDescriptor, key: &str, offset: usize) -> JsonError {
    let shown: String = key.chars().take(64).collect();
    let fields: Vec<FieldDescriptor> = of.fields().collect();
    let message = match suggest::nearest(key, fields.iter().map(FieldDescriptor::name)) {
        Some(near) => format!("there is no field {shown:?}; did you mean {near:?}?"),
        None => format!("there is no field {shown:?}"),
    };
    JsonError::new(offset, message).under(&shown)
}

/// Says which words an enum knows, as many as fit.
pub(crate) fn unknown_value(of: &EnumDescriptor, text: &str) -> String {
    const SHOWN: usize = 12;
    let shown: String = text.chars().take(64).collect();
    let known: Vec<String> =
        of.values().take(SHOWN).map(|value| names::word(of, value.name())).collect();
    let more = if of.values().len() > SHOWN { ", …" } else { "" };
    format!("{shown:?} is not one of {}{more}", known.join(", "))
}

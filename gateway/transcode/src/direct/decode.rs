//! From JSON to the wire, walking the tables and the text together.
//!
//! Each value is written as it is read, so nothing is kept but the place in the text, the place in the
//! output and, for each message that is open, a bit for each of its fields. The length of a message
//! is written when its end is reached. Errors carry their path, which is put together on the way out
//! of the recursion and costs nothing while all is well.

use super::{
    DirectCodec,
    out::{self, Scalar},
    plain,
};
use crate::{
    json::{
        JsonError, Reason, Style,
        lex::{Lexer, Next},
        number,
    },
    suggest,
    tables::{EnumId, FieldKind, FieldTable, MessageId, MessageTable, Shape, Tables},
};

mod any;
mod fields;
mod keys;
mod seen;
#[cfg(test)]
mod tests;
mod wkt;

use fields::Fields;
use keys::{Key, Keys};
pub(crate) use seen::Seen;

/// The most messages (and map entries) inside each other that protobuf decoders take by default. A text
/// may nest deeper than its message: one level of a `Struct` is three of the wire.
const MAX_WIRE_DEPTH: usize = 100;

type Result<T> = std::result::Result<T, JsonError>;

/// Reads a whole text as a message and appends its wire bytes.
pub(crate) fn message(
    codec: &DirectCodec,
    of: MessageId,
    json: &[u8],
    note: bool,
    out: &mut Vec<u8>,
) -> Result<Seen> {
    let mut decoder = Decoder::new(codec, json, note, out)?;
    decoder.message_value(of)?;
    decoder.lex.finish()?;
    Ok(decoder.seen.unwrap_or_default())
}

/// Reads a whole text as the value of a field and appends it with its tag; `None` where the text gives
/// none, as `null` does.
pub(crate) fn field(
    codec: &DirectCodec,
    of: &FieldTable,
    json: &[u8],
    note: bool,
    out: &mut Vec<u8>,
) -> Result<Option<Seen>> {
    let mut decoder = Decoder::new(codec, json, note, out)?;
    let given = decoder.field_value(of)?;
    decoder.lex.finish()?;
    Ok((given == Given::Value).then(|| decoder.seen.unwrap_or_default()))
}

/// What the text says of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Value,
    Null,
    /// A name of an enum that nobody knows, to be ignored.
    Ignored,
}

/// A walk over one text.
struct Decoder<'t, 'c, 'o> {
    lex: Lexer<'t>,
    tables: &'c Tables,
    style: Style,
    ignore_unknown: bool,
    out: &'o mut Vec<u8>,
    /// `None` when nobody wants to know, and inside lists, maps and well-known types.
    seen: Option<Seen>,
    /// How many messages are around the present one, since the last `Any`.
    wire_depth: usize,
    /// How many bytes may still be read ahead in search of the type of an `Any`.
    ahead: usize,
}

impl<'t, 'c, 'o> Decoder<'t, 'c, 'o> {
    fn new(
        codec: &'c DirectCodec,
        json: &'t [u8],
        note: bool,
        out: &'o mut Vec<u8>,
    ) -> Result<Self> {
        let lex = Lexer::new(json, codec.max_depth)?;
        Ok(Self {
            lex,
            tables: &codec.tables,
            style: codec.style,
            ignore_unknown: codec.ignore_unknown,
            out,
            seen: note.then(Seen::default),
            wire_depth: 0,
            ahead: any::read_ahead(json.len()),
        })
    }

    /// Runs a part of the walk without noting fields.
    fn unnoted<T>(&mut self, walk: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let seen = self.seen.take();
        let result = walk(self);
        self.seen = seen;
        result
    }

    /// Runs the part of the walk that is one message deeper.
    fn deeper<T>(&mut self, walk: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.wire_depth == MAX_WIRE_DEPTH {
            let message = "the value nests deeper than a protobuf message can";
            let error = JsonError::invalid(self.lex.offset(), message);
            // That it is no acceptable JSON in the first place is the better answer.
            return self.lex.clone().skip().and(Err(error));
        }
        self.wire_depth += 1;
        let result = walk(self);
        self.wire_depth -= 1;
        result
    }

    /// Reads a message in whatever form its type has and writes its content.
    fn message_value(&mut self, of: MessageId) -> Result<()> {
        let of = self.tables.message(of);
        match of.wkt {
            Some(wkt) => self.unnoted(|decoder| decoder.wkt(wkt, of)),
            None => self.object(of),
        }
    }

    /// Reads an object into an ordinary message.
    fn object(&mut self, of: &'c MessageTable) -> Result<()> {
        self.expect(Next::Object)?;
        self.lex.enter()?;
        self.members(of, &mut true, false)
    }

    /// Reads the members of an object. In an `Any` the key of its type is passed over; `first` is false
    /// when that key has been read.
    fn members(&mut self, of: &'c MessageTable, first: &mut bool, in_any: bool) -> Result<()> {
        let typed = !*first;
        let mut fields = Fields::of(of);
        let mut slot = 0;
        while self.lex.member(first)? {
            let offset = self.lex.offset();
            // Most texts name the fields in their order and in the style's own spelling.
            if !of.fields.get(slot).is_some_and(|next| self.lex.takes(next.key(self.style))) {
                let (key, offset) = self.lex.name()?;
                match of.slot_of_name(key.as_bytes()) {
                    _ if in_any && key == any::TYPE => {
                        self.again(typed, offset)?;
                        continue;
                    }
                    Some(found) => slot = found,
                    None if self.ignore_unknown => {
                        self.lex.skip()?;
                        continue;
                    }
                    None => return Err(unknown_field(of, &key, offset)),
                }
            }
            let field = &of.fields[slot];
            if !fields.name(slot) {
                let message = "the field is given twice";
                return Err(JsonError::new(Reason::Malformed, offset, message).under(&field.name));
            }
            self.member(field, slot, &mut fields, offset)
                .map_err(|error| error.under(&field.name))?;
            slot += 1;
        }
        Ok(())
    }

    fn member(
        &mut self,
        field: &'c FieldTable,
        slot: usize,
        fields: &mut Fields<'c>,
        offset: usize,
    ) -> Result<()> {
        let entered = self.seen.as_mut().map(|seen| seen.enter(&field.name));
        let given = self.field_value(field)?;
        if let (Some(seen), Some(entered)) = (&mut self.seen, entered) {
            seen.leave(entered, given != Given::Value);
        }
        if given == Given::Value
            && field.oneof.is_some()
            && let Some(other) = fields.choose(slot)
        {
            let text = format!("{} is given too, and only one of them may be", other.name);
            return Err(JsonError::invalid(offset, text));
        }
        Ok(())
    }

    /// Reads the value of a field, a list, a map or a single value, and writes it with its tag.
    fn field_value(&mut self, field: &'c FieldTable) -> Result<Given> {
        let next = self.lex.peek()?;
        let list = field.shape == Shape::Repeated || field.shape == Shape::Packed;
        if next == Next::Null && (list || !field.takes_null) {
            self.lex.null()?;
            return Ok(Given::Null);
        }
        match field.shape {
            Shape::Singular => return self.single(field, !field.presence),
            Shape::Repeated => self.unnoted(|decoder| decoder.list(field))?,
            Shape::Packed => self.unnoted(|decoder| decoder.packed(field))?,
            Shape::Map => self.unnoted(|decoder| decoder.map(field))?,
        }
        Ok(Given::Value)
    }

    fn list(&mut self, field: &'c FieldTable) -> Result<()> {
        self.expect(Next::Array)?;
        self.lex.enter()?;
        let mut first = true;
        let mut index = 0;
        while self.lex.item(&mut first)? {
            self.element(field, |decoder| decoder.single(field, false).map(drop))
                .map_err(|error| error.under_index(index))?;
            index += 1;
        }
        Ok(())
    }

    fn packed(&mut self, field: &'c FieldTable) -> Result<()> {
        self.expect(Next::Array)?;
        self.lex.enter()?;
        let part = out::open(self.out, field.tag.bytes());
        let mut first = true;
        let mut index = 0;
        while self.lex.item(&mut first)? {
            let value = self.element(field, |decoder| decoder.scalar(field.kind));
            if let Some(value) = value.map_err(|error| error.under_index(index))? {
                value.put(self.out);
            }
            index += 1;
        }
        if out::is_empty(self.out, &part) {
            out::abandon(self.out, part, field.tag.bytes());
        } else {
            out::close(self.out, part);
        }
        Ok(())
    }

    fn map(&mut self, field: &'c FieldTable) -> Result<()> {
        let FieldKind::Message(entry) = field.kind else { return Ok(()) };
        let [key_field, value_field] = &*self.tables.message(entry).fields else { return Ok(()) };
        self.expect(Next::Object)?;
        self.lex.enter()?;
        let mut keys = Keys::new();
        let mut first = true;
        while let Some((text, offset)) = self.lex.key(&mut first)? {
            let start = self.out.len();
            let part = out::open(self.out, field.tag.bytes());
            let key = plain::map_key(key_field, &text, self.out)
                .map_err(|message| JsonError::invalid(offset, message).under_key(&text))?;
            let key = key.map_or_else(|| Key::Text(text.clone()), Key::Number);
            if !keys.insert(key) {
                let error = JsonError::new(Reason::Malformed, offset, "the key is given twice");
                return Err(error.under_key(&text));
            }
            let given = self.deeper(|decoder| {
                decoder.element(value_field, |decoder| decoder.single(value_field, false))
            });
            match given.map_err(|error| error.under_key(&text))? {
                Given::Value => out::close(self.out, part),
                Given::Null | Given::Ignored => self.out.truncate(start),
            }
        }
        Ok(())
    }

    /// Reads an element of a list or a map, where `null` means nothing.
    fn element<T>(
        &mut self,
        field: &FieldTable,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if !field.takes_null && self.lex.peek()? == Next::Null {
            return Err(JsonError::invalid(self.lex.offset(), "null cannot be an element"));
        }
        read(self)
    }

    /// Reads a single value and writes it with its tag; a default is left out where `sparse` says so.
    fn single(&mut self, field: &'c FieldTable, sparse: bool) -> Result<Given> {
        let tag = field.tag.bytes();
        match field.kind {
            FieldKind::Message(of) => {
                let part = out::open(self.out, tag);
                self.deeper(|decoder| decoder.message_value(of))?;
                out::close(self.out, part);
            }
            FieldKind::Group(of) => {
                self.out.extend_from_slice(tag);
                self.deeper(|decoder| decoder.message_value(of))?;
                self.out.extend_from_slice(field.end.bytes());
            }
            FieldKind::String => {
                self.expect(Next::String)?;
                self.string(tag, sparse)?;
            }
            FieldKind::Bytes => {
                self.expect(Next::String)?;
                let offset = self.lex.offset();
                let text = self.lex.string()?;
                let part = out::open(self.out, tag);
                plain::base64(&text, self.out).map_err(|text| JsonError::invalid(offset, text))?;
                if sparse && out::is_empty(self.out, &part) {
                    out::abandon(self.out, part, tag);
                } else {
                    out::close(self.out, part);
                }
            }
            FieldKind::Double
            | FieldKind::Float
            | FieldKind::Int32
            | FieldKind::Sint32
            | FieldKind::Sfixed32
            | FieldKind::Int64
            | FieldKind::Sint64
            | FieldKind::Sfixed64
            | FieldKind::Uint32
            | FieldKind::Fixed32
            | FieldKind::Uint64
            | FieldKind::Fixed64
            | FieldKind::Bool
            | FieldKind::Enum(_) => match self.scalar(field.kind)? {
                Some(value) if sparse && value.is_default() => {}
                Some(value) => value.put_field(self.out, &field.tag),
                None => return Ok(Given::Ignored),
            },
        }
        Ok(Given::Value)
    }

    /// Writes the string that comes next.
    fn string(&mut self, tag: &[u8], sparse: bool) -> Result<()> {
        match self.lex.plain_string()? {
            Some("") if sparse => {}
            Some(text) => out::bytes(self.out, tag, text.as_bytes()),
            None => {
                let part = out::open(self.out, tag);
                self.lex.string_into(self.out)?;
                out::close(self.out, part);
            }
        }
        Ok(())
    }

    /// Reads a number, a boolean or an enum; `None` only for an unknown enum name that is to be ignored.
    fn scalar(&mut self, kind: FieldKind) -> Result<Option<Scalar>> {
        let next = self.lex.peek()?;
        let offset = self.lex.offset();
        if next == Next::Number
            && let Some(value) = self.lex.integer()
        {
            if kind == FieldKind::Bool {
                return Err(unexpected(Next::Bool, next, offset));
            }
            let value = small(kind, value);
            return value
                .map(Some)
                .ok_or_else(|| JsonError::invalid(offset, "the number is out of range"));
        }
        if let FieldKind::Enum(of) = kind {
            return self.enumeration(of, next);
        }
        if kind == FieldKind::Bool {
            self.expect(Next::Bool)?;
            return Ok(Some(Scalar::Varint(u64::from(self.lex.bool()?))));
        }
        let value = match next {
            Next::Number => plain::checked(kind, self.lex.number()?),
            Next::String => plain::numeric(kind, &self.lex.string()?),
            Next::Object | Next::Array | Next::Bool | Next::Null => {
                let text = format!("a number is expected, not {}", next.describe());
                return Err(JsonError::invalid(offset, text));
            }
        };
        value.map(Some).map_err(|text| JsonError::invalid(offset, text))
    }

    fn enumeration(&mut self, of: EnumId, next: Next) -> Result<Option<Scalar>> {
        let offset = self.lex.offset();
        let of = self.tables.enumeration(of);
        let number = match next {
            Next::Null => {
                self.lex.null()?;
                0
            }
            Next::Number => {
                let text = self.lex.number()?;
                number::sized(text).map_err(|message| JsonError::invalid(offset, message))?
            }
            Next::String => {
                let text = self.lex.string()?;
                match of.number(&text, self.style) {
                    Some(number) => number,
                    None if self.ignore_unknown => return Ok(None),
                    None => {
                        let shown: String = text.chars().take(64).collect();
                        let message = format!("{shown:?} is not one of {}", of.known);
                        return Err(JsonError::invalid(offset, message));
                    }
                }
            }
            Next::Object | Next::Array | Next::Bool => {
                let message = format!("a value of {} is expected", of.name);
                return Err(JsonError::invalid(offset, message));
            }
        };
        Ok(Some(plain::varint(number)))
    }

    /// Checks the kind of the next value.
    fn expect(&mut self, wanted: Next) -> Result<()> {
        let next = self.lex.peek()?;
        if next == wanted {
            return Ok(());
        }
        Err(unexpected(wanted, next, self.lex.offset()))
    }
}

fn unexpected(wanted: Next, next: Next, offset: usize) -> JsonError {
    let message = format!("{} is expected, not {}", wanted.describe(), next.describe());
    JsonError::invalid(offset, message)
}

/// An integer of at most 18 digits, as a number of a kind; `None` when it is out of range.
#[expect(
    clippy::cast_precision_loss,
    reason = "it rounds to the nearest, as reading the text does"
)]
fn small(kind: FieldKind, value: i64) -> Option<Scalar> {
    match kind {
        FieldKind::Int32 | FieldKind::Enum(_) => i32::try_from(value).ok().map(plain::varint),
        FieldKind::Int64 => Some(Scalar::Varint(value.cast_unsigned())),
        FieldKind::Uint32 => {
            u32::try_from(value).ok().map(|value| Scalar::Varint(u64::from(value)))
        }
        FieldKind::Uint64 => u64::try_from(value).ok().map(Scalar::Varint),
        FieldKind::Double => Some(Scalar::Eight((value as f64).to_bits())),
        FieldKind::Float => Some(Scalar::Four((value as f32).to_bits())),
        FieldKind::Sint32
        | FieldKind::Sfixed32
        | FieldKind::Sint64
        | FieldKind::Sfixed64
        | FieldKind::Fixed32
        | FieldKind::Fixed64
        | FieldKind::Bool
        | FieldKind::String
        | FieldKind::Bytes
        | FieldKind::Message(_)
        | FieldKind::Group(_) => plain::integer(kind, i128::from(value)),
    }
}

fn unknown_field(of: &MessageTable, key: &str, offset: usize) -> JsonError {
    let shown: String = key.chars().take(64).collect();
    let message = match suggest::nearest(key, of.fields.iter().map(|field| &*field.name)) {
        Some(near) => format!("there is no field {shown:?}; did you mean {near:?}?"),
        None => format!("there is no field {shown:?}"),
    };
    JsonError::new(Reason::UnknownField, offset, message).under(&shown)
}

//! From JSON to the wire, walking the tables and the text together.
//!
//! Each value is written as it is read, so nothing is kept but the place in the text, the place in the
//! output and, for each message that is open, a bit for each of its fields. The length of a message
//! is written when its end is reached. Errors carry their path, which is put together on the way out
//! of the recursion and costs nothing while all is well.

use super::DirectCodec;
use crate::{
    json::{
        JsonError, Reason, Style,
        lex::{Lexer, Next},
    },
    suggest,
    tables::{FieldTable, MessageId, MessageTable, Shape, Tables},
};

mod any;
mod fields;
mod keys;
mod seen;
#[cfg(test)]
mod tests;
mod value;
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

fn unknown_field(of: &MessageTable, key: &str, offset: usize) -> JsonError {
    let shown: String = key.chars().take(64).collect();
    let message = match suggest::nearest(key, of.fields.iter().map(|field| &*field.name)) {
        Some(near) => format!("there is no field {shown:?}; did you mean {near:?}?"),
        None => format!("there is no field {shown:?}"),
    };
    JsonError::new(Reason::UnknownField, offset, message).under(&shown)
}

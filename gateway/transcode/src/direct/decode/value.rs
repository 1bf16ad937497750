//! The values of fields: lists, maps, scalars, and messages by way of the walk.

use super::{Decoder, Given, Key, Keys, Result, unexpected};
use crate::{
    direct::{
        out::{self, Scalar},
        plain,
    },
    json::{JsonError, Reason, lex::Next, number},
    tables::{EnumId, FieldKind, FieldTable},
};

impl<'c> Decoder<'_, 'c, '_> {
    pub(super) fn list(&mut self, field: &'c FieldTable) -> Result<()> {
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

    pub(super) fn packed(&mut self, field: &'c FieldTable) -> Result<()> {
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

    pub(super) fn map(&mut self, field: &'c FieldTable) -> Result<()> {
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
    pub(super) fn single(&mut self, field: &'c FieldTable, sparse: bool) -> Result<Given> {
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
                plain::base64_field(&text, tag, sparse, self.out)
                    .map_err(|text| JsonError::invalid(offset, text))?;
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
    pub(super) fn string(&mut self, tag: &[u8], sparse: bool) -> Result<()> {
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

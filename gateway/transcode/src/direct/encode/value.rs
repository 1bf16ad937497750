//! Values: scalars, enums, lists, and messages that came in one piece or several.

use super::{Encoder, Fail, Place, Result, text, wire};
use crate::{
    json::Style,
    tables::{EnumId, FieldKind, FieldTable, MessageId, Shape},
};

impl<'t> Encoder<'t, '_> {
    /// Writes the one value of a field.
    pub(super) fn singular(
        &mut self,
        field: &'t FieldTable,
        bytes: &[u8],
        place: Place,
        depth: u32,
    ) -> Result {
        let (FieldKind::Message(of) | FieldKind::Group(of)) = field.kind else {
            return self.value(field, bytes, &mut (place.last as usize), depth);
        };
        let mut at = place.first as usize;
        wire::key(bytes, &mut at)?;
        if at == place.last as usize {
            return self.value(field, bytes, &mut at, depth);
        }
        self.pieces(of, field, bytes, place, depth)
    }

    /// Joins the pieces of a message: their concatenation is the merged message.
    #[cold]
    pub(super) fn pieces(
        &mut self,
        of: MessageId,
        field: &FieldTable,
        bytes: &[u8],
        place: Place,
        depth: u32,
    ) -> Result {
        let mut whole = Vec::new();
        let mut at = place.first as usize;
        while at <= place.last as usize && at < bytes.len() {
            let (number, wire_type) = wire::key(bytes, &mut at)?;
            if number == field.number {
                whole.extend_from_slice(field.content(bytes, &mut at)?);
            } else {
                wire::skip(bytes, &mut at, number, wire_type)?;
            }
        }
        self.nested(of, &whole, depth)
    }

    /// Writes a list whose elements lie between the tag of the first and the value of the last.
    pub(super) fn list(
        &mut self,
        field: &'t FieldTable,
        bytes: &[u8],
        first: usize,
        last: usize,
        depth: u32,
    ) -> Result {
        self.out.push(b'[');
        let own = field.kind.wire_type();
        let mut at = first;
        let mut comma = false;
        while at <= last && at < bytes.len() {
            let (number, wire_type) = wire::key(bytes, &mut at)?;
            if number != field.number {
                wire::skip(bytes, &mut at, number, wire_type)?;
            } else if wire_type == own {
                if std::mem::replace(&mut comma, true) {
                    self.out.push(b',');
                }
                self.value(field, bytes, &mut at, depth)?;
                self.within_limit()?;
            } else if wire_type == wire::LEN {
                let packed = wire::delimited(bytes, &mut at)?;
                let mut inner = 0;
                while inner < packed.len() {
                    if std::mem::replace(&mut comma, true) {
                        self.out.push(b',');
                    }
                    self.value(field, packed, &mut inner, depth)?;
                    self.within_limit()?;
                }
            } else {
                return Err(Fail::Wire);
            }
        }
        self.out.push(b']');
        Ok(())
    }

    /// Writes one value and moves behind it.
    #[inline]
    pub(super) fn value(
        &mut self,
        field: &FieldTable,
        bytes: &[u8],
        at: &mut usize,
        depth: u32,
    ) -> Result {
        let plain = self.style == Style::Product;
        match field.kind {
            FieldKind::String => text::utf8(self.out, wire::delimited(bytes, at)?)?,
            FieldKind::Message(of) => {
                let inner = wire::delimited(bytes, at)?;
                self.nested(of, inner, depth)?;
            }
            FieldKind::Group(of) => {
                let inner = field.content(bytes, at)?;
                self.nested(of, inner, depth)?;
            }
            FieldKind::Enum(of) => {
                let number = narrow(wire::varint(bytes, at)?);
                self.enumeration(of, number);
            }
            FieldKind::Bytes => text::base64(self.out, wire::delimited(bytes, at)?),
            FieldKind::Bool => {
                let text: &[u8] = if wire::varint(bytes, at)? == 0 { b"false" } else { b"true" };
                self.out.extend_from_slice(text);
            }
            FieldKind::Double => {
                text::double(self.out, f64::from_le_bytes(wire::fixed(bytes, at)?));
            }
            FieldKind::Float => text::float(self.out, f32::from_le_bytes(wire::fixed(bytes, at)?)),
            FieldKind::Int32
            | FieldKind::Int64
            | FieldKind::Sint32
            | FieldKind::Sint64
            | FieldKind::Sfixed32
            | FieldKind::Sfixed64 => {
                let (value, wide) = signed(field.kind, bytes, at)?;
                if wide {
                    text::signed(self.out, value, plain);
                } else {
                    text::integer(self.out, value);
                }
            }
            FieldKind::Uint32 | FieldKind::Fixed32 => {
                text::integer(self.out, unsigned(field.kind, bytes, at)?);
            }
            FieldKind::Uint64 | FieldKind::Fixed64 => {
                text::unsigned(self.out, unsigned(field.kind, bytes, at)?, plain);
            }
        }
        Ok(())
    }

    /// Writes an enum's word or name; a number that has none is written as it is.
    fn enumeration(&mut self, of: EnumId, number: i32) {
        let of = self.tables.enumeration(of);
        if of.is_null {
            return self.out.extend_from_slice(b"null");
        }
        match of.text(number, self.style) {
            Some(text) => self.out.extend_from_slice(text),
            None => text::integer(self.out, number),
        }
    }
}

impl FieldTable {
    /// Whether the field may come with a wire type: its own, or a list of scalars as a whole.
    #[inline]
    pub(super) fn takes(&self, wire_type: u8) -> bool {
        let own = self.kind.wire_type();
        wire_type == own || (wire_type == wire::LEN && self.is_packable(own))
    }

    /// The bytes of a message's content, whichever way it is framed.
    pub(super) fn content<'b>(&self, bytes: &'b [u8], at: &mut usize) -> Result<&'b [u8]> {
        if self.kind.wire_type() == wire::GROUP {
            wire::group(bytes, at, self.number)
        } else {
            wire::delimited(bytes, at)
        }
    }

    fn is_packable(&self, own: u8) -> bool {
        let list = matches!(self.shape, Shape::Repeated | Shape::Packed);
        list && own != wire::LEN && own != wire::GROUP
    }
}

/// Reads an integer with a sign, and says whether it is one of 64 bits.
#[inline]
pub(super) fn signed(kind: FieldKind, bytes: &[u8], at: &mut usize) -> Result<(i64, bool)> {
    Ok(match kind {
        FieldKind::Int32 => (i64::from(narrow(wire::varint(bytes, at)?)), false),
        FieldKind::Int64 => (wire::varint(bytes, at)?.cast_signed(), true),
        FieldKind::Sint32 => {
            let value = narrow(wire::varint(bytes, at)?).cast_unsigned();
            (i64::from((value >> 1).cast_signed() ^ -(value & 1).cast_signed()), false)
        }
        FieldKind::Sint64 => {
            let value = wire::varint(bytes, at)?;
            ((value >> 1).cast_signed() ^ -(value & 1).cast_signed(), true)
        }
        FieldKind::Sfixed32 => (i64::from(i32::from_le_bytes(wire::fixed(bytes, at)?)), false),
        FieldKind::Sfixed64 => (i64::from_le_bytes(wire::fixed(bytes, at)?), true),
        FieldKind::Double
        | FieldKind::Float
        | FieldKind::Uint32
        | FieldKind::Fixed32
        | FieldKind::Uint64
        | FieldKind::Fixed64
        | FieldKind::Bool
        | FieldKind::String
        | FieldKind::Bytes
        | FieldKind::Enum(_)
        | FieldKind::Message(_)
        | FieldKind::Group(_) => return Err(Fail::Wire),
    })
}

/// Reads an integer without a sign, or a boolean as 0 or 1.
#[inline]
pub(super) fn unsigned(kind: FieldKind, bytes: &[u8], at: &mut usize) -> Result<u64> {
    Ok(match kind {
        FieldKind::Uint32 => u64::from(narrow(wire::varint(bytes, at)?).cast_unsigned()),
        FieldKind::Uint64 => wire::varint(bytes, at)?,
        FieldKind::Fixed32 => u64::from(u32::from_le_bytes(wire::fixed(bytes, at)?)),
        FieldKind::Fixed64 => u64::from_le_bytes(wire::fixed(bytes, at)?),
        FieldKind::Bool => u64::from(wire::varint(bytes, at)? != 0),
        FieldKind::Double
        | FieldKind::Float
        | FieldKind::Int32
        | FieldKind::Sint32
        | FieldKind::Sfixed32
        | FieldKind::Int64
        | FieldKind::Sint64
        | FieldKind::Sfixed64
        | FieldKind::String
        | FieldKind::Bytes
        | FieldKind::Enum(_)
        | FieldKind::Message(_)
        | FieldKind::Group(_) => return Err(Fail::Wire),
    })
}

/// The lower half of a varint, which is all that a type of 32 bits reads.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "protobuf drops the upper half")]
pub(super) fn narrow(value: u64) -> i32 {
    value as i32
}

/// Whether a scalar has the value that its type has when nothing is said.
pub(super) fn is_default(kind: FieldKind, bytes: &[u8], at: u32) -> Result<bool> {
    let at = &mut (at as usize);
    Ok(match kind {
        FieldKind::String | FieldKind::Bytes => wire::varint(bytes, at)? == 0,
        FieldKind::Bool | FieldKind::Int64 | FieldKind::Sint64 | FieldKind::Uint64 => {
            wire::varint(bytes, at)? == 0
        }
        FieldKind::Int32 | FieldKind::Sint32 | FieldKind::Uint32 | FieldKind::Enum(_) => {
            narrow(wire::varint(bytes, at)?) == 0
        }
        // Minus zero is not the default.
        FieldKind::Double | FieldKind::Fixed64 | FieldKind::Sfixed64 => {
            wire::fixed::<8>(bytes, at)? == [0; 8]
        }
        FieldKind::Float | FieldKind::Fixed32 | FieldKind::Sfixed32 => {
            wire::fixed::<4>(bytes, at)? == [0; 4]
        }
        FieldKind::Message(_) | FieldKind::Group(_) => false,
    })
}

//! Reading back what has been written of the request message.
//!
//! Values come in several places (body, path, query), each behind the one before, so the last of a
//! field is the one that counts, wherever its parents are repeated.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::FieldDescriptor;

/// The bytes of the last value at the end of a chain of fields; of a length-delimited one its content.
pub(super) fn last<'w>(wire: &'w [u8], fields: &[FieldDescriptor]) -> Option<&'w [u8]> {
    let (first, rest) = fields.split_first()?;
    let mut found = None;
    let mut left = wire;
    while let Some((number, value)) = next(&mut left) {
        if number == first.number() {
            let value = if rest.is_empty() { Some(value) } else { last(value, rest) };
            found = value.or(found);
        }
    }
    found
}

/// Takes the next field; `None` at the end, which the end of a group is as well.
fn next<'w>(wire: &mut &'w [u8]) -> Option<(u32, &'w [u8])> {
    let (number, wire_type) = decode_key(wire).ok()?;
    if wire_type == WireType::LengthDelimited {
        let length = usize::try_from(decode_varint(wire).ok()?).ok()?;
        let (value, after) = wire.split_at_checked(length)?;
        *wire = after;
        return Some((number, value));
    }
    let before = *wire;
    skip_field(wire_type, number, wire, DecodeContext::default()).ok()?;
    Some((number, &before[..before.len() - wire.len()]))
}

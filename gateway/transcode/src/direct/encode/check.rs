//! What is not written is checked nevertheless: a value that a later one replaced must be a value.
//!
//! So what counts as a message does not depend on what JSON shows of it, and a message that is both
//! damaged and inexpressible is called damaged, as by a decoder that reads everything first. Only
//! what is unusual comes here; the walk that writes checks all the rest on its way.

use super::{Fail, Result, wire};
use crate::tables::{FieldKind, FieldTable, MessageId, Shape, Tables};

/// Checks that bytes are a message, with so many levels of messages below it.
pub(super) fn message(tables: &Tables, of: MessageId, bytes: &[u8], depth: u32) -> Result {
    let table = tables.message(of);
    let mut at = 0;
    while at < bytes.len() {
        let (number, wire_type) = wire::key(bytes, &mut at)?;
        match table.field_of_number(number) {
            Some(field) => value(tables, field, wire_type, bytes, &mut at, depth)?,
            None => wire::skip(bytes, &mut at, number, wire_type)?,
        }
    }
    Ok(())
}

/// Checks a value of a field (of a list that is packed, all of them) and moves behind it.
pub(super) fn value(
    tables: &Tables,
    field: &FieldTable,
    wire_type: u8,
    bytes: &[u8],
    at: &mut usize,
    depth: u32,
) -> Result {
    if !field.takes(wire_type) {
        return Err(Fail::Wire);
    }
    let own = field.kind.wire_type();
    if wire_type != own {
        let packed = wire::delimited(bytes, at)?;
        let mut inner = 0;
        while inner < packed.len() {
            wire::skip(packed, &mut inner, field.number, own)?;
        }
        return Ok(());
    }
    match field.kind {
        FieldKind::String => text(wire::delimited(bytes, at)?).map(drop),
        // The entries of a map are no level of their own.
        FieldKind::Message(of) if field.shape == Shape::Map => {
            message(tables, of, wire::delimited(bytes, at)?, depth)
        }
        FieldKind::Message(of) | FieldKind::Group(of) => {
            let inner = field.content(bytes, at)?;
            let depth = depth.checked_sub(1).ok_or(Fail::Wire)?;
            message(tables, of, inner, depth)
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
        | FieldKind::Bytes
        | FieldKind::Enum(_) => wire::skip(bytes, at, field.number, own),
    }
}

/// Checks a value at a place behind its tag, which something later stands for. A message is not
/// replaced but merged, unless another member of its oneof was set.
#[cold]
pub(super) fn replaced(
    tables: &Tables,
    field: &FieldTable,
    bytes: &[u8],
    at: u32,
    depth: u32,
) -> Result {
    let merged = matches!(field.kind, FieldKind::Message(_) | FieldKind::Group(_));
    if merged && field.oneof.is_none() {
        return Ok(());
    }
    value(tables, field, field.kind.wire_type(), bytes, &mut (at as usize), depth)
}

/// Checks that bytes are a text.
pub(super) fn text(bytes: &[u8]) -> Result<&[u8]> {
    std::str::from_utf8(bytes).map(str::as_bytes).map_err(|_| Fail::Wire)
}

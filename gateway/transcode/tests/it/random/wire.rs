//! Wire bytes that mean the same or nearly the same as an encoder's, and damaged ones.
//!
//! An encoder writes fields in order, each once and packed as declared; a decoder must take them in any
//! order, repeated, split, packed or not, and among fields that it does not know.

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::{Rng, values};

/// One field on the wire: its number, wire type and what follows the tag.
struct Record {
    number: u32,
    wire_type: u8,
    payload: Vec<u8>,
}

/// Rewrites a valid message into an unusual form. It stays valid.
pub(crate) fn vary(rng: &mut Rng, of: &MessageDescriptor, wire: &[u8]) -> Vec<u8> {
    let Some(mut records) = split(wire) else { return wire.to_vec() };
    for record in &mut records {
        let Some(field) = of.get_field(record.number) else { continue };
        if let (Kind::Message(inner), 2) = (field.kind(), record.wire_type)
            && rng.once_in(3)
        {
            record.payload = vary(rng, &inner, &record.payload);
        }
    }
    let mut varied = Vec::new();
    for record in records {
        match of.get_field(record.number) {
            Some(field) if rng.once_in(4) => repack(rng, &field, record, &mut varied),
            Some(_) | None => varied.push(record),
        }
    }
    if rng.once_in(3) {
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(varied.len() + 1);
            varied.insert(at, unknown(rng));
        }
    }
    match rng.below(4) {
        0 => rng.shuffle(&mut varied),
        1 if !varied.is_empty() => {
            let at = rng.below(varied.len());
            let Record { number, wire_type, ref payload } = varied[at];
            let again = Record { number, wire_type, payload: payload.clone() };
            varied.push(again);
        }
        _ => {}
    }
    let mut out = Vec::new();
    for record in &varied {
        put(&mut out, record);
    }
    out
}

/// Damages wire bytes.
pub(crate) fn spoil(rng: &mut Rng, wire: &[u8]) -> Vec<u8> {
    let mut bytes = wire.to_vec();
    for _ in 0..1 + rng.below(3) {
        let at = rng.below(bytes.len() + 1);
        let end = (at + rng.below(8)).min(bytes.len());
        match rng.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
            3 => drop(bytes.splice(at..at, values::bytes(rng))),
            4 => {
                let byte = *rng.pick(&[0, 0x0b, 0x0c, 0x7f, 0x80, 0xff]);
                bytes.insert(at, byte);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            _ => {}
        }
    }
    bytes
}

/// Whether a map's entry has another wire type than a message has. prost-reflect does not look at it and
/// takes what follows for a length.
pub(crate) fn has_wrong_map_entry(of: &MessageDescriptor, wire: &[u8]) -> bool {
    let (records, rest) = split_start(wire);
    let is_map = |number| of.get_field(number).is_some_and(|field| field.is_map());
    // What cannot be split further may begin with a group.
    let next = take(&mut &*rest, 0).map(number).and_then(|tag| u32::try_from(tag >> 3).ok());
    next.is_some_and(is_map)
        || records.iter().any(|record| match of.get_field(record.number) {
            Some(field) if field.is_map() && record.wire_type != 2 => true,
            Some(field) => field.kind().as_message().is_some_and(|inner| {
                record.wire_type == 2 && has_wrong_map_entry(inner, &record.payload)
            }),
            None => false,
        })
}

/// Splits a repeated field's packed form, packs a single value, or says the same integer with more bytes.
fn repack(rng: &mut Rng, field: &FieldDescriptor, record: Record, out: &mut Vec<Record>) {
    let Record { number, wire_type, payload } = record;
    let Some(element) = wire_type_of(&field.kind()) else {
        return out.push(Record { number, wire_type, payload });
    };
    let repeated = field.cardinality() == Cardinality::Repeated;
    if repeated && wire_type == element {
        return out.push(Record { number, wire_type: 2, payload });
    }
    if repeated && wire_type == 2 {
        let mut rest = payload.as_slice();
        while let Some(one) = take(&mut rest, element) {
            out.push(Record { number, wire_type: element, payload: one.to_vec() });
            if rng.once_in(5) {
                break;
            }
        }
        if !rest.is_empty() {
            out.push(Record { number, wire_type: 2, payload: rest.to_vec() });
        }
        return;
    }
    let mut payload = payload;
    if wire_type == 0 && payload.len() < 9 {
        let last = payload.len() - 1;
        payload[last] |= 0x80;
        payload.push(0);
    }
    out.push(Record { number, wire_type, payload });
}

/// The wire type of a scalar that can be packed.
fn wire_type_of(kind: &Kind) -> Option<u8> {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Some(1),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Some(5),
        Kind::String | Kind::Bytes | Kind::Message(_) => None,
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => Some(0),
    }
}

/// A field with a number that no contract of ours uses, a group of them at times.
fn unknown(rng: &mut Rng) -> Record {
    let number = *rng.pick(&[900_000, 16_000_000, (1 << 29) - 1]);
    let wire_type = *rng.pick(&[0, 1, 2, 3, 5]);
    let payload = match wire_type {
        0 => vec![0x96, 0x01],
        1 => vec![1; 8],
        2 => values::bytes(rng),
        5 => vec![2; 4],
        _ => {
            let mut group = Vec::new();
            put(&mut group, &Record { number: 1, wire_type: 0, payload: vec![7] });
            varint(&mut group, (u64::from(number) << 3) | 4);
            group
        }
    };
    Record { number, wire_type, payload }
}

fn put(out: &mut Vec<u8>, record: &Record) {
    varint(out, (u64::from(record.number) << 3) | u64::from(record.wire_type));
    if record.wire_type == 2 {
        varint(out, record.payload.len().try_into().expect("a length fits"));
    }
    out.extend_from_slice(&record.payload);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The fields of a message without groups; `None` for what is not one.
fn split(wire: &[u8]) -> Option<Vec<Record>> {
    let (records, rest) = split_start(wire);
    rest.is_empty().then_some(records)
}

/// The fields that can be read, and what is left.
fn split_start(mut wire: &[u8]) -> (Vec<Record>, &[u8]) {
    let mut records = Vec::new();
    while !wire.is_empty() {
        let mut rest = wire;
        let Some(record) = record(&mut rest) else { break };
        records.push(record);
        wire = rest;
    }
    (records, wire)
}

fn record(wire: &mut &[u8]) -> Option<Record> {
    let tag = number(take(wire, 0)?);
    let wire_type = u8::try_from(tag & 7).ok()?;
    let payload = if wire_type == 2 {
        let length = usize::try_from(number(take(wire, 0)?)).ok()?;
        let (payload, rest) = wire.split_at_checked(length)?;
        *wire = rest;
        payload
    } else {
        take(wire, wire_type)?
    };
    Some(Record { number: u32::try_from(tag >> 3).ok()?, wire_type, payload: payload.to_vec() })
}

/// Takes one value of a wire type other than 2 from the front.
fn take<'w>(wire: &mut &'w [u8], wire_type: u8) -> Option<&'w [u8]> {
    let length = match wire_type {
        0 => wire.iter().take(10).position(|byte| *byte < 0x80)? + 1,
        1 => 8,
        5 => 4,
        _ => return None,
    };
    let (value, rest) = wire.split_at_checked(length)?;
    *wire = rest;
    Some(value)
}

fn number(varint: &[u8]) -> u64 {
    varint.iter().rev().fold(0, |sum, byte| (sum << 7) | u64::from(byte & 0x7f))
}

//! From the wire to JSON, in one walk over the bytes and the tables.
//!
//! Fields may come in any order, twice or in pieces, while JSON has each once and in the order of the
//! descriptor. So a message is looked at twice: once for where its fields are (their headers only; two
//! numbers for each field, in a stack that all levels and all calls of a thread share), once to
//! write them from there. A list or map is looked for from its first element to its last, whatever lies
//! between, so the work is at most the size times the depth and the number of lists of a message,
//! whatever a service sends. Nothing is allocated but the output, save for the notes (8 bytes for each
//! field of the messages that are open, 32 for each entry of the maps that are) and for a message that
//! came in several pieces: these are joined first, which is what merging means.
//!
//! A value that a later one replaced is checked like one that is shown; unknown fields, and what lies
//! beside the one field that is selected, are checked for their framing only. Memory is bounded by the output, and that by the
//! input: see [`GROWTH`]. A failure leaves the output as it was.

use std::cell::Cell;

use prost_reflect::{FieldDescriptor, MessageDescriptor};

use super::DirectCodec;
use crate::{
    codec::CodecError,
    json::Style,
    tables::{FieldTable, MessageId, MessageTable, Shape, Tables},
};

mod check;
mod known;
mod map;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod value;
pub(crate) mod wire;

/// The deepest nesting of messages below the first, as other decoders have it.
const MAX_DEPTH: u32 = 100;
/// The most `Any`s inside each other.
const MAX_ANYS: u32 = 16;
/// How many bytes of JSON one byte of a message may become. An empty message of two bytes shows all its
/// defaults in the product's style, so the size of the answer alone does not bound the memory.
const GROWTH: usize = 64;
/// What may be written however small the message is.
const HEADROOM: usize = 1 << 20;
/// The most places that are kept for the next call of the thread.
const KEPT: usize = 4096;
/// The place of a field that is not there.
const NOWHERE: u32 = u32::MAX;

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fail {
    /// The bytes are not the message.
    Wire,
    /// JSON cannot say it.
    Inexpressible(&'static str),
}

type Result<T = ()> = std::result::Result<T, Fail>;

/// Where a field is in its message.
#[derive(Clone, Copy)]
struct Place {
    /// The tag of the first occurrence.
    first: u32,
    /// The value of the last occurrence, behind its tag.
    last: u32,
}

const ABSENT: Place = Place { first: NOWHERE, last: NOWHERE };

/// What a walk notes down, kept from call to call.
#[derive(Default)]
struct Scratch {
    places: Vec<Place>,
    entries: Vec<map::Entry>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// Appends the JSON of a message, or of one field of it as a whole text. An unset message is then
/// `{}`, or `null` where its JSON form is not an object.
///
/// # Errors
/// When the bytes are not such a message or hold what JSON cannot express.
fn to_json(
    codec: &DirectCodec,
    of: MessageId,
    field: Option<u32>,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> std::result::Result<(), CodecError> {
    let table = codec.tables.message(of);
    let malformed = || CodecError::Wire(table.full_name.to_string());
    // Places are kept in 32 bits; no transport brings so much.
    if u32::try_from(wire.len()).is_err() {
        return Err(malformed());
    }
    let before = out.len();
    let mut encoder = Encoder::new(&codec.tables, codec.style, wire.len(), out);
    let written = match field {
        None => encoder.message(of, wire, MAX_DEPTH),
        Some(number) => encoder.selected(table, number, wire),
    };
    encoder.finish();
    written.map_err(|fail| {
        out.truncate(before);
        match fail {
            Fail::Inexpressible(why)
                if check::message(&codec.tables, of, wire, MAX_DEPTH).is_ok() =>
            {
                CodecError::Inexpressible(why.to_owned())
            }
            Fail::Wire | Fail::Inexpressible(_) => malformed(),
        }
    })
}

/// Appends the JSON of an `Any` given by its parts. A type that nobody knows, and content that is not
/// of its type, become `{"@type": …, "value": <base64>}`: error details may be of private types.
pub(crate) fn any(codec: &DirectCodec, url: &str, value: &[u8], out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(&codec.tables, codec.style, value.len(), out);
    let written = encoder.any(url.as_bytes(), value, MAX_DEPTH);
    debug_assert!(written.is_ok(), "the name of a type is text");
    encoder.finish();
}

impl DirectCodec {
    /// Appends the JSON of a message, or of one field of it, that is known by its descriptor.
    pub(crate) fn print(
        &self,
        of: &MessageDescriptor,
        shown: Option<&FieldDescriptor>,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), CodecError> {
        let unknown = || CodecError::Unknown(of.full_name().to_owned());
        let id = self.tables.find(of.full_name()).ok_or_else(unknown)?;
        to_json(self, id, shown.map(FieldDescriptor::number), wire, out)
    }
}

struct Encoder<'t, 'o> {
    tables: &'t Tables,
    style: Style,
    out: &'o mut Vec<u8>,
    /// The length of the output that must not be passed.
    limit: usize,
    anys: u32,
    scratch: Scratch,
}

impl<'t, 'o> Encoder<'t, 'o> {
    fn new(tables: &'t Tables, style: Style, size: usize, out: &'o mut Vec<u8>) -> Self {
        let limit = out.len().saturating_add(size.saturating_mul(GROWTH)).saturating_add(HEADROOM);
        let mut scratch = SCRATCH.take();
        scratch.places.clear();
        scratch.entries.clear();
        Self { tables, style, out, limit, anys: 0, scratch }
    }

    /// Keeps the scratch for the next call, unless this one was out of the ordinary.
    fn finish(self) {
        let scratch = self.scratch;
        if scratch.places.capacity() <= KEPT && scratch.entries.capacity() <= KEPT {
            SCRATCH.set(scratch);
        }
    }

    fn message(&mut self, of: MessageId, wire: &[u8], depth: u32) -> Result {
        let table = self.tables.message(of);
        if let Some(wkt) = table.wkt {
            return self.known(wkt, table, wire, depth);
        }
        self.out.push(b'{');
        self.members(table, wire, depth, true)?;
        self.out.push(b'}');
        Ok(())
    }

    /// Writes one field of a message.
    fn selected(&mut self, table: &'t MessageTable, number: u32, wire: &[u8]) -> Result {
        let slot = table.slot_of_number(number).ok_or(Fail::Wire)?;
        let field = &table.fields[slot];
        let base = self.index(table, wire, MAX_DEPTH)?;
        let place = self.scratch.places[base + slot];
        if place.first == NOWHERE {
            self.out.extend_from_slice(field.unset(self.style));
            return Ok(());
        }
        self.present(field, wire, place, MAX_DEPTH)
    }

    /// Writes a message inside of another.
    fn nested(&mut self, of: MessageId, wire: &[u8], depth: u32) -> Result {
        if depth == 0 {
            return Err(Fail::Wire);
        }
        self.message(of, wire, depth - 1)
    }

    /// Writes the members of an object, the first without a comma if it is the object's first.
    fn members(
        &mut self,
        table: &'t MessageTable,
        wire: &[u8],
        depth: u32,
        mut first: bool,
    ) -> Result {
        let base = self.index(table, wire, depth)?;
        for (slot, field) in table.fields.iter().enumerate() {
            let place = self.scratch.places[base + slot];
            if place.first == NOWHERE {
                if self.style == Style::Product && !field.presence {
                    self.out.extend_from_slice(field.unset_member(first));
                    first = false;
                }
                continue;
            }
            if self.style == Style::Canonical && !field.presence {
                self.unless_default(field, wire, place, depth, &mut first)?;
                continue;
            }
            self.key(field, &mut first);
            self.present(field, wire, place, depth)?;
        }
        self.scratch.places.truncate(base);
        self.within_limit()
    }

    #[inline]
    fn within_limit(&self) -> Result {
        if self.out.len() > self.limit {
            return Err(Fail::Inexpressible("its JSON would be far larger than the message"));
        }
        Ok(())
    }

    #[inline]
    fn key(&mut self, field: &FieldTable, first: &mut bool) {
        let first = std::mem::replace(first, false);
        self.out.extend_from_slice(field.next_key(self.style, first));
    }

    /// Writes a member unless it has the value that stands for its absence.
    fn unless_default(
        &mut self,
        field: &'t FieldTable,
        wire: &[u8],
        place: Place,
        depth: u32,
        first: &mut bool,
    ) -> Result {
        if field.shape == Shape::Singular && value::is_default(field.kind, wire, place.last)? {
            return Ok(());
        }
        let (before, was_first) = (self.out.len(), *first);
        self.key(field, first);
        let start = self.out.len();
        self.present(field, wire, place, depth)?;
        // A packed list may be there and hold nothing.
        if field.shape != Shape::Singular && self.out.len() == start + 2 {
            self.out.truncate(before);
            *first = was_first;
        }
        Ok(())
    }

    /// Writes the value of a field that is there.
    fn present(&mut self, field: &'t FieldTable, wire: &[u8], place: Place, depth: u32) -> Result {
        match field.shape {
            Shape::Singular => self.singular(field, wire, place, depth),
            Shape::Repeated | Shape::Packed => {
                self.list(field, wire, place.first as usize, place.last as usize, depth)
            }
            Shape::Map => self.map(field, wire, place.first as usize, place.last as usize, depth),
        }
    }

    /// Notes where each field is, and gives where the notes begin: one for each field, then the member
    /// that is set of each oneof.
    fn index(&mut self, table: &MessageTable, wire: &[u8], depth: u32) -> Result<usize> {
        let base = self.scratch.places.len();
        let fields = table.fields.len();
        self.scratch.places.resize(base + fields + table.oneofs, ABSENT);
        let places = &mut self.scratch.places[base..];
        let mut at = 0;
        // Fields mostly come in order, so that the number need not be looked up.
        let mut expected = 0;
        while at < wire.len() {
            let start = at;
            let (number, wire_type) = wire::key(wire, &mut at)?;
            let slot = match table.fields.get(expected) {
                Some(field) if field.number == number => Some(expected),
                Some(_) | None => table.slot_of_number(number),
            };
            let Some(slot) = slot else {
                wire::skip(wire, &mut at, number, wire_type)?;
                continue;
            };
            let field = &table.fields[slot];
            if !field.takes(wire_type) {
                return Err(Fail::Wire);
            }
            let place = places[slot];
            if place.first != NOWHERE && field.shape == Shape::Singular {
                check::replaced(self.tables, field, wire, place.last, depth)?;
            }
            if let Some(oneof) = field.oneof {
                let set = &mut places[fields + oneof as usize].first;
                let other = std::mem::replace(set, slot as u32) as usize;
                if other != slot && other != NOWHERE as usize {
                    let replaced = std::mem::replace(&mut places[other], ABSENT).last;
                    check::replaced(self.tables, &table.fields[other], wire, replaced, depth)?;
                }
            }
            let place = &mut places[slot];
            if place.first == NOWHERE {
                place.first = start as u32;
            }
            place.last = at as u32;
            wire::skip(wire, &mut at, number, wire_type)?;
            expected = slot + usize::from(field.shape == Shape::Singular);
        }
        Ok(base)
    }
}

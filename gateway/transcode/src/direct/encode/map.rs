//! Maps: entries in any order become members in the order of their keys, each key once.
//!
//! The order makes equal messages equal texts. Of entries with one key the last stands, as in any
//! decoder; a missing key or value is the default of its type.

use super::{Encoder, Fail, NOWHERE, Place, Result, check, text, value, wire};
use crate::tables::{FieldKind, FieldTable, MessageId};

/// Flips the sign bit, so that signed integers are ordered as unsigned ones.
const SIGN: u64 = 1 << 63;

/// Where an entry of a map is in its message.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// What the key is sorted by first: a number, or the first eight bytes of a text.
    order: u64,
    /// The key's text.
    key: (u32, u32),
    /// The last value in the entry, behind its tag.
    value: u32,
    /// The content of the entry.
    content: (u32, u32),
    /// Whether the entry holds several keys, or several values, which are merged if they are messages.
    split: bool,
}

impl Entry {
    fn key<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.key.0 as usize..self.key.1 as usize]
    }

    fn same_key(&self, other: &Self, bytes: &[u8]) -> bool {
        self.order == other.order && self.key(bytes) == other.key(bytes)
    }
}

impl<'t> Encoder<'t, '_> {
    /// Writes a map whose entries lie between the tag of the first and the value of the last.
    pub(super) fn map(
        &mut self,
        field: &'t FieldTable,
        bytes: &[u8],
        first: usize,
        last: usize,
        depth: u32,
    ) -> Result {
        let FieldKind::Message(of) = field.kind else { return Err(Fail::Wire) };
        let [key, value] = &*self.tables.message(of).fields else { return Err(Fail::Wire) };
        let base = self.scratch.entries.len();
        let sorted = self.collect(field.number, of, bytes, (first, last), depth)?;
        if !sorted {
            self.scratch.entries[base..].sort_unstable_by(|one, other| {
                let texts = || one.key(bytes).cmp(other.key(bytes));
                let place = || one.content.0.cmp(&other.content.0);
                one.order.cmp(&other.order).then_with(texts).then_with(place)
            });
        }
        self.out.push(b'{');
        let mut comma = false;
        let end = self.scratch.entries.len();
        for at in base..end {
            let entry = self.scratch.entries[at];
            if at + 1 < end && entry.same_key(&self.scratch.entries[at + 1], bytes) {
                let (start, end) = (entry.content.0 as usize, entry.content.1 as usize);
                check::message(self.tables, of, &bytes[start..end], depth)?;
                continue;
            }
            if std::mem::replace(&mut comma, true) {
                self.out.push(b',');
            }
            self.key_text(key.kind, &entry, bytes)?;
            self.out.push(b':');
            self.entry_value(value, &entry, bytes, depth)?;
            self.within_limit()?;
        }
        self.scratch.entries.truncate(base);
        self.out.push(b'}');
        Ok(())
    }

    /// Notes where the entries are, and says whether their keys are in order and each there once.
    fn collect(
        &mut self,
        number: u32,
        of: MessageId,
        bytes: &[u8],
        (first, last): (usize, usize),
        depth: u32,
    ) -> Result<bool> {
        let [key, value] = &*self.tables.message(of).fields else { return Err(Fail::Wire) };
        let mut at = first;
        let mut sorted = true;
        let mut previous: Option<Entry> = None;
        while at <= last && at < bytes.len() {
            let (other, wire_type) = wire::key(bytes, &mut at)?;
            if other != number {
                wire::skip(bytes, &mut at, other, wire_type)?;
                continue;
            }
            if wire_type != wire::LEN {
                return Err(Fail::Wire);
            }
            let length = wire::delimited(bytes, &mut at)?.len();
            let start = at - length;
            let entry = read_entry(key, value, bytes, start, at)?;
            if entry.split {
                check::message(self.tables, of, &bytes[start..at], depth)?;
            }
            sorted = sorted
                && previous.is_none_or(|previous| {
                    previous.order < entry.order
                        || (previous.order == entry.order && previous.key(bytes) < entry.key(bytes))
                });
            previous = Some(entry);
            self.scratch.entries.push(entry);
        }
        Ok(sorted)
    }

    /// Writes a key as a string.
    fn key_text(&mut self, kind: FieldKind, entry: &Entry, bytes: &[u8]) -> Result {
        match kind {
            FieldKind::String => text::utf8(self.out, entry.key(bytes))?,
            FieldKind::Bool if entry.order == 0 => self.out.extend_from_slice(b"\"false\""),
            FieldKind::Bool => self.out.extend_from_slice(b"\"true\""),
            FieldKind::Uint32 | FieldKind::Fixed32 | FieldKind::Uint64 | FieldKind::Fixed64 => {
                text::quoted(self.out, entry.order);
            }
            FieldKind::Int32
            | FieldKind::Sint32
            | FieldKind::Sfixed32
            | FieldKind::Int64
            | FieldKind::Sint64
            | FieldKind::Sfixed64 => {
                text::quoted(self.out, (entry.order ^ SIGN).cast_signed());
            }
            FieldKind::Double
            | FieldKind::Float
            | FieldKind::Bytes
            | FieldKind::Enum(_)
            | FieldKind::Message(_)
            | FieldKind::Group(_) => return Err(Fail::Wire),
        }
        Ok(())
    }

    fn entry_value(
        &mut self,
        value: &'t FieldTable,
        entry: &Entry,
        bytes: &[u8],
        depth: u32,
    ) -> Result {
        let message = if let FieldKind::Message(of) = value.kind { Some(of) } else { None };
        match message {
            Some(of) if entry.value == NOWHERE => self.nested(of, &[], depth),
            None if entry.value == NOWHERE => {
                self.out.extend_from_slice(value.unset(self.style));
                Ok(())
            }
            Some(of) if entry.split => {
                let (start, end) = entry.content;
                let place = Place { first: start, last: end };
                self.pieces(of, value, &bytes[..end as usize], place, depth)
            }
            Some(_) | None => self.value(value, bytes, &mut (entry.value as usize), depth),
        }
    }
}

/// Reads where key and value of an entry are.
fn read_entry(
    key: &FieldTable,
    value: &FieldTable,
    bytes: &[u8],
    start: usize,
    end: usize,
) -> Result<Entry> {
    let within = &bytes[..end];
    let mut at = start;
    let (mut key_at, mut value_at, mut split) = (None, NOWHERE, false);
    while at < end {
        let (number, wire_type) = wire::key(within, &mut at)?;
        let known = match number {
            1 => Some(key),
            2 => Some(value),
            _ => None,
        };
        if known.is_some_and(|field| field.kind.wire_type() != wire_type) {
            return Err(Fail::Wire);
        }
        match number {
            1 => split |= key_at.replace(at).is_some(),
            2 => {
                split |= value_at != NOWHERE;
                value_at = at as u32;
            }
            _ => {}
        }
        wire::skip(within, &mut at, number, wire_type)?;
    }
    let mut entry = Entry {
        order: 0,
        key: (0, 0),
        value: value_at,
        content: (start as u32, end as u32),
        split,
    };
    read_key(key.kind, within, key_at, &mut entry)?;
    Ok(entry)
}

fn read_key(kind: FieldKind, bytes: &[u8], at: Option<usize>, entry: &mut Entry) -> Result {
    match kind {
        FieldKind::String => {
            let Some(mut at) = at else { return Ok(()) };
            let text = wire::delimited(bytes, &mut at)?;
            entry.key = ((at - text.len()) as u32, at as u32);
            entry.order = head(text, &bytes[at - text.len()..]);
        }
        FieldKind::Int32
        | FieldKind::Sint32
        | FieldKind::Sfixed32
        | FieldKind::Int64
        | FieldKind::Sint64
        | FieldKind::Sfixed64 => {
            entry.order = SIGN;
            if let Some(mut at) = at {
                entry.order ^= value::signed(kind, bytes, &mut at)?.0.cast_unsigned();
            }
        }
        FieldKind::Uint32
        | FieldKind::Fixed32
        | FieldKind::Uint64
        | FieldKind::Fixed64
        | FieldKind::Bool => {
            if let Some(mut at) = at {
                entry.order = value::unsigned(kind, bytes, &mut at)?;
            }
        }
        FieldKind::Double
        | FieldKind::Float
        | FieldKind::Bytes
        | FieldKind::Enum(_)
        | FieldKind::Message(_)
        | FieldKind::Group(_) => return Err(Fail::Wire),
    }
    Ok(())
}

/// The first eight bytes of a text as a number that is ordered like them; what is missing is zero. They
/// are read at once where enough lies behind the text.
pub(super) fn head(text: &[u8], onwards: &[u8]) -> u64 {
    match (onwards.first_chunk(), text.len()) {
        (_, 0) => 0,
        (Some(head), length @ 1..8) => u64::from_be_bytes(*head) & (u64::MAX << (64 - 8 * length)),
        (Some(head), _) => u64::from_be_bytes(*head),
        (None, length) => {
            let head = text.iter().fold(0, |head, byte| head << 8 | u64::from(*byte));
            head << (64 - 8 * length)
        }
    }
}

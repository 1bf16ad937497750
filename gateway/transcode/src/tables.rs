//! What the codec must know of every message, laid out flat: descriptors are compiled once, at start.
//!
//! A descriptor answers questions by walking names, options and reference counts; a table has every
//! answer ready: the tag as the bytes that are written, the key of each style as the text that is
//! written, names and numbers as lookups that neither allocate nor take locks. Messages and enums
//! refer to each other by index, so a table is shared between threads as it is.
//!
//! A message that bears the name of a well-known type but not its fields is treated as an ordinary
//! one. Extensions have no table: their keys and numbers are unknown ones.

use std::sync::Arc;

use prost_reflect::DescriptorPool;

use crate::json::{Style, Wkt};

mod build;
mod names;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use names::NameMap;

/// Every message and enum of a pool.
pub(crate) struct Tables {
    /// What the tables were compiled from.
    pool: DescriptorPool,
    messages: Vec<MessageTable>,
    enums: Vec<EnumTable>,
    by_name: NameMap<MessageId>,
    /// How many of the messages are of the pool itself; the standard error details follow them.
    own: u32,
}

/// The index of a message in its [`Tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageId(u32);

/// The index of an enum in its [`Tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EnumId(u32);

/// One message.
pub(crate) struct MessageTable {
    /// The full name, such as `google.protobuf.Any`.
    pub(crate) full_name: Box<str>,
    /// The name without package and parents.
    pub(crate) name: Box<str>,
    pub(crate) wkt: Option<Wkt>,
    /// The fields in the order of the descriptor; of a map's entry always the key and the value. A
    /// place in this list is called a slot.
    pub(crate) fields: Box<[FieldTable]>,
    /// The number of oneofs, without the synthetic ones of `optional`.
    pub(crate) oneofs: usize,
    numbers: Numbers,
    names: NameMap<u32>,
}

/// One field.
pub(crate) struct FieldTable {
    pub(crate) number: u32,
    /// The name in the proto file.
    pub(crate) name: Box<str>,
    pub(crate) kind: FieldKind,
    pub(crate) shape: Shape,
    /// Whether unset differs from the default: messages, `optional`, oneofs, and proto2.
    pub(crate) presence: bool,
    /// Whether `null` is a value of the type and not the absence of one.
    pub(crate) takes_null: bool,
    /// The oneof of the field by its index, synthetic ones left out.
    pub(crate) oneof: Option<u32>,
    /// The tag as it is written: of a packed list that of the whole, otherwise of each element.
    pub(crate) tag: Tag,
    /// The tag that ends a group; meaningless for other kinds.
    pub(crate) end: Tag,
    /// The key with a comma before it, quotes and colon, product style first.
    keys: [Box<[u8]>; 2],
    /// The whole member of the product's style when the field is unset, with a comma before it.
    unset_member: Box<[u8]>,
    /// The JSON of the field when it is unset, product style first.
    unset: [Box<[u8]>; 2],
}

/// How often a field's value occurs on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Singular,
    /// A list with a tag before each element.
    Repeated,
    /// A list of scalars in one length-delimited field.
    Packed,
    /// A list of entries; the kind is the message of the entry.
    Map,
}

/// The type of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Double,
    Float,
    Int32,
    Sint32,
    Sfixed32,
    Int64,
    Sint64,
    Sfixed64,
    Uint32,
    Fixed32,
    Uint64,
    Fixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    /// A message between a start and an end tag (proto2, and editions that ask for it).
    Group(MessageId),
}

/// The bytes of a field's number and wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    bytes: [u8; 5],
    length: u8,
}

/// One enum.
pub(crate) struct EnumTable {
    /// The name without package and parents.
    pub(crate) name: Box<str>,
    /// Whether it is `google.protobuf.NullValue`, whose only JSON is `null`.
    pub(crate) is_null: bool,
    /// The words that a caller may use, for messages; cut when they are many.
    pub(crate) known: Box<str>,
    /// Sorted by number, each number once.
    values: Box<[EnumValue]>,
    /// Whether the numbers are 0, 1, 2 and so on, so that a number is a place in `values`.
    dense: bool,
    /// Names as they are declared.
    names: NameMap<i32>,
    /// Names and words.
    words: NameMap<i32>,
}

struct EnumValue {
    number: i32,
    /// The quoted JSON, product style first.
    texts: [Box<[u8]>; 2],
}

/// From numbers to slots: small numbers by place, large ones by search.
struct Numbers {
    dense: Box<[u32]>,
    sparse: Box<[(u32, u32)]>,
}

/// Marks a number without a field in [`Numbers::dense`].
const ABSENT: u32 = u32::MAX;

fn at(style: Style) -> usize {
    match style {
        Style::Product => 0,
        Style::Canonical => 1,
    }
}

// === impl Tables ===

impl Tables {
    /// Compiles the messages of a pool. The standard error details (`google.rpc`) are added where
    /// the pool lacks them; see [`Tables::own`].
    pub(crate) fn new(pool: &DescriptorPool) -> Self {
        build::tables(pool)
    }

    /// The tables of a pool, shared by all who ask for the same one.
    pub(crate) fn shared(pool: &DescriptorPool) -> Arc<Self> {
        shared::of(pool)
    }

    pub(crate) fn message(&self, id: MessageId) -> &MessageTable {
        &self.messages[id.0 as usize]
    }

    pub(crate) fn enumeration(&self, id: EnumId) -> &EnumTable {
        &self.enums[id.0 as usize]
    }

    /// Finds a message by its full name, also among the standard error details.
    pub(crate) fn find(&self, full_name: &str) -> Option<MessageId> {
        self.by_name.get(full_name.as_bytes())
    }

    /// Finds a message of the pool itself by its full name.
    pub(crate) fn own(&self, full_name: &str) -> Option<MessageId> {
        self.find(full_name).filter(|id| id.0 < self.own)
    }
}

// === impl MessageTable ===

impl MessageTable {
    /// The slot of the field of a number.
    pub(crate) fn slot_of_number(&self, number: u32) -> Option<usize> {
        self.numbers.get(number).map(|slot| slot as usize)
    }

    /// The slot of the field of a name: its proto name or its JSON name.
    pub(crate) fn slot_of_name(&self, name: &[u8]) -> Option<usize> {
        self.names.get(name).map(|slot| slot as usize)
    }

    /// The field of a number that the type is known to have, as field 1 of a wrapper.
    pub(crate) fn field_of_number(&self, number: u32) -> Option<&FieldTable> {
        self.slot_of_number(number).map(|slot| &self.fields[slot])
    }
}

// === impl FieldTable ===

impl FieldTable {
    /// The key as it is written: `"name":`.
    pub(crate) fn key(&self, style: Style) -> &[u8] {
        &self.keys[at(style)][1..]
    }

    /// The key with a comma before it unless it is the first of its object: `,"name":`.
    pub(crate) fn next_key(&self, style: Style, first: bool) -> &[u8] {
        &self.keys[at(style)][usize::from(first)..]
    }

    /// The member that the product's style writes for an unset field, with a comma before it unless it
    /// is the first of its object: `,"name":""`.
    pub(crate) fn unset_member(&self, first: bool) -> &[u8] {
        &self.unset_member[usize::from(first)..]
    }

    /// The JSON of the field when it is unset: its default, `[]` or `{}`; of a singular message `{}`, or
    /// `null` where its JSON form is not an object.
    pub(crate) fn unset(&self, style: Style) -> &[u8] {
        &self.unset[at(style)]
    }
}

// === impl FieldKind ===

impl FieldKind {
    /// The wire type of one value: 0 varint, 1 eight bytes, 2 length-delimited, 3 group, 5 four bytes.
    pub(crate) fn wire_type(self) -> u8 {
        match self {
            Self::Int32
            | Self::Sint32
            | Self::Int64
            | Self::Sint64
            | Self::Uint32
            | Self::Uint64
            | Self::Bool
            | Self::Enum(_) => 0,
            Self::Double | Self::Fixed64 | Self::Sfixed64 => 1,
            Self::String | Self::Bytes | Self::Message(_) => 2,
            Self::Group(_) => 3,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => 5,
        }
    }
}

// === impl Tag ===

impl Tag {
    pub(crate) fn new(number: u32, wire_type: u8) -> Self {
        let mut rest = u64::from(number) << 3 | u64::from(wire_type);
        let mut tag = Self { bytes: [0; 5], length: 0 };
        loop {
            let low = (rest & 0x7f) as u8;
            rest >>= 7;
            tag.bytes[usize::from(tag.length)] = if rest == 0 { low } else { low | 0x80 };
            tag.length += 1;
            if rest == 0 {
                return tag;
            }
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub(crate) fn wire_type(&self) -> u8 {
        self.bytes[0] & 7
    }
}

// === impl EnumTable ===

impl EnumTable {
    /// The quoted JSON of a number, if a value has it.
    pub(crate) fn text(&self, number: i32, style: Style) -> Option<&[u8]> {
        let value = if self.dense {
            self.values.get(usize::try_from(number).ok()?)?
        } else {
            let place = self.values.binary_search_by_key(&number, |value| value.number).ok()?;
            &self.values[place]
        };
        Some(&value.texts[at(style)])
    }

    /// The number that a text means: a declared name, or (product style) a word.
    pub(crate) fn number(&self, text: &str, style: Style) -> Option<i32> {
        match style {
            Style::Product => self.words.get(text.as_bytes()),
            Style::Canonical => self.names.get(text.as_bytes()),
        }
    }
}

// === impl Numbers ===

impl Numbers {
    fn get(&self, number: u32) -> Option<u32> {
        if let Some(slot) = self.dense.get(number as usize) {
            return (*slot != ABSENT).then_some(*slot);
        }
        let place = self.sparse.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.sparse[place].1)
    }
}

//! Which fields of one message have been named and which of a oneof has been set: a bit for each.

use crate::tables::{FieldTable, MessageTable};

/// Messages of up to this many fields need no allocation.
const INLINE: usize = 128;

pub(super) struct Fields<'c> {
    of: &'c MessageTable,
    named: Bits,
    /// Members of oneofs that have a value.
    chosen: Bits,
}

/// A set of slots.
struct Bits {
    inline: [u64; INLINE / 64],
    /// The slots from [`INLINE`] on.
    spilled: Vec<u64>,
}

impl<'c> Fields<'c> {
    pub(super) fn of(of: &'c MessageTable) -> Self {
        Self { of, named: Bits::new(), chosen: Bits::new() }
    }

    /// Notes that a field is named; false when it has been before.
    pub(super) fn name(&mut self, slot: usize) -> bool {
        self.named.insert(slot, self.of.fields.len())
    }

    /// Notes that a member of a oneof is set, and gives another member that is, if there is one.
    pub(super) fn choose(&mut self, slot: usize) -> Option<&'c FieldTable> {
        let oneof = self.of.fields[slot].oneof;
        let members = self.of.fields.iter().enumerate();
        let mut others = members.filter(|(at, other)| *at != slot && other.oneof == oneof);
        let other = others.find(|(at, _)| self.chosen.contains(*at)).map(|(_, other)| other);
        self.chosen.insert(slot, self.of.fields.len());
        other
    }
}

impl Bits {
    fn new() -> Self {
        Self { inline: [0; INLINE / 64], spilled: Vec::new() }
    }

    /// Adds a slot of a message of `fields` fields; false when it is there already.
    fn insert(&mut self, slot: usize, fields: usize) -> bool {
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        let word = match self.inline.get_mut(word) {
            Some(word) => word,
            None => {
                if self.spilled.is_empty() {
                    self.spilled = vec![0; fields.div_ceil(64) - INLINE / 64];
                }
                &mut self.spilled[word - INLINE / 64]
            }
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    fn contains(&self, slot: usize) -> bool {
        let (word, bit) = (slot / 64, 1_u64 << (slot % 64));
        let word = match self.inline.get(word) {
            Some(word) => Some(word),
            None => self.spilled.get(word - INLINE / 64),
        };
        word.is_some_and(|word| word & bit != 0)
    }
}

//! The keys that a map was given, to refuse one that comes twice.
//!
//! A few keys are compared one by one, without an allocation. A larger map gets a hash set with the
//! standard library's random keys, since whoever writes the text also chooses its keys.

use std::{borrow::Cow, collections::HashSet, hash::Hash};

/// Up to this many keys are compared one by one.
const FEW: usize = 12;

/// A key of a map, equal to another when they are the same key however they are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'t> {
    Text(Cow<'t, str>),
    Number(i128),
}

pub(super) struct Keys<'t> {
    few: [Option<Key<'t>>; FEW],
    length: usize,
    many: Option<HashSet<Key<'t>>>,
}

impl<'t> Keys<'t> {
    pub(super) fn new() -> Self {
        Self { few: [const { None }; FEW], length: 0, many: None }
    }

    /// Adds a key; false when it is there already.
    pub(super) fn insert(&mut self, key: Key<'t>) -> bool {
        if let Some(many) = &mut self.many {
            return many.insert(key);
        }
        if self.few.iter().take(self.length).flatten().any(|other| *other == key) {
            return false;
        }
        if let Some(place) = self.few.get_mut(self.length) {
            *place = Some(key);
            self.length += 1;
        } else {
            let few = self.few.iter_mut().filter_map(Option::take);
            self.many = Some(few.chain([key]).collect());
        }
        true
    }
}

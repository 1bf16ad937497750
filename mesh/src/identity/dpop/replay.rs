//! The proofs that were seen and would still be good.
//!
//! They are kept by the second in which they were made, so that those whose time is over go at once,
//! and as short hashes, so that nobody can make them long. When there is no room, the oldest seconds go,
//! and from then on proofs as old as those are refused: under a flood the time for which a proof is good
//! shrinks, but none is ever good twice.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256};

use super::{DpopError, LIFETIME};

/// Most proofs that are kept, of about 50 bytes each.
const CAPACITY: usize = 200_000;

/// Proofs that may not be used again. One for a process; shared by reference.
#[derive(Debug)]
pub struct ReplayCache {
    seen: Mutex<Seen>,
    capacity: usize,
}

#[derive(Debug)]
struct Seen {
    by_second: BTreeMap<i64, HashSet<[u8; 16]>>,
    count: usize,
    /// Proofs that were made in this second or before it are refused: some of them were forgotten.
    forgotten: i64,
}

impl Default for ReplayCache {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplayCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    pub(super) fn with_capacity(capacity: usize) -> Self {
        let seen = Seen { by_second: BTreeMap::new(), count: 0, forgotten: i64::MIN };
        Self { seen: Mutex::new(seen), capacity }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Remembers a proof made in the second `made`; fails if it was remembered before.
    pub(super) fn remember(
        &self,
        jkt: &str,
        jti: &str,
        made: i64,
        now: i64,
    ) -> Result<(), DpopError> {
        // The key is part of the name, so that nobody can use up the ids of others.
        let mut context = Context::new(&SHA256);
        for part in [jkt.as_bytes(), b"\0", jti.as_bytes()] {
            context.update(part);
        }
        let hash = context.finish();
        let mut name = [0; 16];
        name.copy_from_slice(&hash.as_ref()[..16]);

        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.drop_before(now.saturating_sub(LIFETIME));
        if made <= seen.forgotten {
            return Err(DpopError::Time);
        }
        if !seen.by_second.entry(made).or_default().insert(name) {
            return Err(DpopError::Replayed);
        }
        seen.count += 1;
        while seen.count > self.capacity {
            let Some((second, forgotten)) = seen.by_second.pop_first() else { break };
            seen.count -= forgotten.len();
            seen.forgotten = second;
        }
        Ok(())
    }
}

impl Seen {
    fn drop_before(&mut self, second: i64) {
        while let Some(oldest) = self.by_second.first_entry().filter(|it| *it.key() < second) {
            self.count -= oldest.remove().len();
        }
    }
}

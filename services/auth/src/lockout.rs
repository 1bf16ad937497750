//! Slows down whoever guesses passwords of one account.
//!
//! After ten failures within a quarter of an hour the name has to wait before the next attempt, longer
//! with each further failure, up to a quarter of an hour: never for good, because a lock that anyone
//! can set is a weapon against the owner. Names are counted as they were typed (in lower case), known
//! or not, so the answer tells nothing about which exist. The counts are in memory: a restart forgets
//! them, and each of several instances counts for itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lightning_mesh::clock::Timestamp;

use crate::secrets;

/// Failures that have no consequence.
const FREE: u32 = 10;
/// Within which time they are counted, and the longest wait.
const WINDOW: Duration = Duration::from_mins(15);
/// The first wait; it doubles with each further failure.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The most names that are remembered. At 40 attempts a second it takes an attacker longer than the
/// window to push a name out.
const MAX_NAMES: usize = 100_000;

/// Counts failures by name. Clones share the counts.
#[derive(Clone, Default)]
pub(crate) struct Lockout(Arc<Mutex<HashMap<[u8; 32], Account>>>);

#[derive(Default, Clone, Copy)]
struct Account {
    failures: u32,
    first: Timestamp,
    locked_until: Timestamp,
    pending: u32,
}

/// An attempt that is being checked. Dropping it without a verdict counts as nothing.
pub(crate) struct Attempt {
    lockout: Lockout,
    name: [u8; 32],
}

/// The name has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Locked {
    /// How long.
    pub(crate) retry_after: Duration,
}

// === impl Lockout ===

impl Lockout {
    /// Admits an attempt, or says how long to wait.
    pub(crate) fn begin(&self, name: &str, now: Timestamp) -> Result<Attempt, Locked> {
        let name = secrets::sha256(name.as_bytes());
        let mut accounts = self.lock();
        if accounts.len() >= MAX_NAMES && !accounts.contains_key(&name) {
            make_room(&mut accounts, now);
        }
        let account = accounts.entry(name).or_default();
        if account.is_forgotten(now) {
            *account = Account { pending: account.pending, first: now, ..Account::default() };
        }
        if account.failures >= FREE {
            if now < account.locked_until {
                return Err(Locked { retry_after: account.locked_until.since(now) });
            }
            // One at a time from here on: many at once would all pass before the first fails.
            if account.pending > 0 {
                return Err(Locked { retry_after: Duration::from_secs(1) });
            }
        }
        account.pending += 1;
        drop(accounts);
        Ok(Attempt { lockout: self.clone(), name })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Account>> {
        // The counts are plain numbers: a panic while they were held cannot have broken them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the names whose time is over; if all are recent, those without a wait; if all have one, all.
fn make_room(accounts: &mut HashMap<[u8; 32], Account>, now: Timestamp) {
    accounts.retain(|_, account| account.pending > 0 || !account.is_forgotten(now));
    if accounts.len() >= MAX_NAMES {
        accounts.retain(|_, account| account.pending > 0 || account.failures >= FREE);
    }
    if accounts.len() >= MAX_NAMES {
        accounts.retain(|_, account| account.pending > 0);
    }
}

// === impl Account ===

impl Account {
    fn is_forgotten(&self, now: Timestamp) -> bool {
        if self.failures >= FREE {
            now >= self.locked_until + WINDOW
        } else {
            now >= self.first + WINDOW
        }
    }
}

// === impl Attempt ===

impl Attempt {
    /// The password was right: everything before is forgotten.
    pub(crate) fn succeeded(self) {
        if let Some(account) = self.lockout.lock().get_mut(&self.name) {
            account.failures = 0;
        }
    }

    /// The password was wrong.
    pub(crate) fn failed(self, now: Timestamp) {
        if let Some(account) = self.lockout.lock().get_mut(&self.name) {
            account.failures = account.failures.saturating_add(1);
            if account.failures >= FREE {
                let doublings = (account.failures - FREE).min(10);
                account.locked_until = now + (FIRST_WAIT * 2_u32.pow(doublings)).min(WINDOW);
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut accounts = self.lockout.lock();
        if let Some(account) = accounts.get_mut(&self.name) {
            account.pending = account.pending.saturating_sub(1);
            if account.failures == 0 && account.pending == 0 {
                accounts.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests;

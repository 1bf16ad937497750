//! Slows down whoever guesses: passwords, codes of second factors, codes of devices, client secrets.
//!
//! Every attempt is counted on several axes at once: the account, the second factors of the account, the
//! network it comes from, and the secret that is tried (one password for a thousand names). One counter
//! of an account serves every way to log in, so none is a way around it. Each axis has some failures
//! free, then asks for waits that double; never for good, because a lock that anyone can set is a weapon
//! against the owner, and passkeys ask no account axis at all. Accounts keep a second number, the
//! failures in a row: from the hundredth on (NIST SP 800-63B-4 section 3.2.2) one attempt a day is left
//! until a login, a passkey's or a reset clears it. Names that nobody has are counted like others, so
//! the answer tells nothing about which exist. The counts are in memory: a restart forgets them, and
//! each of several instances counts for itself.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lightning_mesh::{clock::Timestamp, config::Secret};

use crate::{domain::UserId, secrets};

/// Within which time failures are counted, and the longest ordinary wait.
const WINDOW: Duration = Duration::from_mins(15);
/// Failures in a row of one account, however slow, after which [`LONGEST`] holds.
const MOST_IN_A_ROW: u32 = 100;
/// The wait after those.
const LONGEST: Duration = Duration::from_hours(24);
/// The most counts that are remembered. At 40 attempts a second it takes an attacker longer than the
/// window to push one out.
const MAX_COUNTS: usize = 200_000;

/// What an attempt is counted by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Axis<'a> {
    /// A user, whatever way the attempt takes.
    Account(&'a UserId),
    /// A name that no user has, as it was typed.
    Name(&'a str),
    /// The second factors of a user.
    Factor(&'a UserId),
    /// Where it comes from; IPv6 by its /64, which is one customer's.
    Address(IpAddr),
    /// The password that is tried, whoever it is tried on.
    Password(&'a Secret),
    /// What an OAuth client proves itself with, from one network. Not the client alone: its secret is
    /// random and cannot be guessed, so a count for all networks would only serve to shut it out.
    Client(&'a str, Option<IpAddr>),
    /// The codes that devices show, typed from one network.
    DeviceCode(Option<IpAddr>),
    /// The codes that devices show, wherever they are typed: with a thousand devices waiting, guessing
    /// all day at this rate hits one with a chance of one in three hundred.
    AnyDeviceCode,
    /// Messages to one name or address.
    Message(&'a str),
}

/// How an axis treats failures.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// Failures that have no consequence.
    free: u32,
    /// The first wait; it doubles with each further failure up to [`WINDOW`].
    first_wait: Duration,
    /// Whether a success clears it. Otherwise one account of one's own would clear a network.
    cleared: bool,
    /// Whether failures in a row are remembered beyond the window.
    in_a_row: bool,
}

type Key = [u8; 32];

/// Counts failures. Clones share the counts.
#[derive(Clone)]
pub(crate) struct Lockout(Arc<Inner>);

struct Inner {
    counts: Mutex<HashMap<Key, Count>>,
    /// Mixed into every key: what is tried cannot be found from the counts in a memory dump.
    pepper: [u8; 32],
}

#[derive(Default, Clone, Copy)]
struct Count {
    failures: u32,
    in_a_row: u32,
    first: Timestamp,
    locked_until: Timestamp,
    pending: u32,
}

/// An attempt that is being checked. Dropping it without a verdict counts as nothing.
pub(crate) struct Attempt {
    lockout: Lockout,
    counted: Vec<(Key, Rule)>,
}

/// The attempt has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Locked {
    /// How long.
    pub(crate) retry_after: Duration,
}

// === impl Lockout ===

impl Default for Lockout {
    fn default() -> Self {
        Self(Arc::new(Inner { counts: Mutex::default(), pepper: secrets::random() }))
    }
}

impl Lockout {
    /// Admits an attempt on all of these axes, or says how long to wait.
    pub(crate) fn begin(&self, axes: &[Axis<'_>], now: Timestamp) -> Result<Attempt, Locked> {
        let counted: Vec<(Key, Rule)> =
            axes.iter().map(|axis| (self.key(axis), axis.rule())).collect();
        let mut counts = self.lock();
        if counts.len() + counted.len() > MAX_COUNTS {
            make_room(&mut counts, now);
        }
        let waits = counted
            .iter()
            .filter_map(|(key, rule)| counts.get(key).and_then(|count| count.wait(*rule, now)));
        if let Some(retry_after) = waits.max() {
            return Err(Locked { retry_after });
        }
        for (key, _) in &counted {
            let count = counts.entry(*key).or_default();
            if count.is_forgotten(now) {
                *count = Count {
                    pending: count.pending,
                    in_a_row: count.in_a_row,
                    first: now,
                    ..Count::default()
                };
            }
            count.pending += 1;
        }
        drop(counts);
        Ok(Attempt { lockout: self.clone(), counted })
    }

    /// Forgets the failures of an axis: its owner proved who they are in another way.
    pub(crate) fn clear(&self, axis: &Axis<'_>) {
        if let Some(count) = self.lock().get_mut(&self.key(axis)) {
            count.clear();
        }
    }

    fn key(&self, axis: &Axis<'_>) -> Key {
        let (tag, text): (u8, String) = match axis {
            Axis::Account(id) => (1, id.to_string()),
            Axis::Name(name) => (2, (*name).to_owned()),
            Axis::Factor(id) => (3, id.to_string()),
            Axis::Address(address) => (4, network(*address)),
            Axis::Password(password) => (5, password.expose().to_owned()),
            Axis::Client(id, address) => (6, format!("{id} {}", of_network(*address))),
            Axis::Message(to) => (7, (*to).to_owned()),
            Axis::DeviceCode(address) => (8, of_network(*address)),
            Axis::AnyDeviceCode => (9, String::new()),
        };
        secrets::sha256(&[&self.0.pepper[..], &[tag], text.as_bytes()].concat())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Count>> {
        // The counts are plain numbers: a panic while they were held cannot have broken them.
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Callers without an address are one network.
fn of_network(address: Option<IpAddr>) -> String {
    address.map(network).unwrap_or_default()
}

/// What of an address stands for one attacker.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Forgets what is over; if that is not enough, what weighs least.
fn make_room(counts: &mut HashMap<Key, Count>, now: Timestamp) {
    let low = |count: &Count| count.in_a_row < 10;
    counts.retain(|_, count| count.pending > 0 || !low(count) || !count.is_forgotten(now));
    if counts.len() >= MAX_COUNTS / 2 {
        counts.retain(|_, count| count.pending > 0 || !low(count) || now < count.locked_until);
    }
    if counts.len() >= MAX_COUNTS / 2 {
        counts.retain(|_, count| count.pending > 0);
    }
}

// === impl Axis ===

impl Axis<'_> {
    fn rule(&self) -> Rule {
        let rule = |free, seconds, cleared, in_a_row| Rule {
            free,
            first_wait: Duration::from_secs(seconds),
            cleared,
            in_a_row,
        };
        match self {
            Self::Account(_) | Self::Name(_) => rule(10, 30, true, true),
            Self::Factor(_) => rule(5, 30, true, true),
            Self::Address(_) => rule(50, 5, false, false),
            Self::Password(_) => rule(30, 30, false, false),
            Self::Client(..) => rule(20, 5, true, false),
            Self::DeviceCode(_) => rule(10, 600, false, false),
            Self::AnyDeviceCode => rule(500, 60, false, false),
            Self::Message(_) => rule(3, 300, false, false),
        }
    }
}

// === impl Count ===

impl Count {
    fn is_forgotten(&self, now: Timestamp) -> bool {
        let end = if self.locked_until > self.first { self.locked_until } else { self.first };
        now >= end + WINDOW
    }

    fn wait(&self, rule: Rule, now: Timestamp) -> Option<Duration> {
        if now < self.locked_until {
            return Some(self.locked_until.since(now));
        }
        // One at a time from here on: many at once would all pass before the first fails.
        let is_slow = self.failures >= rule.free && !self.is_forgotten(now);
        let is_slow = is_slow || (rule.in_a_row && self.in_a_row >= MOST_IN_A_ROW);
        (is_slow && self.pending > 0).then_some(Duration::from_secs(1))
    }

    fn fail(&mut self, rule: Rule, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.in_a_row = if rule.in_a_row { self.in_a_row.saturating_add(1) } else { 0 };
        if self.in_a_row >= MOST_IN_A_ROW {
            self.locked_until = now + LONGEST;
        } else if self.failures >= rule.free {
            let doublings = (self.failures - rule.free).min(10);
            self.locked_until = now + (rule.first_wait * 2_u32.pow(doublings)).min(WINDOW);
        }
    }

    fn clear(&mut self) {
        *self = Self { pending: self.pending, ..Self::default() };
    }
}

// === impl Attempt ===

impl Attempt {
    /// It was right: the failures of the account before it are forgotten.
    pub(crate) fn succeeded(self) {
        let mut counts = self.lockout.lock();
        for (key, rule) in &self.counted {
            if let Some(count) = counts.get_mut(key)
                && rule.cleared
            {
                count.clear();
            }
        }
        drop(counts);
    }

    /// It was wrong.
    pub(crate) fn failed(self, now: Timestamp) {
        let mut counts = self.lockout.lock();
        for (key, rule) in &self.counted {
            if let Some(count) = counts.get_mut(key) {
                count.fail(*rule, now);
            }
        }
        drop(counts);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut counts = self.lockout.lock();
        for (key, _) in &self.counted {
            if let Some(count) = counts.get_mut(key) {
                count.pending = count.pending.saturating_sub(1);
                if count.failures == 0 && count.in_a_row == 0 && count.pending == 0 {
                    counts.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

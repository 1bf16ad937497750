//! Signing keys and when each of them does what.
//!
//! A key's life follows from times alone: it is *published* until its own time comes, *active* until the
//! next key's time comes, *retired* until the last token that it may have signed has expired, and then
//! gone. Nothing is switched at a certain moment, so instances that share a database agree without
//! talking to each other, and a key cannot sign before it was published for the whole lead.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Algorithm {
    /// ECDSA on P-256 with SHA-256: access tokens, and ID tokens by default.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256: ID tokens of clients that ask for it.
    Rs256,
}

/// What a key is for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// Verifiers know it; it does not sign yet.
    Published,
    /// Signs.
    Active,
    /// Signs no more; what it signed is still good.
    Retired,
}

/// What is known of a key without its material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyTimes {
    /// The thumbprint (RFC 7638).
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) created_at: Timestamp,
    /// From when on it signs.
    pub(crate) active_at: Timestamp,
}

/// When keys change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// How long a key signs.
    pub(crate) period: Duration,
    /// How long a key is published before it signs.
    pub(crate) lead: Duration,
    /// How long a key verifies after it signed last: the life of a token and what clocks may differ.
    pub(crate) life: Duration,
}

// === impl Algorithm ===

impl Algorithm {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Es256, Self::Rs256];

    /// The registered name (RFC 7518 section 3.1).
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

// === impl Schedule ===

impl Schedule {
    /// What a key of `keys` is for at `now`; `None` once it is for nothing.
    pub(crate) fn state(
        &self,
        key: &KeyTimes,
        keys: &[KeyTimes],
        now: Timestamp,
    ) -> Option<KeyState> {
        if now < key.active_at {
            return Some(KeyState::Published);
        }
        match successor(key, keys) {
            Some(next) if now >= next.active_at => {
                (now < self.end(key, next)).then_some(KeyState::Retired)
            }
            Some(_) | None => Some(KeyState::Active),
        }
    }

    /// When a key of `keys` is for nothing any more, if that is known yet.
    pub(crate) fn end_of(&self, key: &KeyTimes, keys: &[KeyTimes]) -> Option<Timestamp> {
        successor(key, keys).map(|next| self.end(key, next))
    }

    /// A key that was taken over late may have signed until then, whatever its times say.
    fn end(&self, key: &KeyTimes, next: &KeyTimes) -> Timestamp {
        next.active_at.max(key.created_at) + self.life
    }

    /// From when on a new key would sign, if one is to be made now.
    pub(crate) fn due(
        &self,
        algorithm: Algorithm,
        keys: &[KeyTimes],
        now: Timestamp,
    ) -> Option<Timestamp> {
        let Some(newest) = newest(algorithm, keys) else {
            // The first key has nobody who knows of another.
            return Some(now);
        };
        let end = newest.active_at + self.period;
        (newest.active_at <= now && end <= now + self.lead).then(|| end.max(now + self.lead))
    }

    /// From when on a new key would sign that somebody asks for now; `None` if one is on its way.
    pub(crate) fn asked(
        &self,
        algorithm: Algorithm,
        keys: &[KeyTimes],
        now: Timestamp,
    ) -> Option<Timestamp> {
        let is_on_its_way = newest(algorithm, keys).is_some_and(|newest| now < newest.active_at);
        (!is_on_its_way).then(|| now + self.lead)
    }

    /// How long others may keep the published keys: half the lead, so that whoever fetched them a
    /// moment before a key was added has fetched them again long before it signs.
    pub(crate) fn max_age(&self) -> Duration {
        (self.lead / 2).min(Duration::from_mins(5))
    }
}

fn order(key: &KeyTimes) -> (Timestamp, &str) {
    (key.active_at, &key.kid)
}

/// The key that signs after this one.
fn successor<'a>(key: &KeyTimes, keys: &'a [KeyTimes]) -> Option<&'a KeyTimes> {
    keys.iter()
        .filter(|other| other.algorithm == key.algorithm && order(other) > order(key))
        .min_by(|a, b| order(a).cmp(&order(b)))
}

fn newest(algorithm: Algorithm, keys: &[KeyTimes]) -> Option<&KeyTimes> {
    keys.iter().filter(|key| key.algorithm == algorithm).max_by(|a, b| order(a).cmp(&order(b)))
}

#[cfg(test)]
mod tests;

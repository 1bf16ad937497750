//! Mesh tokens that were minted a moment ago, ready to be sent again.
//!
//! Minting costs a JSON text and an HMAC, reading one costs the same again, and a busy caller makes
//! thousands of calls a second to the same service. A token names nothing of the call itself, so the
//! next call of the same caller can carry the same one while most of its life is ahead of it. What is
//! kept is in memory only, bounded, and keyed by everything that the token says.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

use http::HeaderValue;

use super::Caller;

/// Most tokens that are kept; beyond that the old ones are dropped.
const ENTRIES: usize = 4_096;
/// Seconds for which a token is sent again. It is good for a minute, and must still be when it arrives.
const REUSE: i64 = 20;

/// See the module.
pub(super) struct Minted {
    entries: Mutex<HashMap<u64, Entry>>,
    hasher: RandomState,
}

struct Entry {
    service: String,
    audience: String,
    caller: Option<Caller>,
    minted: i64,
    value: HeaderValue,
}

impl Minted {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::default(), hasher: RandomState::new() }
    }

    /// The token of this caller, from the last seconds or minted now (`now` in seconds).
    pub(super) fn get_or_mint<E>(
        &self,
        (service, audience, caller): (&str, &str, Option<&Caller>),
        now: i64,
        mint: impl FnOnce() -> Result<HeaderValue, E>,
    ) -> Result<HeaderValue, E> {
        let key = self.hasher.hash_one((service, audience, caller.map(Caller::identity)));
        if let Some(entry) = self.lock().get(&key) {
            let same = entry.service == service
                && entry.audience == audience
                && entry.caller.as_ref().map(Caller::identity) == caller.map(Caller::identity);
            if same && (0..REUSE).contains(&(now - entry.minted)) {
                return Ok(entry.value.clone());
            }
        }
        let value = mint()?;
        let entry = Entry {
            service: service.to_owned(),
            audience: audience.to_owned(),
            caller: caller.map(Caller::detached),
            minted: now,
            value: value.clone(),
        };
        let mut entries = self.lock();
        if entries.len() >= ENTRIES {
            entries.retain(|_, entry| (0..REUSE).contains(&(now - entry.minted)));
        }
        // Still full of fresh ones: this one is minted each time.
        if entries.len() < ENTRIES {
            entries.insert(key, entry);
        }
        Ok(value)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

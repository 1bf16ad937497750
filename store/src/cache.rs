//! Values that may be forgotten.
//!
//! A cache saves work and counts within windows; it is never the only place where something is
//! known.
//! The traits return boxed futures so that the form (this process or a server) can be chosen at
//! start.
//! Time is tokio's, which tests can move.

use std::{
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use moka::{Expiry, future, ops::compute::Op};
use tokio::time::Instant;

use crate::Error;

#[cfg(test)]
mod tests;

/// The largest value: 1 MiB.
const MAX_VALUE: usize = 1 << 20;

/// The longest key: 512 bytes.
const MAX_KEY: usize = 512;

/// What an entry is taken to weigh beside its key and value. It bounds the number of small entries.
const OVERHEAD: usize = 128;

/// The longest life of an entry: 30 days.
const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Values that may be forgotten at any time, and counters of windows.
pub trait Cache: Send + Sync {
    /// The value of a key, unless it is absent, expired or forgotten.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Error>>;

    /// Sets a value (at most 1 MiB, key at most 512 bytes) for a time of at most 30 days.
    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Forgets a key.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Error>>;

    /// Adds to a counter and answers the sum. An absent counter starts at 0 and lives for `ttl`;
    /// adding
    /// to one that exists does not prolong it, so a counter is a fixed window. The value is decimal
    /// text.
    fn add<'a>(
        &'a self,
        key: &'a str,
        delta: i64,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<i64, Error>>;
}

/// A cache in this process, bounded by the bytes of keys and values; the least useful goes first.
#[derive(Clone)]
pub struct MemoryCache {
    entries: future::Cache<String, Entry>,
}

#[derive(Clone)]
struct Entry {
    value: Bytes,
    expires: Instant,
}

/// Frees entries whose time is over; what is answered is decided by [`Entry::live`].
struct Lifetime;

// === impl MemoryCache ===

impl MemoryCache {
    /// A cache of at most so many bytes, 128 of which each entry costs beside its key and value.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        let weigh = |key: &String, entry: &Entry| {
            u32::try_from(key.len() + entry.value.len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        let entries = future::Cache::builder()
            .max_capacity(max_bytes as u64)
            .weigher(weigh)
            .expire_after(Lifetime)
            .build();
        Self { entries }
    }

    async fn add(&self, key: &str, delta: i64, ttl: Duration) -> Result<i64, Error> {
        check(key, 0)?;
        let mut outcome = Err(Error::NotANumber);
        let slot = &mut outcome;
        self.entries
            .entry_by_ref(key)
            .and_compute_with(|found| {
                let live = found.map(moka::Entry::into_value).filter(Entry::live);
                let entry = live.unwrap_or_else(|| Entry::new(Bytes::from_static(b"0"), ttl));
                *slot = entry
                    .number()
                    .and_then(|number| number.checked_add(delta))
                    .ok_or(Error::NotANumber);
                std::future::ready(match slot {
                    Ok(sum) => {
                        Op::Put(Entry { value: sum.to_string().into(), expires: entry.expires })
                    }
                    Err(_) => Op::Nop,
                })
            })
            .await;
        outcome
    }
}

impl Default for MemoryCache {
    /// A cache of 32 MiB.
    fn default() -> Self {
        Self::new(32 << 20)
    }
}

impl Cache for MemoryCache {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(async move {
            Ok(self.entries.get(key).await.filter(Entry::live).map(|entry| entry.value))
        })
    }

    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            check(key, value.len())?;
            // A copy: a slice would keep the whole buffer that it was cut from, uncounted.
            let entry = Entry::new(Bytes::copy_from_slice(&value), ttl);
            self.entries.insert(key.to_owned(), entry).await;
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.entries.invalidate(key).await;
            Ok(())
        })
    }

    fn add<'a>(
        &'a self,
        key: &'a str,
        delta: i64,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<i64, Error>> {
        Box::pin(Self::add(self, key, delta, ttl))
    }
}

// === impl Entry ===

impl Entry {
    fn new(value: Bytes, ttl: Duration) -> Self {
        Self { value, expires: Instant::now() + ttl.min(MAX_TTL) }
    }

    fn live(&self) -> bool {
        Instant::now() < self.expires
    }

    fn number(&self) -> Option<i64> {
        std::str::from_utf8(&self.value).ok()?.parse().ok()
    }

    fn left(&self) -> Option<Duration> {
        Some(self.expires.saturating_duration_since(Instant::now()))
    }
}

// === impl Lifetime ===

impl Expiry<String, Entry> for Lifetime {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: StdInstant) -> Option<Duration> {
        entry.left()
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        _: StdInstant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        entry.left()
    }
}

fn check(key: &str, value: usize) -> Result<(), Error> {
    if key.len() > MAX_KEY {
        return Err(Error::TooLarge { what: "a key of the cache", limit: MAX_KEY });
    }
    if value > MAX_VALUE {
        return Err(Error::TooLarge { what: "a value of the cache", limit: MAX_VALUE });
    }
    Ok(())
}

/// A cache whose form was chosen at start.
impl<T: Cache + ?Sized> Cache for Arc<T> {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        (**self).get(key)
    }

    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        (**self).set(key, value, ttl)
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        (**self).delete(key)
    }

    fn add<'a>(
        &'a self,
        key: &'a str,
        delta: i64,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<i64, Error>> {
        (**self).add(key, delta, ttl)
    }
}

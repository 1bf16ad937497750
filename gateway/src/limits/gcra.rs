//! The counts of this process, by the generic cell rate algorithm: one time per key says all.
//!
//! That time is when a key's calls so far would have arrived had they come evenly. It is stored as
//! nanoseconds since the start, under a hash of the key with a secret of the process: 16 bytes a key
//! whatever its name, and nobody outside can aim at another's. A key whose time has passed is as good as
//! unknown, so forgetting it costs nothing; when the room is full of keys that are not, some are
//! forgotten early, which favours their callers.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, ready};
use tokio::time::Instant;

use super::{Decision, Limiter, Quota};

/// Locks that calls are spread over.
const SHARDS: usize = 16;
/// Keys forgotten early at once, so that the search for room is paid once for many.
const EVICTED: usize = 64;

/// The counts.
pub(crate) struct Gcra {
    start: Instant,
    hasher: RandomState,
    shards: [Mutex<Times>; SHARDS],
    max_keys: usize,
}

/// When each key's calls so far would have arrived, in nanoseconds since the start.
type Times = HashMap<u64, u64>;

impl Gcra {
    /// Room for about `max_keys` keys.
    pub(crate) fn new(max_keys: usize) -> Self {
        Self {
            start: Instant::now(),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            max_keys: (max_keys / SHARDS).max(EVICTED),
        }
    }

    fn decide(&self, key: &str, quota: Quota, cost: u32) -> Decision {
        let now = nanos(self.start.elapsed());
        let interval = nanos(quota.interval).max(1);
        let tolerance = interval.saturating_mul(u64::from(quota.burst));
        let hash = self.hasher.hash_one(key);
        let shard = &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()];
        let mut times = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived = times.get(&hash).copied().unwrap_or(now).max(now);
        let arrives = arrived.saturating_add(interval.saturating_mul(u64::from(cost)));
        let ahead = arrives - now;
        if ahead > tolerance {
            let decision = |wait| Decision {
                allowed: false,
                remaining: left(tolerance, arrived - now, interval),
                reset: Duration::from_nanos(arrived - now),
                retry_after: Duration::from_nanos(wait),
            };
            return decision(ahead - tolerance);
        }
        if times.len() >= self.max_keys && !times.contains_key(&hash) {
            make_room(&mut times, now);
        }
        times.insert(hash, arrives);
        Decision {
            allowed: true,
            remaining: left(tolerance, ahead, interval),
            reset: Duration::from_nanos(ahead),
            retry_after: Duration::ZERO,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

impl Limiter for Gcra {
    fn check<'a>(&'a self, key: &'a str, quota: Quota, cost: u32) -> BoxFuture<'a, Decision> {
        Box::pin(ready(self.decide(key, quota, cost)))
    }
}

/// How many calls fit into what is left of the burst.
fn left(tolerance: u64, ahead: u64, interval: u64) -> u32 {
    u32::try_from(tolerance.saturating_sub(ahead) / interval).unwrap_or(u32::MAX)
}

/// Forgets what says nothing, and a few more if that was not enough.
fn make_room(times: &mut Times, now: u64) {
    let before = times.len();
    times.retain(|_, arrived| *arrived > now);
    if times.len() + EVICTED > before {
        let some: Vec<u64> = times.keys().take(EVICTED).copied().collect();
        for key in some {
            times.remove(&key);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

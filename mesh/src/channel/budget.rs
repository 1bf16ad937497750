//! The retry budget of a target: how much more it may be asked than its callers ask.
//!
//! Calls of the last ten seconds earn retries, by default one for five, so that a target that fails
//! every call is asked at most 1.2 times as often. While so few calls are made that they earn next to
//! nothing, a reserve lends the first retries, since a target that is called once a minute should have
//! one too; it is refilled by answers alone, so that it cannot add up while the target is down. A window, and not
//! the token bucket of gRPC's A6, because a replica that dies takes all calls under way with it: how
//! many that are depends on the traffic, which the window knows.
//!
//! It deliberately does not look at the time a target needs or at which replica failed; that is for
//! the breaker below.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use tokio::time::Instant;

use super::RetryConfig;

/// The window is that many seconds long.
const SECONDS: usize = 10;
/// What a retry costs; a call earns the configured percentage of it.
const RETRY: u32 = 100;

/// See the module. One per target and process.
pub(super) struct Budget {
    percent: u32,
    full_reserve: u32,
    /// In hundredths of a retry.
    reserve: AtomicU32,
    window: Mutex<Window>,
}

struct Window {
    started: Instant,
    /// The second that the newest slot stands for.
    newest: u64,
    slots: [Count; SECONDS],
    sum: Count,
}

#[derive(Clone, Copy, Default)]
struct Count {
    calls: u64,
    retries: u64,
}

impl Budget {
    pub(super) fn new(config: &RetryConfig) -> Self {
        let full_reserve = config.budget_reserve.min(1_000) * RETRY;
        Self {
            percent: config.budget_percent.min(RETRY),
            full_reserve,
            reserve: AtomicU32::new(full_reserve),
            window: Mutex::new(Window::new()),
        }
    }

    /// A call was made for the first time.
    pub(super) fn called(&self) {
        self.count(|count| count.calls += 1);
    }

    /// A call came that somebody before us is repeating.
    pub(super) fn repeated(&self) {
        self.count(|count| count.retries += 1);
    }

    /// The target answered, and be it with an error of the caller's making.
    pub(super) fn answered(&self) {
        if self.reserve.load(Ordering::Relaxed) < self.full_reserve {
            let more = |reserve: u32| Some((reserve + self.percent).min(self.full_reserve));
            // It is never refused.
            let _ = self.reserve.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }

    /// Takes a retry out of the budget, if there is one.
    pub(super) fn withdraw(&self) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.advance();
        let earned = window.sum.calls * u64::from(self.percent) / u64::from(RETRY);
        let few = window.sum.retries < u64::from(self.full_reserve / RETRY);
        let granted = window.sum.retries < earned || (few && self.take_reserve());
        if granted {
            window.count(|count| count.retries += 1);
        }
        granted
    }

    fn take_reserve(&self) -> bool {
        let less = |reserve: u32| reserve.checked_sub(RETRY);
        self.reserve.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn count(&self, change: impl Fn(&mut Count)) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.advance();
        window.count(change);
    }
}

impl Window {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            newest: 0,
            slots: [Count::default(); SECONDS],
            sum: Count::default(),
        }
    }

    /// Forgets what is older than the window.
    fn advance(&mut self) {
        let second = self.started.elapsed().as_secs();
        let gap = second.saturating_sub(self.newest).min(SECONDS as u64);
        for step in 1..=gap {
            let slot = std::mem::take(&mut self.slots[index(self.newest + step)]);
            self.sum.calls -= slot.calls;
            self.sum.retries -= slot.retries;
        }
        self.newest = self.newest.max(second);
    }

    fn count(&mut self, change: impl Fn(&mut Count)) {
        change(&mut self.sum);
        change(&mut self.slots[index(self.newest)]);
    }
}

fn index(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).expect("smaller than the window")
}

#[cfg(test)]
mod tests;

//! When an endpoint is left out: a breaker per endpoint, gRPC service and method class.
//!
//! A replica may answer reads and fail writes, or serve one of its services and not another; therefore
//! each class (safe, idempotent, other) of each gRPC service is judged by itself. A breaker opens after
//! failures in a row or when too few calls in a window succeed. After its time it lets one call through
//! as a probe: a good answer closes it, a bad one doubles the time. What is a failure is decided in
//! `connection/attempt.rs`; that the last endpoint is never left out, in `balance.rs`.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;

pub(super) mod class;

/// How often the time of an open breaker may double; more than any sensible `max_ejection` needs.
const MAX_ROUNDS: u32 = 20;

/// `[mesh.channel.breaker]`: when a replica is left out, judged for each gRPC service and kind of method
/// by itself. The last replica never is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Failures in a row after which a replica is left out; 0 turns this rule off.
    pub consecutive_failures: u32,
    /// The time over which the share of successes is taken.
    #[serde(with = "crate::config::duration")]
    pub window: Duration,
    /// Calls that a window must have seen before it is judged.
    pub min_requests: u32,
    /// Percent of calls that must succeed; 0 turns this rule off.
    pub success_rate: u32,
    /// How long a replica is left out at first; each failed probe doubles it.
    #[serde(with = "crate::config::duration")]
    pub ejection: Duration,
    /// How long at most.
    #[serde(with = "crate::config::duration")]
    pub max_ejection: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 3,
            window: Duration::from_secs(10),
            min_requests: 20,
            success_rate: 50,
            ejection: Duration::from_secs(1),
            max_ejection: Duration::from_secs(60),
        }
    }
}

/// Whether a call may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Yes,
    /// One call, if it gets the [`Breaker::claim`].
    Probe,
    No,
}

/// How a call ended, as far as a breaker cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    Failure,
    /// It tells nothing about the endpoint: the caller went away.
    Nothing,
}

/// The breakers of one endpoint.
#[derive(Debug)]
pub(super) struct Breakers {
    config: BreakerConfig,
    classes: OnceLock<Box<[OnceLock<Breaker>]>>,
    /// How many are not closed; zero is the usual case and costs one load.
    open: AtomicUsize,
    ejections: AtomicU64,
}

/// Judges one class of methods on one endpoint.
#[derive(Debug)]
struct Breaker(Mutex<State>);

#[derive(Debug)]
struct State {
    mode: Mode,
    consecutive: u32,
    window: Window,
    /// How often it opened without having been calm in between.
    round: u32,
    closed_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Closed,
    Open { until: Instant },
    Probing { since: Instant },
}

/// Successes and failures of this half of a window and of the one before.
#[derive(Debug)]
struct Window {
    since: Instant,
    halves: [[u32; 2]; 2],
}

// === impl Breakers ===

impl Breakers {
    pub(super) fn new(config: &BreakerConfig) -> Self {
        Self {
            config: config.clone(),
            classes: OnceLock::new(),
            open: AtomicUsize::new(0),
            ejections: AtomicU64::new(0),
        }
    }

    /// Whether a call of this class may pass.
    pub(super) fn admission(&self, class: usize, now: Instant) -> Admission {
        if self.open() == 0 {
            return Admission::Yes;
        }
        self.known(class)
            .map_or(Admission::Yes, |breaker| breaker.state().admission(&self.config, now))
    }

    /// Takes the one place of a probe; false if somebody else was faster.
    pub(super) fn claim(&self, class: usize, now: Instant) -> bool {
        self.known(class).is_some_and(|breaker| {
            let mut state = breaker.state();
            let free = state.admission(&self.config, now) == Admission::Probe;
            if free {
                state.mode = Mode::Probing { since: now };
            }
            free
        })
    }

    /// Counts how a call ended; `probe` if it had claimed the place of one.
    pub(super) fn report(&self, class: usize, probe: bool, verdict: Verdict, now: Instant) {
        if verdict == Verdict::Nothing && !probe {
            return;
        }
        let Some(slot) = self.slots().get(class) else { return };
        let breaker = slot.get_or_init(|| Breaker::new(now));
        let mut state = breaker.state();
        let was_open = state.mode != Mode::Closed;
        state.report(&self.config, probe, verdict, now);
        let is_open = state.mode != Mode::Closed;
        if matches!(state.mode, Mode::Open { until } if until > now) && !was_open {
            self.ejections.fetch_add(1, Ordering::Relaxed);
        }
        // Inside the lock, so that the count follows the state.
        match (was_open, is_open) {
            (false, true) => _ = self.open.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.open.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => {}
        }
    }

    /// How many classes are left out now.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How often a class was left out so far; failed probes do not count again.
    pub(super) fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    fn slots(&self) -> &[OnceLock<Breaker>] {
        self.classes.get_or_init(|| (0..class::count()).map(|_| OnceLock::new()).collect())
    }

    fn known(&self, class: usize) -> Option<&Breaker> {
        self.classes.get()?.get(class)?.get()
    }
}

// === impl Breaker ===

impl Breaker {
    fn new(now: Instant) -> Self {
        Self(Mutex::new(State {
            mode: Mode::Closed,
            consecutive: 0,
            window: Window::new(now),
            round: 0,
            closed_at: now,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn admission(&self, config: &BreakerConfig, now: Instant) -> Admission {
        match self.mode {
            Mode::Closed => Admission::Yes,
            Mode::Open { until } if now < until => Admission::No,
            Mode::Open { .. } => Admission::Probe,
            // A probe that never ends must not keep the endpoint out for ever.
            Mode::Probing { since } if now < since + config.max_ejection => Admission::No,
            Mode::Probing { .. } => Admission::Probe,
        }
    }

    fn report(&mut self, config: &BreakerConfig, probe: bool, verdict: Verdict, now: Instant) {
        match (self.mode, verdict) {
            (Mode::Closed, Verdict::Success) => {
                self.consecutive = 0;
                self.window.count(config.window, now, true);
            }
            (Mode::Closed, Verdict::Failure) => {
                self.consecutive = self.consecutive.saturating_add(1);
                self.window.count(config.window, now, false);
                if self.fails(config) {
                    // Calm for longer than it was left out last: it starts from the beginning.
                    if now.duration_since(self.closed_at) > self.ejection(config) {
                        self.round = 0;
                    }
                    self.open(config, now);
                }
            }
            (Mode::Probing { .. }, Verdict::Success) if probe => {
                self.mode = Mode::Closed;
                self.closed_at = now;
                self.consecutive = 0;
                self.window = Window::new(now);
            }
            (Mode::Probing { .. }, Verdict::Failure) if probe => self.open(config, now),
            // The probe told nothing: the next call may be one.
            (Mode::Probing { .. }, Verdict::Nothing) if probe => {
                self.mode = Mode::Open { until: now };
            }
            // Calls from before it opened, or that passed because nothing else was left.
            (Mode::Closed | Mode::Open { .. } | Mode::Probing { .. }, _) => {}
        }
    }

    fn fails(&self, config: &BreakerConfig) -> bool {
        let in_a_row =
            config.consecutive_failures > 0 && self.consecutive >= config.consecutive_failures;
        let [good, bad] = self.window.sum();
        let total = u64::from(good) + u64::from(bad);
        let judged = total > 0 && total >= u64::from(config.min_requests);
        in_a_row || (judged && u64::from(good) * 100 < total * u64::from(config.success_rate))
    }

    /// How long it would stay open.
    fn ejection(&self, config: &BreakerConfig) -> Duration {
        let doubled = config.ejection.saturating_mul(1 << self.round.min(MAX_ROUNDS));
        doubled.min(config.max_ejection)
    }

    fn open(&mut self, config: &BreakerConfig, now: Instant) {
        self.mode = Mode::Open { until: now + self.ejection(config) };
        self.round = self.round.saturating_add(1);
    }
}

// === impl Window ===

impl Window {
    fn new(now: Instant) -> Self {
        Self { since: now, halves: [[0; 2]; 2] }
    }

    fn count(&mut self, length: Duration, now: Instant, good: bool) {
        let half = length / 2;
        let age = now.saturating_duration_since(self.since);
        if age >= half {
            let [_, newest] = self.halves;
            self.halves = [if age < length { newest } else { [0; 2] }, [0; 2]];
            self.since = now;
        }
        let counter = &mut self.halves[1][usize::from(!good)];
        *counter = counter.saturating_add(1);
    }

    fn sum(&self) -> [u32; 2] {
        let [old, new] = self.halves;
        [old[0].saturating_add(new[0]), old[1].saturating_add(new[1])]
    }
}

#[cfg(test)]
mod tests;

//! The limit that follows latency.
//!
//! Each method has its usual latency; a window of calls whose latency is a multiple of it says that the
//! service queues, and the limit falls in proportion, from what was really under way. A window without
//! queueing in which the limit was nearly used up lets it grow by its square root. The usual latency
//! follows a fast method quickly and a slow one slowly, and not at all while the service queues or half
//! of the limit is in use, else it would get used to being overloaded; only at the lowest limit, where waiting cannot be the reason, does
//! it creep up.
//!
//! Latency says nothing where calls wait for somebody else, such as a model's provider or a watcher's
//! next event. Methods that usually need long, and streams, are therefore only counted.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;
use tonic::Code;

use crate::config::ConcurrencyConfig;

/// Calls slower than this by their nature are not a measure.
const LONG: f64 = 0.25;
/// Latencies below this are nobody's overload, in seconds: a service that answers some hundred callers
/// at once within it is busy, and that is what it is for.
const HARMLESS: f64 = 0.025;
/// How many times the usual latency is still fine.
const TOLERANCE: f64 = 2.0;
/// A window has at least so many calls and lasts at least so long.
const WINDOW: (u32, Duration) = (32, Duration::from_millis(50));
/// How many times the usual latency one call counts at most.
const OUTLIER: f64 = 10.0;
/// How fast the usual latency follows: a faster call, a slower one, and at the lowest limit.
const FOLLOW: (f64, f64, f64) = (0.1, 0.01, 1.02);
/// Methods that are remembered. The contract has fewer; a service that joined may have any number.
const MAX_METHODS: usize = 4_096;

/// How a place counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Under the limit that adapts.
    Quick,
    /// The same, begun when half of the limit or more was under way.
    Crowded,
    /// Under the fixed one.
    Long,
}

/// What a call says about the service beside its latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did its work.
    Worked,
    /// It was out of time, so it would have taken longer still.
    Late,
    /// It says nothing: the service was not reached, or refused without work.
    Silent,
}

/// The state of one service.
#[derive(Debug)]
pub(crate) struct Adaptive {
    min: f64,
    max: f64,
    max_long: usize,
    limit: f64,
    quick: usize,
    long: usize,
    /// The usual latency of each method, in seconds.
    usual: HashMap<String, f64>,
    window: Window,
    /// Whether the window before this one said that the service queues.
    queued: bool,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    calls: u32,
    ratios: f64,
    most: usize,
}

impl Outcome {
    /// From the status in the head of an answer; without one it comes later, after the work.
    pub(crate) fn of(code: Option<Code>) -> Self {
        match code {
            None => Self::Worked,
            Some(Code::DeadlineExceeded | Code::Cancelled) => Self::Late,
            Some(Code::Unavailable | Code::ResourceExhausted | Code::Unauthenticated) => {
                Self::Silent
            }
            Some(
                Code::Ok
                | Code::Unknown
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::Internal
                | Code::DataLoss,
            ) => Self::Worked,
        }
    }
}

impl Adaptive {
    pub(crate) fn new(config: &ConcurrencyConfig, now: Instant) -> Self {
        Self {
            min: of_usize(config.min),
            max: of_usize(config.max),
            max_long: config.max_long,
            limit: of_usize(config.initial),
            quick: 0,
            long: 0,
            usual: HashMap::new(),
            window: Window { since: now, calls: 0, ratios: 0.0, most: 0 },
            queued: false,
        }
    }

    /// How many quick calls may be under way.
    pub(crate) fn limit(&self) -> usize {
        // A float that is too large or no number saturates; the limit is neither.
        self.limit as usize
    }

    /// How many calls are under way: quick, long.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> (usize, usize) {
        (self.quick, self.long)
    }

    /// Takes a place for a call of this method; none if there is none. Who comes `first` may use a
    /// reserve of a quarter.
    pub(crate) fn take(&mut self, path: &str, streams: bool, first: bool) -> Option<Class> {
        if streams || self.usual.get(path).is_some_and(|usual| *usual > LONG) {
            if self.long >= self.max_long && !first {
                return None;
            }
            self.long += 1;
            return Some(Class::Long);
        }
        let limit = self.limit();
        let allowed = if first { limit + limit / 4 + 1 } else { limit };
        if self.quick >= allowed {
            return None;
        }
        self.quick += 1;
        self.window.most = self.window.most.max(self.quick);
        Some(if self.quick * 2 >= limit { Class::Crowded } else { Class::Quick })
    }

    pub(crate) fn give_back(&mut self, class: Class) {
        match class {
            Class::Quick | Class::Crowded => self.quick = self.quick.saturating_sub(1),
            Class::Long => self.long = self.long.saturating_sub(1),
        }
    }

    /// Learns from the head of an answer.
    pub(crate) fn learn(
        &mut self,
        path: &str,
        class: Class,
        took: Duration,
        outcome: Outcome,
        now: Instant,
    ) {
        let took = took.as_secs_f64();
        if outcome == Outcome::Silent {
            return;
        }
        let full = self.usual.len() >= MAX_METHODS;
        let queues = self.queues();
        let Some(usual) = self.usual.get_mut(path) else {
            if !full && outcome == Outcome::Worked {
                self.usual.insert(path.to_owned(), took);
            }
            return;
        };
        let ratio = took.max(HARMLESS) / usual.max(HARMLESS);
        if took < *usual && outcome == Outcome::Worked {
            *usual += (took - *usual) * FOLLOW.0;
        } else if took > *usual && (class == Class::Long || (class == Class::Quick && !queues)) {
            // How slow a method is by its nature shows while the service has room. A crowd makes any
            // method slow, and a limit that got used to its own queue would grow with it.
            *usual += (took.min(*usual * OUTLIER) - *usual) * FOLLOW.1;
        }
        if class != Class::Long {
            self.window.calls += 1;
            // One call that stood somewhere for long is not a queue.
            self.window.ratios += ratio.min(OUTLIER);
            self.close_window(now);
        }
    }

    /// Whether the service queues as far as the present window tells, or else the one before.
    fn queues(&self) -> bool {
        let Window { calls, ratios, .. } = self.window;
        if calls < WINDOW.0 / 2 { self.queued } else { ratios / f64::from(calls) > TOLERANCE }
    }

    fn close_window(&mut self, now: Instant) {
        let Window { since, calls, ratios, most } = self.window;
        if calls < WINDOW.0 || now.duration_since(since) < WINDOW.1 {
            return;
        }
        let gradient = (TOLERANCE * f64::from(calls) / ratios).clamp(0.5, 1.0);
        let most = of_usize(most);
        self.queued = gradient < 1.0;
        if gradient < 1.0 {
            if self.limit <= self.min {
                let quick = self.usual.values_mut().filter(|usual| **usual <= LONG);
                quick.for_each(|usual| *usual = (*usual * FOLLOW.2).min(LONG));
            }
            // From what was under way: a limit that nobody reached says nothing.
            self.limit = self.limit.min(most * gradient).max(self.limit / 2.0);
        } else if most * 2.0 >= self.limit {
            self.limit += self.limit.sqrt();
        }
        self.limit = self.limit.clamp(self.min, self.max);
        self.window = Window { since: now, calls: 0, ratios: 0.0, most: self.quick };
    }
}

fn of_usize(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

//! How loaded an endpoint is: the peak of its recent round trips times the calls under way, made worse
//! by failures.
//!
//! A slower round trip counts at once and in full, a faster one only gradually ("peak EWMA"), so that a
//! replica that begins to stall loses its traffic within one call. A call that fails fast must not make
//! its endpoint look fast: it never lowers the estimate and weighs on the endpoint for as long as the
//! estimate remembers. No weights and no locality: endpoints are alike until measured.

use std::{
    cmp::Ordering,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering as Atomic},
    },
    time::Duration,
};

use tokio::time::Instant;

/// How much one recent failure adds to the cost of an endpoint: after one it counts as five times as
/// slow.
const FAILURE_WEIGHT: f64 = 4.0;
/// Most failures that are remembered, so that an endpoint that has recovered is not shunned for long.
const MAX_FAILURES: f64 = 20.0;
/// The cost while a peer wants to be left alone (`grpc-retry-pushback-ms`).
const PUSHBACK_WEIGHT: f64 = 100.0;
/// Longest pushback that is believed.
const MAX_PUSHBACK: Duration = Duration::from_secs(30);

/// The load of one endpoint.
#[derive(Debug)]
pub(super) struct Load {
    pending: AtomicUsize,
    /// Seconds in which the memory fades to 1/e.
    decay: f64,
    estimate: Mutex<Estimate>,
}

#[derive(Debug)]
struct Estimate {
    /// Seconds; none before the first sample.
    round_trip: Option<f64>,
    /// Recent failures, fading.
    failures: f64,
    at: Instant,
    alone_until: Option<Instant>,
}

/// What an endpoint costs at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    round_trip: Option<f64>,
    weight: f64,
}

// === impl Load ===

impl Load {
    /// An endpoint about which nothing is known yet.
    pub(super) fn new(decay: Duration, now: Instant) -> Self {
        Self {
            pending: AtomicUsize::new(0),
            decay: decay.as_secs_f64().max(0.001),
            estimate: Mutex::new(Estimate {
                round_trip: None,
                failures: 0.0,
                at: now,
                alone_until: None,
            }),
        }
    }

    pub(super) fn begin(&self) {
        self.pending.fetch_add(1, Atomic::Relaxed);
    }

    pub(super) fn end(&self) {
        self.pending.fetch_sub(1, Atomic::Relaxed);
    }

    /// Calls under way.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Atomic::Relaxed)
    }

    /// A call went well and took so long.
    pub(super) fn succeeded(&self, now: Instant, took: Duration) {
        let mut estimate = self.estimate();
        let faded = estimate.fade(now, self.decay);
        let took = took.as_secs_f64();
        estimate.round_trip = Some(match estimate.round_trip {
            Some(known) if took < known => took + (known - took) * faded,
            Some(_) | None => took,
        });
    }

    /// A call went wrong after so long; `pushback` is how long the peer asked to be left alone.
    pub(super) fn failed(&self, now: Instant, took: Duration, pushback: Option<Duration>) {
        let mut estimate = self.estimate();
        estimate.fade(now, self.decay);
        estimate.failures = (estimate.failures + 1.0).min(MAX_FAILURES);
        if let Some(pushback) = pushback {
            estimate.alone_until = Some(now + pushback.min(MAX_PUSHBACK));
        }
        let took = took.as_secs_f64();
        if estimate.round_trip.is_some_and(|known| took > known) {
            estimate.round_trip = Some(took);
        }
    }

    /// A call was given up after so long without an answer: the round trip is at least that.
    pub(super) fn given_up(&self, now: Instant, took: Duration) {
        let mut estimate = self.estimate();
        let took = took.as_secs_f64();
        if estimate.round_trip.is_none_or(|known| took > known) {
            estimate.fade(now, self.decay);
            estimate.round_trip = Some(took);
        }
    }

    /// What a further call would cost.
    pub(super) fn cost(&self, now: Instant) -> Cost {
        let estimate = self.estimate();
        let faded = estimate.faded(now, self.decay);
        let failures = 1.0 + FAILURE_WEIGHT * estimate.failures * faded;
        let alone = estimate.alone_until.is_some_and(|until| now < until);
        let pushback = if alone { PUSHBACK_WEIGHT } else { 1.0 };
        #[expect(clippy::cast_precision_loss, reason = "calls under way stay far below 2^53")]
        let pending = self.pending() as f64 + 1.0;
        // The estimate fades while nothing is measured, so that a shunned endpoint is tried again.
        let round_trip = estimate.round_trip.map(|known| known * faded);
        Cost { round_trip, weight: pending * failures * pushback }
    }

    /// The estimated round trip; zero before the first sample.
    pub(super) fn round_trip(&self, now: Instant) -> Duration {
        let seconds = self.cost(now).round_trip.unwrap_or_default();
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    fn estimate(&self) -> std::sync::MutexGuard<'_, Estimate> {
        self.estimate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Estimate ===

impl Estimate {
    fn faded(&self, now: Instant, decay: f64) -> f64 {
        (-now.saturating_duration_since(self.at).as_secs_f64() / decay).exp()
    }

    /// Lets the failures fade and begins anew from `now`; tells how much is left of what was known.
    fn fade(&mut self, now: Instant, decay: f64) -> f64 {
        let faded = self.faded(now, decay);
        self.failures *= faded;
        self.at = self.at.max(now);
        faded
    }
}

// === impl Cost ===

impl Cost {
    /// Compares two endpoints. One that was never measured counts as fast as the other, so that only
    /// what is known decides.
    pub(super) fn compare(self, other: Self) -> Ordering {
        let (ours, theirs) = match (self.round_trip, other.round_trip) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            _ => (1.0, 1.0),
        };
        (ours * self.weight).total_cmp(&(theirs * other.weight))
    }
}

#[cfg(test)]
mod tests;

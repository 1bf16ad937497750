//! Time: the one place that reads the machine's clock.
//!
//! Services take a [`Clock`] and ask it, so that a test can move time instead of sleeping. Times are
//! whole microseconds since 1970 (UTC), because that is what the database columns hold. It measures
//! no durations of requests: those use the monotonic `tokio::time::Instant`.

use std::{
    fmt,
    ops::Add,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z. Displays as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Tells the time: the machine's, or one that a test moves.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

/// The hand that moves a manual [`Clock`].
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

// === impl Clock ===

impl Clock {
    /// Reads the machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Stands still at `start` until the returned [`ManualClock`] moves it.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let now = Arc::new(AtomicI64::new(start.0));
        (Self(Source::Manual(now.clone())), ManualClock(now))
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp(system_micros()),
            Source::Manual(now) => Timestamp(now.load(Ordering::SeqCst)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock everyone else is sent to")]
fn system_micros() -> i64 {
    // A machine set to before 1970 reads as 1970; nothing useful could be done with an error here.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

// === impl ManualClock ===

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(micros(by), Ordering::SeqCst);
    }

    /// Sets the clock.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

// === impl Timestamp ===

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down (what JWT claims hold).
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The protobuf form.
    pub fn to_proto(self) -> prost_types::Timestamp {
        let nanos = self.0.rem_euclid(1_000_000) * 1_000;
        prost_types::Timestamp {
            seconds: self.as_seconds(),
            nanos: i32::try_from(nanos).expect("below one billion"),
        }
    }

    /// From the protobuf form; `None` if it is out of the range that protobuf allows (years 1 to 9999)
    /// or its nanos are not between 0 and 999,999,999. Nanoseconds are cut to microseconds.
    pub fn from_proto(proto: &prost_types::Timestamp) -> Option<Self> {
        const FIRST: i64 = -62_135_596_800;
        const LAST: i64 = 253_402_300_799;
        if !(FIRST..=LAST).contains(&proto.seconds) || !(0..1_000_000_000).contains(&proto.nanos) {
            return None;
        }
        Some(Self(proto.seconds * 1_000_000 + i64::from(proto.nanos) / 1_000))
    }

    /// From RFC 3339 text, in any offset.
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1_000)).ok().map(Self)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time less `by`.
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            // Outside the years that RFC 3339 can write.
            None => write!(f, "{}us", self.0),
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

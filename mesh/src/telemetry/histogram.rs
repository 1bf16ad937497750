//! A latency histogram that can be read back, for the percentiles in `GET /api/v1/metrics`.
//!
//! The one of the Prometheus library can only be written out. Percentiles are interpolated inside a
//! bucket, so they are as exact as the buckets are fine.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds of the buckets, in seconds; the last bucket has none.
pub(super) const BOUNDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Counts of latencies by bucket.
#[derive(Debug, Default)]
pub(super) struct Latencies([AtomicU64; BOUNDS.len() + 1]);

impl Latencies {
    pub(super) fn observe(&self, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.0[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// The latency that `share` (0 to 1) of the calls did not exceed; zero without calls.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let counts = self.0.each_ref().map(|count| count.load(Ordering::Relaxed));
        let total: u64 = counts.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of calls stay far below 2^53")]
        let wanted = total as f64 * share;
        let mut below = 0.0;
        for (index, count) in counts.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let count = *count as f64;
            if count > 0.0 && below + count >= wanted {
                let low = if index == 0 { 0.0 } else { BOUNDS[index - 1] };
                // Nothing is known about how far beyond the last bound a latency lies.
                let high = BOUNDS.get(index).copied().unwrap_or(low);
                let part = ((wanted - below) / count).clamp(0.0, 1.0);
                return Duration::from_secs_f64(low + (high - low) * part);
            }
            below += count;
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_the_right_bucket() {
        let latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        for _ in 0..90 {
            latencies.observe(Duration::from_millis(3));
        }
        for _ in 0..10 {
            latencies.observe(Duration::from_millis(800));
        }
        let p50 = latencies.quantile(0.5);
        assert!(p50 > Duration::from_micros(2_500) && p50 <= Duration::from_millis(5), "{p50:?}");
        let p95 = latencies.quantile(0.95);
        assert!(p95 > Duration::from_millis(500) && p95 <= Duration::from_secs(1), "{p95:?}");
        latencies.observe(Duration::from_secs(3_600));
        assert_eq!(latencies.quantile(1.0), Duration::from_secs(60));
    }
}

//! When failed calls are made again: the configuration, and the pauses that follow from it.

use std::time::Duration;

use serde::Deserialize;

/// `[mesh.channel.retry]`: when failed calls are made again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Attempts of a call, the first included: 1 to 5. One means that nothing is repeated.
    pub attempts: u32,
    /// The longest pause before the first retry; the pause is drawn between nothing and this.
    #[serde(with = "crate::config::duration")]
    pub initial_backoff: Duration,
    /// The same before any retry.
    #[serde(with = "crate::config::duration")]
    pub max_backoff: Duration,
    /// By how much the longest pause grows from one retry to the next.
    pub backoff_multiplier: u32,
    /// Retries of the last ten seconds in percent of the calls, per process and peer.
    pub budget_percent: u32,
    /// Retries that a peer may have when so few calls earn none.
    pub budget_reserve: u32,
    /// Largest request that is kept to be sent again, and largest part of an answer that is held back
    /// until its status is known.
    pub buffer_bytes: usize,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 3,
            initial_backoff: Duration::from_millis(25),
            max_backoff: Duration::from_secs(1),
            backoff_multiplier: 2,
            budget_percent: 20,
            budget_reserve: 3,
            buffer_bytes: 64 * 1024,
        }
    }
}

impl RetryConfig {
    /// A pause between nothing and what the step allows, so that callers do not return in step.
    pub(super) fn pause(&self, step: u32) -> Duration {
        let grown =
            self.initial_backoff.saturating_mul(self.backoff_multiplier.saturating_pow(step));
        grown.min(self.max_backoff).mul_f64(fastrand::f64())
    }
}

//! The `[workflows]` section of the configuration.

use std::time::Duration;

use serde::Deserialize;

/// The `[workflows]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many executions may be open (accepted and not ended); a further one is refused with
    /// RESOURCE_EXHAUSTED. Default 10,000.
    pub max_open_executions: usize,
    /// How many executions run at once; the others wait for their turn, and waiting for a time takes no
    /// turn. Default 256.
    pub max_running_executions: usize,
    /// How many steps one execution may take before it is ended with an error. Default 100,000.
    pub max_steps: u32,
    /// How long one call of a model, an agent or an integration may take. A task's own `timeout` is
    /// shorter where it is set. Default `5m`.
    #[serde(with = "lightning_mesh::config::duration")]
    pub call_timeout: Duration,
    /// How often the end of an execution is reported to its callback address before giving up, with
    /// growing pauses between. Default 10.
    pub callback_attempts: u32,
    /// How long a `request_id` is remembered with its answer. Default `24h`.
    #[serde(with = "lightning_mesh::config::duration")]
    pub idempotency_window: Duration,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            max_open_executions: 10_000,
            max_running_executions: 256,
            max_steps: 100_000,
            call_timeout: Duration::from_secs(300),
            callback_attempts: 10,
            idempotency_window: Duration::from_secs(24 * 60 * 60),
        }
    }
}

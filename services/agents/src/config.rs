//! The `[agents]` section of the configuration.

use std::time::Duration;

use serde::Deserialize;

/// The `[agents]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many invocations this process answers at once, over all deployments; a further one is
    /// refused with RESOURCE_EXHAUSTED. Default 4,096.
    pub max_invocations: usize,
    /// How long a `request_id` is remembered with its answer. Default `24h`.
    #[serde(with = "lightning_mesh::config::duration")]
    pub idempotency_window: Duration,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self { max_invocations: 4_096, idempotency_window: Duration::from_secs(24 * 60 * 60) }
    }
}

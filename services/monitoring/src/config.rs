//! The `[monitoring]` section.

use std::time::Duration;

use serde::Deserialize;

/// What the monitoring service can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often each service is asked for its figures; at least 100 ms.
    #[serde(with = "lightning_mesh::config::duration")]
    pub interval: Duration,
    /// How much history is kept in memory.
    #[serde(with = "lightning_mesh::config::duration")]
    pub history: Duration,
    /// How long a service may take to answer before it counts as unreachable.
    #[serde(with = "lightning_mesh::config::duration")]
    pub timeout: Duration,
    /// The services to watch.
    pub services: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let services = [
            "gateway",
            "agents",
            "enhanced",
            "workflows",
            "integrations",
            "models",
            "auth",
            "monitoring",
        ];
        Self {
            interval: Duration::from_secs(5),
            history: Duration::from_secs(15 * 60),
            timeout: Duration::from_secs(2),
            services: services.map(str::to_owned).to_vec(),
        }
    }
}

impl Config {
    /// How many samples the history holds: at least one, at most 10,000.
    pub fn capacity(&self) -> usize {
        let interval = self.interval.max(Duration::from_millis(100));
        let count = self.history.as_secs_f64() / interval.as_secs_f64();
        (count.ceil() as usize).clamp(1, 10_000)
    }
}

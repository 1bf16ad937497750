//! The `[integrations]` section.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::Error;

/// The `[integrations]` section. Every default is safe for one machine: nothing private can be called.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The private targets that outbound calls may reach all the same: networks, addresses or host
    /// names, each with an optional port, such as `"127.0.0.0/8:8080"`, `"10.0.0.0/8"`,
    /// `"[::1]:9000"`, `"crm.internal:443"`. A host name never opens link-local addresses. Default
    /// empty.
    pub egress_allow: Vec<String>,
    /// The file of the key that seals credentials and webhook secrets; it is made, for its owner only,
    /// if it is absent. Default `<data_dir>/integrations.key`.
    pub key_file: Option<PathBuf>,
    /// Folders beside `<data_dir>/databases` in which the database connector may open SQLite files. One
    /// that holds the data directory does not open that.
    /// Default empty.
    pub database_folders: Vec<PathBuf>,
    /// The most calls of one integration at a time, 1 to 1,000. Default 16.
    pub concurrency: usize,
    /// How long a call waits for one of these places, 0 to 60 s. Default `"5s"`.
    #[serde(with = "lightning_mesh::config::duration")]
    pub queue_wait: Duration,
    /// How long a call of an external system may take unless the integration says otherwise, 1 ms to
    /// 120 s. SQLite statements have 10 s of it at most. Default `"30s"`.
    #[serde(with = "lightning_mesh::config::duration")]
    pub timeout: Duration,
    /// The largest result of an action, in bytes on the wire, 1 KiB to 10 MiB. Default 3,500,000,
    /// which fits into one gRPC message.
    pub max_result_bytes: usize,
    /// How often the workflow of an event is started before it counts as failed, 1 to 100. The waits
    /// double from 1 s to 5 minutes. Default 12, which is about half an hour.
    pub webhook_attempts: u32,
    /// Whether the sample database and the integration that points to it are made at the first start.
    /// Default true.
    pub sample: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            egress_allow: Vec::new(),
            key_file: None,
            database_folders: Vec::new(),
            concurrency: 16,
            queue_wait: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            max_result_bytes: 3_500_000,
            webhook_attempts: 12,
            sample: true,
        }
    }
}

// === impl Config ===

impl Config {
    /// Refuses figures outside their documented ranges.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong =
            |key, range: &str| Err(Error::Settings { key, why: format!("must be {range}") });
        if !(1..=1_000).contains(&self.concurrency) {
            return wrong("concurrency", "1 to 1,000");
        }
        if self.queue_wait > Duration::from_secs(60) {
            return wrong("queue_wait", "0 to 60 s");
        }
        if !(Duration::from_millis(1)..=crate::egress::MAX_TIMEOUT).contains(&self.timeout) {
            return wrong("timeout", "1 ms to 120 s");
        }
        if !(1_024..=crate::egress::MAX_BODY).contains(&self.max_result_bytes) {
            return wrong("max_result_bytes", "1,024 to 10,485,760");
        }
        if !(1..=100).contains(&self.webhook_attempts) {
            return wrong("webhook_attempts", "1 to 100");
        }
        Ok(())
    }
}

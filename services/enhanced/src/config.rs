//! The `[enhanced]` section of the configuration.

use serde::Deserialize;

use crate::Error;

/// The `[enhanced]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The environment in which agents take tasks; the monolith knew only one. Default `production`.
    pub environment: String,
}

// === impl Config ===

impl Config {
    /// Refuses what no agent could be deployed to.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&self.environment.len()) && self.environment.bytes().all(fits) {
            return Ok(());
        }
        Err(Error::Config("environment must have 1 to 63 characters out of a-z, 0-9 and '-'"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { environment: "production".to_owned() }
    }
}

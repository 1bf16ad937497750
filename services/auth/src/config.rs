//! The `[auth]` section of the configuration.
//!
//! Every default is right for one machine. The issuer is configured and never taken from a request's
//! `Host`, because whoever chooses that header would otherwise choose where tokens claim to come from.

use std::time::Duration;

use lightning_mesh::config::duration;
use serde::Deserialize;

use crate::{Error, domain::redirects};

/// The `[auth]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The issuer of tokens: the address under which users reach this service, without a trailing
    /// slash. Default `http://localhost:8006`.
    pub issuer: String,
    /// Who may register once the first user exists. Default `closed`.
    pub registration: Registration,
    /// Where authorization codes may be sent besides loopback addresses; compared character by
    /// character. At most 100. Default none.
    pub redirect_uris: Vec<String>,
    /// How long an access token lives, 10 seconds to 1 hour. Default `5m`.
    #[serde(with = "duration")]
    pub access_token_ttl: Duration,
    /// How long a session lives at most, however often it is refreshed, up to 400 days. Default `30d`.
    #[serde(with = "duration")]
    pub session_lifetime: Duration,
    /// How long a session lives without being refreshed; no longer than its lifetime. Default `7d`.
    #[serde(with = "duration")]
    pub session_idle: Duration,
    /// How many passwords are hashed at once, 1 to 64; each takes 19 MiB and about 20 ms of a core.
    /// Default 2.
    pub password_workers: usize,
    /// How many more may wait for their turn, up to 10,000; beyond that logins are refused with a
    /// moment to retry. Default 64.
    pub password_queue: usize,
}

/// Who may register once the first user exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Only callers with `auth.write` make users.
    #[default]
    Closed,
    /// Anyone may become a viewer.
    Open,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            issuer: "http://localhost:8006".to_owned(),
            registration: Registration::Closed,
            redirect_uris: Vec::new(),
            access_token_ttl: Duration::from_mins(5),
            session_lifetime: Duration::from_hours(30 * 24),
            session_idle: Duration::from_hours(7 * 24),
            password_workers: 2,
            password_queue: 64,
        }
    }
}

impl Config {
    /// Refuses values that cannot work, naming the first one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |key, what: &str| Err(Error::Config { key, what: what.to_owned() });
        if !is_issuer(&self.issuer) {
            return wrong(
                "issuer",
                "must be http://host[:port] or https://host[:port] with at most a path, without a \
                 trailing slash, query or fragment",
            );
        }
        if self.redirect_uris.len() > 100 {
            return wrong("redirect_uris", "may name at most 100 addresses");
        }
        if let Some(uri) = self.redirect_uris.iter().find(|uri| !redirects::is_well_formed(uri)) {
            return wrong(
                "redirect_uris",
                &format!("{uri:?} is not an absolute address without fragment"),
            );
        }
        if !(Duration::from_secs(10)..=Duration::from_hours(1)).contains(&self.access_token_ttl) {
            return wrong("access_token_ttl", "must be 10s to 1h");
        }
        if !(Duration::from_mins(1)..=Duration::from_hours(400 * 24))
            .contains(&self.session_lifetime)
        {
            return wrong("session_lifetime", "must be 1m to 400d");
        }
        if self.session_idle > self.session_lifetime || self.session_idle < Duration::from_secs(10)
        {
            return wrong("session_idle", "must be 10s to session_lifetime");
        }
        if !(1..=64).contains(&self.password_workers) {
            return wrong("password_workers", "must be 1 to 64");
        }
        if self.password_queue > 10_000 {
            return wrong("password_queue", "must be at most 10,000");
        }
        Ok(())
    }
}

fn is_issuer(text: &str) -> bool {
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    has_scheme
        && redirects::is_well_formed(text)
        && text.len() <= 200
        && !text.ends_with('/')
        && !text.contains(['?', '#', '"'])
}

#[cfg(test)]
mod tests;

//! The `[gateway]` section: what the edge lets in, and how it answers.
//!
//! Every default is safe for one machine: nobody is throttled but those who try passwords, no other
//! site may read answers, no proxy is believed.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;

use crate::{
    Error,
    cors::Cors,
    figures::Figures,
    limits::{By, Limits, Rule, gcra::Gcra},
};

mod upstream;

pub use upstream::Upstream;

/// What the gateway can be told. Where the other services are is said in `[mesh] peers`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether each request is written to the log, under the target `access`.
    pub access_log: bool,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long browsers are told to insist on TLS, where it is spoken (by us or by a trusted proxy);
    /// zero tells them nothing.
    #[serde(with = "lightning_mesh::config::duration")]
    pub hsts: Duration,
    /// How many keys (addresses, callers) the rate limits remember at once, over all rules.
    pub limit_keys: usize,
    /// Rate limits. Rules that are configured replace the default ones.
    pub limits: Vec<Rule>,
    /// Which other sites may call from a browser.
    pub cors: CorsConfig,
    /// What is compressed.
    pub compression: CompressionConfig,
    /// How many calls go to one service at once.
    pub concurrency: ConcurrencyConfig,
    /// gRPC services from outside of the mesh that are mounted here; at most 64.
    pub upstream: Vec<Upstream>,
}

impl Config {
    /// Says what is wrong with the upstreams beyond the types.
    pub fn check(&self) -> Result<(), Error> {
        self.concurrency.check()?;
        Cors::new(&self.cors)?;
        Limits::new(&self.limits, Arc::new(Gcra::new(1)), &Figures::default())?;
        upstream::check(&self.upstream)
    }
}

/// `[gateway.cors]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins such as `https://app.example.com`, or `*` alone for all. None means that no answer says
    /// anything about other sites, and so browsers let none of them read it.
    pub origins: Vec<String>,
    /// Whether browsers may send cookies along; not together with `*`.
    pub credentials: bool,
    /// How long a browser may remember a preflight.
    #[serde(with = "lightning_mesh::config::duration")]
    pub max_age: Duration,
}

/// `[gateway.compression]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionConfig {
    /// Whether answers are compressed for those who ask for it.
    pub answers: bool,
    /// Answers known to be shorter stay as they are, in bytes.
    pub min_bytes: u64,
    /// Whether compressed request bodies are taken; what comes out of one is bounded like any body.
    pub requests: bool,
}

/// `[gateway.concurrency]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConcurrencyConfig {
    /// The limit of each service at the start, in calls at once.
    pub initial: usize,
    /// What the limit never falls below.
    pub min: usize,
    /// What it never rises above.
    pub max: usize,
    /// Most calls of each service that take long by their nature at once: streams, and methods that
    /// usually need more than a quarter of a second.
    pub max_long: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            access_log: true,
            trusted_proxies: Vec::new(),
            hsts: Duration::from_secs(365 * 24 * 60 * 60),
            limit_keys: 100_000,
            limits: by_default(),
            cors: CorsConfig::default(),
            compression: CompressionConfig::default(),
            concurrency: ConcurrencyConfig::default(),
            upstream: Vec::new(),
        }
    }
}

impl ConcurrencyConfig {
    /// Whether the limits can hold at once.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let ordered = 1 <= self.min && self.min <= self.initial && self.initial <= self.max;
        if ordered && self.max_long >= 1 { Ok(()) } else { Err(Error::Concurrency) }
    }
}

/// Each try of a password costs the auth service a slow hash, and guessing must not pay. Programs fetch
/// tokens all the time, many of them from one address, so these have a limit of their own.
fn by_default() -> Vec<Rule> {
    let rule = |name: &str, methods: [&str; 2], requests: u32| Rule {
        name: name.to_owned(),
        methods: methods.map(|name| format!("lightning.auth.v1.AuthService/{name}")).to_vec(),
        by: vec![By::Address],
        requests,
        per: Duration::from_secs(60),
        burst: Some(requests / 2),
    };
    vec![
        rule("sign-in", ["Login", "Register"], 120),
        rule("tokens", ["Authorize", "IssueToken"], 1_200),
    ]
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self { origins: Vec::new(), credentials: false, max_age: Duration::from_secs(600) }
    }
}

impl Default for CompressionConfig {
    fn default() -> Self {
        Self { answers: true, min_bytes: 1_024, requests: true }
    }
}

impl Default for ConcurrencyConfig {
    fn default() -> Self {
        Self { initial: 512, min: 128, max: 4_096, max_long: 4_096 }
    }
}

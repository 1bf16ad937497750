//! Rate limits: how often somebody may call what.
//!
//! A rule names methods, what counts as one caller, and a rate with a burst. The rules are asked in the
//! gate, once per call, so that a method has one limit however it is called: REST under any of its
//! paths, gRPC or gRPC-Web. A call is refused by the first rule that is exhausted; what it took from the
//! rules before that one is not given back. Services of the mesh are not limited: they work on behalf of
//! callers who were.
//!
//! Where the counts live is behind [`Limiter`]; here it is this process ([`gcra`]).

use std::{fmt::Write as _, net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use lightning_mesh::{
    fault::Fault,
    identity::Caller,
    policy::{Call, Policy},
};
use lightning_proto::{google::rpc, mesh::v1::ErrorReason};
use prometheus_client::metrics::counter::Counter;
use serde::Deserialize;

use crate::{Error, client::Client, figures::Figures, notes::Notes};

pub(crate) mod gcra;

#[cfg(test)]
mod tests;

/// The most rules; each call is held against all of them.
const MAX_RULES: usize = 64;
/// The longest name of a rule, which travels in headers.
const MAX_NAME: usize = 40;
/// Of the draft that is current (draft-ietf-httpapi-ratelimit-headers-10).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Of the drafts before it, which is what most clients read.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// One of `[[gateway.limits]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is called in answers: letters, digits, `-` and `_`.
    pub name: String,
    /// What it is about: `lightning.auth.v1.AuthService/Login`, all below a name that ends in `*`
    /// (`lightning.models.v1.*`), or a page by its prefix (`/dashboard`). None means everything.
    #[serde(default)]
    pub methods: Vec<String>,
    /// What has a limit of its own: every combination of these.
    pub by: Vec<By>,
    /// How many calls in `per`, sustained.
    pub requests: u32,
    /// The time that `requests` are spread over.
    #[serde(with = "lightning_mesh::config::duration")]
    pub per: Duration,
    /// How many calls may come at once after a pause; `requests` unless said otherwise.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// What a rule tells callers apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The address of the client; all of one IPv6 /64 are one. Calls inside the process have none, and
    /// the rule is not for them.
    Address,
    /// Who calls: a user, an API key, or the address of somebody who did not say.
    Caller,
    /// The API key. The rule is for calls with one only.
    ApiKey,
    /// The method, whatever route led to it.
    Method,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Calls at once after a pause.
    pub(crate) burst: u32,
    /// Time after which one more is allowed.
    pub(crate) interval: Duration,
}

/// What a limiter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Whether the call may go on.
    pub(crate) allowed: bool,
    /// How many more may come now.
    pub(crate) remaining: u32,
    /// When the whole burst is there again.
    pub(crate) reset: Duration,
    /// When the next call may come; zero if it may now.
    pub(crate) retry_after: Duration,
}

/// Keeps the counts.
pub(crate) trait Limiter: Send + Sync + 'static {
    /// Takes `cost` calls from what the key has left, or says when there will be enough.
    fn check<'a>(&'a self, key: &'a str, quota: Quota, cost: u32) -> BoxFuture<'a, Decision>;
}

/// A rule and what it said about a call.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    rule: Arc<Prepared>,
    decision: Decision,
}

/// A rule, ready to be applied.
#[derive(Debug)]
struct Prepared {
    name: String,
    patterns: Vec<Pattern>,
    by: Vec<By>,
    quota: Quota,
    /// The value of `RateLimit-Policy`, and what `RateLimit` begins with.
    policy: HeaderValue,
    refused: Counter,
}

#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Below(String),
}

/// The rules of the edge.
pub(crate) struct Limits {
    rules: Vec<Arc<Prepared>>,
    limiter: Arc<dyn Limiter>,
}

// === impl Limits ===

impl Limits {
    /// Fails on a rule that cannot mean anything.
    pub(crate) fn new(
        rules: &[Rule],
        limiter: Arc<dyn Limiter>,
        figures: &Figures,
    ) -> Result<Self, Error> {
        let fault =
            |rule: &Rule, why: &str| Error::Limit { rule: rule.name.clone(), why: why.into() };
        let mut prepared: Vec<Arc<Prepared>> = Vec::new();
        for rule in rules {
            if prepared.len() == MAX_RULES {
                return Err(fault(rule, "there are more than 64 rules"));
            }
            if prepared.iter().any(|other| other.name == rule.name) {
                return Err(fault(rule, "there is another rule of that name"));
            }
            prepared.push(Arc::new(Prepared::new(rule, figures).map_err(|why| fault(rule, &why))?));
        }
        Ok(Self { rules: prepared, limiter })
    }

    /// The rules that count calls of a method, as `RateLimit-Policy` writes them.
    pub(crate) fn about(&self, path: &str) -> Vec<String> {
        let rules = self.rules.iter().filter(|rule| rule.is_about(path));
        rules.filter_map(|rule| rule.policy.to_str().ok()).map(str::to_owned).collect()
    }

    async fn decide(&self, call: Call<'_>) -> Result<(), Fault> {
        let caller = call.caller;
        Notes::in_extensions(call.extensions, |known| {
            known.caller = caller.map(|caller| caller.subject.clone());
            known.route = Some(call.path.to_owned());
        });
        if caller.is_some_and(Caller::is_service) {
            return Ok(());
        }
        let address = || call.extensions.get::<Client>().and_then(Client::key);
        for rule in self.rules.iter().filter(|rule| rule.is_about(call.path)) {
            let Some(key) = rule.key(call.path, caller, address()) else { continue };
            let decision = self.limiter.check(&key, rule.quota, 1).await;
            let verdict = Verdict { rule: rule.clone(), decision };
            let refused = (!decision.allowed).then(|| verdict.fault());
            Notes::in_extensions(call.extensions, |known| {
                let closer = |other: &Verdict| decision.remaining <= other.decision.remaining;
                if known.limit.as_ref().is_none_or(closer) {
                    known.limit = Some(verdict);
                }
            });
            if let Some(fault) = refused {
                rule.refused.inc();
                return Err(fault);
            }
        }
        Ok(())
    }
}

impl Policy for Limits {
    fn check<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(self.decide(call))
    }
}

// === impl Prepared ===

impl Prepared {
    fn new(rule: &Rule, figures: &Figures) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if rule.name.is_empty() || rule.name.len() > MAX_NAME || !rule.name.bytes().all(plain) {
            return Err(format!("a name has 1 to {MAX_NAME} letters, digits, - and _"));
        }
        if rule.by.is_empty() {
            return Err("`by` names nothing: address, caller, api_key or method".to_owned());
        }
        let burst = rule.burst.unwrap_or(rule.requests);
        let interval = rule.per.checked_div(rule.requests).unwrap_or_default();
        if burst == 0 || interval.is_zero() || rule.per > Duration::from_secs(24 * 60 * 60) {
            return Err("requests and burst are at least 1, per is at most 24h".to_owned());
        }
        let patterns = rule.methods.iter().map(|text| Pattern::parse(text));
        let (name, requests, window) = (&rule.name, rule.requests, seconds(rule.per));
        let policy = HeaderValue::try_from(format!("\"{name}\";q={requests};w={window}"))
            .expect("the name was checked and the rest are digits");
        Ok(Self {
            name: rule.name.clone(),
            patterns: patterns.collect::<Result<_, _>>()?,
            by: rule.by.clone(),
            quota: Quota { burst, interval },
            policy,
            refused: figures.rule(&rule.name),
        })
    }

    fn is_about(&self, path: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(path))
    }

    /// What the call counts under; none if the rule is not for it.
    fn key(&self, path: &str, caller: Option<&Caller>, address: Option<IpAddr>) -> Option<String> {
        let mut key = String::with_capacity(96);
        key.push_str(&self.name);
        for by in &self.by {
            key.push('|');
            let named = caller.filter(|caller| !caller.is_anonymous());
            let written = match (by, named) {
                (By::Caller, Some(caller)) => write!(key, "{}", caller.subject),
                (By::ApiKey, _) => {
                    let subject = &caller?.subject;
                    write!(key, "{}", subject.strip_prefix("api-key:")?)
                }
                (By::Method, _) => write!(key, "{path}"),
                (By::Address, _) | (By::Caller, None) => write!(key, "{}", address?),
            };
            written.expect("writing to a string cannot fail");
        }
        Some(key)
    }
}

impl Pattern {
    /// Reads a pattern; a method of ours that does not exist is a slip of the pen.
    fn parse(text: &str) -> Result<Self, String> {
        let path = match text.starts_with('/') {
            true => text.to_owned(),
            false => format!("/{text}"),
        };
        if let Some(below) = path.strip_suffix('*').filter(|below| !below.contains('*')) {
            return Ok(Self::Below(below.to_owned()));
        }
        let ours = path.starts_with("/lightning.");
        if path.contains('*') || (ours && lightning_mesh::contract::method(&path).is_none()) {
            return Err(format!("{text:?} is no method of the contract"));
        }
        Ok(Self::Exact(path))
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == path,
            Self::Below(below) => path.starts_with(below.as_str()),
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// Tells the caller what is left.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let Self { rule, decision } = self;
        let (remaining, reset) = (decision.remaining, seconds(decision.reset));
        if let Ok(value) =
            HeaderValue::try_from(format!("\"{}\";r={remaining};t={reset}", rule.name))
        {
            headers.insert(RATE_LIMIT, value);
        }
        headers.insert(POLICY, rule.policy.clone());
        headers.insert(LIMIT, rule.quota.burst.into());
        headers.insert(REMAINING, remaining.into());
        headers.insert(RESET, reset.into());
    }

    fn fault(&self) -> Fault {
        let Self { rule, decision } = self;
        let subject = format!("limit:{}", rule.name);
        let description =
            format!("{} at once, then one every {}", rule.quota.burst, humane(rule.quota.interval));
        let violation = rpc::quota_failure::Violation { subject, description };
        Fault::exhausted(ErrorReason::LimitExceeded)
            .message(format!("the rate limit {} is exhausted; call again later", rule.name))
            .with("limit", &rule.name)
            .retry_after(decision.retry_after)
            .detail("google.rpc.QuotaFailure", &rpc::QuotaFailure { violations: vec![violation] })
    }
}

fn humane(time: Duration) -> String {
    match time.as_millis() {
        0 => format!("{}us", time.as_micros()),
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

/// Whole seconds, rounded up: who waits so long finds it done.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

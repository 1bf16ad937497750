//! What the connectors that speak HTTP share: calling, reading JSON, and telling refusals apart.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use url::Url;

use crate::{
    Error,
    domain::cut,
    egress::{Answer, Call, Egress, MAX_REDIRECTS},
};

/// How much of an answer stands in an error, in characters.
const MAX_EXCERPT: usize = 300;
/// The longest wait that a `Retry-After` is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// The guarded client with the connectors' default time.
#[derive(Clone)]
pub(super) struct Http {
    egress: Arc<Egress>,
    timeout: Duration,
    /// What the other side is called in messages.
    what: String,
}

/// What to send. No `Debug`: it holds secrets.
pub(super) struct Send {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) secret_headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) timeout: Option<Duration>,
    pub(super) redirects: bool,
}

// === impl Http ===

impl Http {
    pub(super) fn new(egress: Arc<Egress>, timeout: Duration, what: &str) -> Self {
        Self { egress, timeout, what: what.to_owned() }
    }

    /// Calls once.
    pub(super) async fn send(&self, send: Send) -> Result<Answer, Error> {
        self.egress
            .send(Call {
                method: send.method,
                url: send.url,
                headers: send.headers,
                secret_headers: send.secret_headers,
                body: send.body,
                timeout: send.timeout.unwrap_or(self.timeout),
                redirects: if send.redirects { MAX_REDIRECTS } else { 0 },
            })
            .await
    }

    /// The JSON of an answer.
    pub(super) fn json(&self, answer: &Answer) -> Result<Value, Error> {
        serde_json::from_slice(&answer.body).map_err(|_| Error::UpstreamRejected {
            target: answer.target.clone(),
            status: Some(answer.status.as_u16()),
            message: format!("the answer is not the JSON that {} sends", self.what),
        })
    }
}

// === impl Send ===

impl Send {
    /// A call without body that follows redirects.
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            secret_headers: HeaderMap::new(),
            body: Vec::new(),
            timeout: None,
            redirects: true,
        }
    }

    /// With a JSON body.
    pub(super) fn json(mut self, body: &Value) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = body.to_string().into_bytes();
        self
    }

    /// With a bearer token.
    pub(super) fn bearer(mut self, token: &str) -> Result<Self, Error> {
        let value = secret_value(&format!("Bearer {token}"))?;
        self.secret_headers.insert(header::AUTHORIZATION, value);
        Ok(self)
    }
}

/// A header value that logs show as sensitive.
pub(super) fn secret_value(text: &str) -> Result<HeaderValue, Error> {
    // Which credential it is must not be guessed from the message; that it cannot be sent suffices.
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::ConfigInvalid(vec![crate::domain::Violation::new(
            "integration.credentials",
            "hold a character that a header cannot carry",
        )])
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a status that is not a success means, with an excerpt or the given words.
pub(super) fn refusal(answer: &Answer, message: Option<String>) -> Error {
    let target = answer.target.clone();
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Error::UpstreamRateLimited { target, retry_after: retry_after(&answer.headers) };
    }
    let status = answer.status.as_u16();
    let message = message.unwrap_or_else(|| {
        let excerpt = cut(String::from_utf8_lossy(&answer.body).trim(), MAX_EXCERPT);
        if excerpt.is_empty() {
            format!("status {status}")
        } else {
            format!("status {status}: {excerpt}")
        }
    });
    Error::UpstreamRejected { target, status: Some(status), message }
}

/// `Retry-After` in seconds; its date form is left out, because the clocks may differ.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// A header name that a caller may set.
pub(super) fn free_header(name: &str) -> Option<HeaderName> {
    const OURS: [&str; 14] = [
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    HeaderName::try_from(name).ok().filter(|name| !OURS.contains(&name.as_str()))
}

/// A base address of a configuration: http or https, without user, query and fragment.
pub(super) fn base_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL such as https://api.example.com/v1")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must start with https:// or http:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password; use the credentials");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or fragment");
    }
    Ok(url)
}

/// A path below a base address. Refuses one that leads out of it, by `..` in any spelling.
pub(super) fn below(base: &Url, path: &str) -> Result<Url, &'static str> {
    if path.is_empty() {
        return Ok(base.clone());
    }
    let root = base.as_str().trim_end_matches('/');
    let url = Url::parse(&format!("{root}/{}", path.trim_start_matches('/')))
        .map_err(|_| "cannot be part of a URL")?;
    let root = base.path().trim_end_matches('/');
    let inside =
        url.path().strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !inside || url.origin() != base.origin() {
        return Err("must stay below base_url");
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment");
    }
    Ok(url)
}

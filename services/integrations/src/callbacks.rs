//! Callbacks: tells an address of the outside what another service has to say, once.
//!
//! The caller repeats, so every trouble that may pass is UNAVAILABLE here; only a refusal is final.
//! Redirects are not followed: a body that was meant for one address goes to no other.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use url::Url;

use crate::{
    Error,
    domain::{Violation, cut},
    egress::{Call, Egress},
};

/// Tells the outside.
pub(crate) struct Callbacks {
    pub(crate) egress: Arc<Egress>,
    pub(crate) timeout: Duration,
}

/// What to tell.
pub(crate) struct Callback {
    pub(crate) url: String,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    pub(crate) idempotency_key: String,
}

// === impl Callbacks ===

impl Callbacks {
    /// Posts once; answers the status.
    pub(crate) async fn deliver(&self, callback: Callback) -> Result<u16, Error> {
        let url = parse(&callback.url)?;
        let content_type = match callback.content_type.as_str() {
            "" => "application/json",
            given => given,
        };
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, header("body.content_type", content_type)?),
            (
                HeaderName::from_static("idempotency-key"),
                header("idempotency_key", &callback.idempotency_key)?,
            ),
        ]);
        let call = Call {
            method: Method::POST,
            url,
            headers,
            secret_headers: HeaderMap::new(),
            body: callback.body,
            timeout: self.timeout,
            redirects: 0,
        };
        let answer = self.egress.send(call).await.map_err(passing)?;
        let status = answer.status.as_u16();
        if answer.status.is_success() {
            return Ok(status);
        }
        let refused = Error::UpstreamRejected {
            target: answer.target.clone(),
            status: Some(status),
            message: format!("status {status}"),
        };
        if matches!(status, 408 | 425 | 429) {
            return Err(Error::UpstreamUnavailable {
                target: answer.target,
                why: format!("status {status}"),
            });
        }
        Err(refused)
    }

    /// Says whether an address would be allowed.
    pub(crate) async fn check(&self, url: &str) -> Result<(), Error> {
        self.egress.check(&parse(url)?).await
    }
}

/// A timeout may pass. Nobody reads the body of an answer, so one that is too large stays a refusal.
fn passing(error: Error) -> Error {
    if let Error::UpstreamTimeout { target, after } = error {
        let why = format!("no answer within {} ms", after.as_millis());
        return Error::UpstreamUnavailable { target, why };
    }
    error
}

fn parse(text: &str) -> Result<Url, Error> {
    Url::parse(text)
        .map_err(|error| invalid("url", &format!("must be an http or https URL ({error})")))
}

fn header(path: &str, text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| invalid(path, "cannot be sent as a header"))
}

fn invalid(path: &str, description: &str) -> Error {
    Error::PayloadInvalid(vec![Violation::new(path, cut(description, 300))])
}

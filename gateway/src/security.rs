//! Headers that tell browsers what not to do with an answer.
//!
//! Pages that say it themselves are left alone; `no-store` is the business of whoever answers with a
//! secret. TLS is insisted on only where it is spoken.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::client::Client;

/// What every answer says unless it says otherwise.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'")),
];

/// The headers.
pub(crate) struct Security {
    hsts: Option<HeaderValue>,
}

impl Security {
    /// `hsts` is how long browsers insist on TLS; zero does not tell them to.
    pub(crate) fn new(hsts: Duration) -> Self {
        let value = || HeaderValue::try_from(format!("max-age={}", hsts.as_secs())).ok();
        Self { hsts: (!hsts.is_zero()).then(value).flatten() }
    }

    /// Tells the browser.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, client: Client) {
        for (name, value) in &ALWAYS {
            if !headers.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
        if let Some(hsts) = self.hsts.as_ref().filter(|_| client.secure) {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }
}

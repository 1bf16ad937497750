//! Signatures of events: three schemes, one question.
//!
//! The signature is over the bytes as they came. Comparing takes the same time whatever is wrong, a
//! missing header is as bad as a wrong one, and where the scheme signs a time it must be within five
//! minutes of ours. GitHub signs neither time nor delivery id, so an old delivery of it can be sent
//! again by whoever has seen it; its scheme leaves nothing to check.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lightning_mesh::clock::Timestamp;
use serde_json::Value;

use crate::{
    Error,
    domain::{MAX_EVENT_ID, Scheme, Violation},
};

#[cfg(test)]
mod tests;

/// How far the sender's clock may be off.
const TOLERANCE: Duration = Duration::from_secs(300);
/// The most signatures that are tried: senders send two while they change their secret.
const MAX_SIGNATURES: usize = 16;

/// The headers of a delivery that a scheme may look at.
#[derive(Debug, Default, Clone)]
pub(crate) struct Headers(Vec<(String, String)>);

// === impl Headers ===

impl Headers {
    /// The names that are looked at, in lower case.
    pub(crate) const NAMES: [&'static str; 7] = [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-hub-signature-256",
        "x-github-delivery",
        "x-slack-signature",
        "x-slack-request-timestamp",
    ];

    /// From names in lower case and values.
    pub(crate) fn new(headers: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(headers.into_iter().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn need(&self, name: &str) -> Result<&str, Error> {
        self.get(name).ok_or(Error::SignatureInvalid("a header of the scheme is missing"))
    }
}

/// The key that a secret stands for; `None` if the scheme cannot use it.
pub(crate) fn key(scheme: Scheme, secret: &str) -> Option<hmac::Key> {
    let bytes = match scheme {
        Scheme::Standard => {
            STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?
        }
        Scheme::Github | Scheme::Slack => secret.as_bytes().to_vec(),
    };
    (!bytes.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// Checks the signature of a delivery; answers the sender's id of the event, if it has one.
pub(crate) fn verify(
    scheme: Scheme,
    secret: &str,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let key = key(scheme, secret).ok_or(Error::CredentialsUnreadable)?;
    match scheme {
        Scheme::Standard => standard(&key, headers, body, now),
        Scheme::Github => github(&key, headers, body),
        Scheme::Slack => slack(&key, headers, body, now),
    }
}

fn standard(
    key: &hmac::Key,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let id = headers.need("webhook-id")?;
    let time = headers.need("webhook-timestamp")?;
    let given = headers.need("webhook-signature")?;
    let mut signed = format!("{id}.{time}.").into_bytes();
    signed.extend_from_slice(body);
    // Other versions (v1a is asymmetric) stand beside v1 and are passed over.
    let mut signatures =
        given.split(' ').filter_map(|each| each.strip_prefix("v1,")).take(MAX_SIGNATURES);
    let valid = signatures.any(|each| {
        STANDARD.decode(each).is_ok_and(|tag| hmac::verify(key, &signed, &tag).is_ok())
    });
    accept(valid)?;
    recent(time, now)?;
    sender_id(id).map(Some)
}

fn github(key: &hmac::Key, headers: &Headers, body: &[u8]) -> Result<Option<String>, Error> {
    let given = headers.need("x-hub-signature-256")?;
    let tag = given.strip_prefix("sha256=").and_then(hex);
    accept(tag.is_some_and(|tag| hmac::verify(key, body, &tag).is_ok()))?;
    headers.get("x-github-delivery").map(sender_id).transpose()
}

fn slack(
    key: &hmac::Key,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let time = headers.need("x-slack-request-timestamp")?;
    let given = headers.need("x-slack-signature")?;
    let mut signed = format!("v0:{time}:").into_bytes();
    signed.extend_from_slice(body);
    let tag = given.strip_prefix("v0=").and_then(hex);
    accept(tag.is_some_and(|tag| hmac::verify(key, &signed, &tag).is_ok()))?;
    recent(time, now)?;
    // Slack's id is in the body, which is signed; its repetitions carry the same one.
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let id = body.as_ref().and_then(|body| body.get("event_id")).and_then(Value::as_str);
    id.map(sender_id).transpose()
}

fn accept(valid: bool) -> Result<(), Error> {
    if valid { Ok(()) } else { Err(Error::SignatureInvalid("no signature matches")) }
}

/// Whether a time in seconds is close to ours.
fn recent(seconds: &str, now: Timestamp) -> Result<(), Error> {
    let malformed = Error::SignatureInvalid("the timestamp is not a number of seconds");
    let seconds: i64 = seconds.parse().map_err(|_| malformed)?;
    let tolerance = i64::try_from(TOLERANCE.as_secs()).unwrap_or(i64::MAX);
    let apart = now.as_seconds().saturating_sub(seconds).saturating_abs();
    if apart <= tolerance {
        Ok(())
    } else {
        Err(Error::SignatureInvalid("the timestamp is more than five minutes off"))
    }
}

fn sender_id(id: &str) -> Result<String, Error> {
    let fits = (1..=MAX_EVENT_ID).contains(&id.len()) && !id.chars().any(char::is_control);
    if fits {
        return Ok(id.to_owned());
    }
    let why = format!("must have 1 to {MAX_EVENT_ID} bytes and no control characters");
    Err(Error::WebhookInvalid(vec![Violation::new("event id", why)]))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

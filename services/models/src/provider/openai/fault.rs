//! What a server's refusal means for the caller.

use std::time::Duration;

use reqwest::{StatusCode, header::HeaderValue};
use serde_json::Value;

use super::Upstream;

/// The longest text of a provider that is passed on, in characters.
const MAX_MESSAGE: usize = 500;

/// The longest wait that is passed on: a day.
const MAX_WAIT: f64 = 86_400.0;

/// An error before or while the answer came.
pub(super) fn transport(error: reqwest::Error) -> Upstream {
    if error.is_timeout() {
        Upstream::Timeout
    } else {
        // The URL is in the configuration; it need not stand in the log with every failure.
        Upstream::Unreachable(error.without_url())
    }
}

/// A status other than 2xx, with what the body says.
pub(super) fn refusal(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Upstream {
    let code = status.as_u16();
    match code {
        401 | 403 => Upstream::Credentials { status: code },
        408 | 504 => Upstream::Timeout,
        429 => Upstream::RateLimited { retry_after },
        400..=499 => {
            let (message, kind) = explain(body);
            let too_long = kind == "context_length_exceeded"
                || code == 413
                || [
                    "context length",
                    "context window",
                    "maximum context",
                    "exceeds the available context",
                ]
                .iter()
                .any(|words| message.to_lowercase().contains(words));
            if too_long {
                Upstream::ContextTooLong { message }
            } else {
                Upstream::Rejected { status: code, message }
            }
        }
        _ => Upstream::Failed { status: code },
    }
}

/// The wait that a `Retry-After` in seconds asks for. The form with a date is rare and ignored.
pub(super) fn retry_after(header: Option<&HeaderValue>) -> Option<Duration> {
    let seconds: f64 = header?.to_str().ok()?.trim().parse().ok()?;
    (0.0..=MAX_WAIT).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// Message and code of OpenAI's error object, of its variants, or of plain text.
fn explain(body: &[u8]) -> (String, String) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let plain = String::from_utf8_lossy(body);
        let plain = if plain.trim_start().starts_with('<') { "" } else { plain.trim() };
        return (cut(plain), String::new());
    };
    let error = value.get("error").unwrap_or(&value);
    let message = text(error.get("message"))
        .or_else(|| text(Some(error)))
        .or_else(|| text(value.get("detail")))
        .unwrap_or_default();
    (cut(&message), text(error.get("code")).unwrap_or_default())
}

/// The message of an error object inside a stream.
pub(super) fn explain_value(error: &Value) -> String {
    let message = error.get("message").and_then(Value::as_str).or_else(|| error.as_str());
    cut(message.unwrap_or_default())
}

fn cut(text: &str) -> String {
    if text.is_empty() {
        return "it gave no explanation".to_owned();
    }
    text.chars().take(MAX_MESSAGE).collect()
}

//! Which headers become metadata, which metadata becomes headers, and the timeout.
//!
//! Forwarded are the headers that say something about the call. Those that say something about the
//! connection, the body or the representation end here, and so does everything that only the gRPC
//! layer may say (`grpc-*`): a caller cannot forge a status or a deadline.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::status::Refusal;

/// The request header with the time that the caller is willing to wait.
const TIMEOUT: &str = "x-request-timeout";
/// The response header by which a service chooses another success status.
pub(crate) const HTTP_CODE: &str = "x-http-code";

/// Headers of one connection, never of the call.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Makes the headers of the gRPC request.
///
/// # Errors
/// When the timeout is malformed.
pub(crate) fn forwarded(headers: &HeaderMap) -> Result<HeaderMap, Refusal> {
    let listed = listed(headers);
    let mut metadata = HeaderMap::with_capacity(headers.len() + 3);
    for (name, value) in headers {
        let text = name.as_str();
        let stays = is_connection(name, &listed)
            || text.starts_with("content-")
            || text.starts_with("accept")
            || text.starts_with("grpc-")
            || [header::HOST, header::EXPECT].contains(name)
            || text == TIMEOUT;
        // gRPC metadata is printable ASCII.
        let printable = value.as_bytes().iter().all(|byte| (0x20..=0x7e).contains(byte));
        if !stays && printable {
            metadata.append(name, value.clone());
        }
    }
    if let Some(timeout) = timeout(headers)? {
        metadata.insert("grpc-timeout", timeout);
    }
    metadata.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    metadata.insert(header::TE, HeaderValue::from_static("trailers"));
    Ok(metadata)
}

/// Adds custom metadata of an answer to the headers that go out, without replacing any.
pub(crate) fn pass_out(metadata: &HeaderMap, headers: &mut HeaderMap) {
    let listed = listed(metadata);
    let taken: HashSet<HeaderName> = headers.keys().cloned().collect();
    for (name, value) in metadata {
        let text = name.as_str();
        let stays = is_connection(name, &listed)
            || text.starts_with("content-")
            || text.starts_with("grpc-")
            || [header::DATE, header::SERVER].contains(name)
            || text == HTTP_CODE
            || taken.contains(name);
        if !stays {
            headers.append(name, value.clone());
        }
    }
}

/// The names that `Connection` declares to be of the connection.
fn listed(headers: &HeaderMap) -> HashSet<String> {
    let values = headers.get_all(header::CONNECTION).into_iter();
    let names = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    names.map(|name| name.trim().to_ascii_lowercase()).collect()
}

fn is_connection(name: &HeaderName, listed: &HashSet<String>) -> bool {
    HOP_BY_HOP.contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
        || listed.contains(name.as_str())
}

/// Reads `1.5`, `1.5s`, `250ms` or `2m` and writes it as gRPC does. Said twice it would mean two things.
fn timeout(headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let refuse = || {
        let description = "one positive time is expected: seconds such as 1.5, or 250ms, 30s, 2m";
        Refusal::field("INVALID_VALUE", "X-Request-Timeout", description)
    };
    let mut values = headers.get_all(TIMEOUT).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(refuse()),
    };
    let text = value.to_str().map_err(|_| refuse())?.trim();
    let (number, scale) = match text {
        _ if text.ends_with("ms") => (&text[..text.len() - 2], 1.0),
        _ if text.ends_with('s') => (&text[..text.len() - 1], 1e3),
        _ if text.ends_with('m') => (&text[..text.len() - 1], 60e3),
        _ => (text, 1e3),
    };
    let plain = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit() || it == b'.');
    let number: f64 = number.parse().ok().filter(|_| plain).ok_or_else(refuse)?;
    let millis = (number * scale).ceil();
    if !(1.0..=99_999_999_000.0).contains(&millis) {
        return Err(refuse());
    }
    // gRPC allows eight digits; beyond that the unit becomes seconds.
    let text = if millis <= 99_999_999.0 {
        format!("{millis:.0}m")
    } else {
        format!("{:.0}S", (millis / 1e3).ceil())
    };
    HeaderValue::try_from(text).map(Some).map_err(|_| refuse())
}

#[cfg(test)]
mod tests;

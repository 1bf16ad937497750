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

/// The longest `content-disposition` that is passed on, in bytes.
const MAX_DISPOSITION: usize = 1024;

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

/// Adds custom metadata of an answer to the headers that go out, without replacing any. How raw bytes
/// are to be saved is for the service to say, so with them `content-disposition` passes too.
pub(crate) fn pass_out(metadata: &HeaderMap, headers: &mut HeaderMap, raw: bool) {
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
    // Several are none: clients disagree on which of them counts.
    let mut dispositions = metadata.get_all(header::CONTENT_DISPOSITION).iter();
    if let (true, Some(value), None) = (raw, dispositions.next(), dispositions.next())
        && !taken.contains(&header::CONTENT_DISPOSITION)
        && is_disposition(value.as_bytes())
    {
        headers.insert(header::CONTENT_DISPOSITION, value.clone());
    }
}

/// Whether a value is a `Content-Disposition` as RFC 6266 writes it: a word, then parameters whose
/// values are words or closed quotations. Names of files come from users: what a client could read in
/// two ways does not leave.
fn is_disposition(value: &[u8]) -> bool {
    let word = |bytes: &[u8]| {
        let length = bytes.iter().take_while(|byte| is_word(**byte)).count();
        (length > 0).then_some(length)
    };
    if value.len() > MAX_DISPOSITION {
        return false;
    }
    let Some(length) = word(value) else { return false };
    let mut rest = value[length..].trim_ascii();
    while let Some(parameter) = rest.strip_prefix(b";") {
        let parameter = parameter.trim_ascii_start();
        let Some(length) = word(parameter) else { return false };
        let Some(text) = parameter[length..].strip_prefix(b"=") else { return false };
        let length = if text.first() == Some(&b'"') { quotation(text) } else { word(text) };
        let Some(length) = length else { return false };
        rest = text[length..].trim_ascii_start();
    }
    rest.is_empty()
}

/// The length of the quotation at the beginning of a text, if it is closed and printable.
fn quotation(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if !(0x20..=0x7e).contains(byte) => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Whether a byte is of a token (RFC 9110), where percent signs encode what is not ASCII.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
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
        let description = "one positive time of at most 99999999 s is expected: seconds such as 1.5, or \
                           250ms, 30s, 2m";
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

//! The request body: its size, its encoding and what it claims to be.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Version, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError};

use crate::{
    Body, BoxError, Route,
    bind::Content,
    routes::BodyRule,
    status::{Refusal, known},
};

/// How much of a body that is refused is still read, and for how long. A client of HTTP/1 sends all of
/// it before it looks at the answer; closing earlier would reset the connection under the answer.
const DISCARD_BYTES: usize = 8 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(parts: &Parts, mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let read = read_within(&parts.headers, &mut body, limit).await;
    // Who asked for permission to send has not sent anything yet.
    let asked = parts.headers.contains_key(header::EXPECT);
    if read.is_err() && !asked && parts.version < Version::HTTP_2 {
        discard(body).await;
    }
    read
}

async fn discard(mut body: Body) {
    let drained = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    let _ended = tokio::time::timeout(DISCARD_TIME, drained).await;
}

async fn read_within(headers: &HeaderMap, body: &mut Body, limit: usize) -> Result<Bytes, Refusal> {
    plain(headers)?;
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if declared
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|length| length > limit as u64)
    {
        return Err(too_large(limit));
    }
    let mut whole: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error, limit))?;
        let Ok(data) = frame.into_data() else { continue };
        if joined.len() + whole.as_ref().map_or(0, Bytes::len) + data.len() > limit {
            return Err(too_large(limit));
        }
        // Most bodies come in one piece, which need not be copied.
        match whole.take() {
            None if joined.is_empty() => whole = Some(data),
            None => joined.extend_from_slice(&data),
            Some(first) => {
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&data);
            }
        }
    }
    Ok(whole.unwrap_or_else(|| joined.freeze()))
}

/// Says what the body is, or that it is nothing that the operation takes.
pub(super) fn content(
    route: &Route,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Content, Refusal> {
    let declared = headers.get(header::CONTENT_TYPE);
    let text = declared.map_or(Ok(""), |value| value.to_str()).map_err(|_| unsupported())?;
    if route.plan.raw_in {
        return Ok(Content::Raw(text.to_owned()));
    }
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let utf8 = parts.all(|part| match part.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        Some(_) | None => true,
    });
    let json = media.is_empty()
        || media == "application/json"
        || (media.starts_with("application/") && media.ends_with("+json"));
    if utf8 && json {
        return Ok(Content::Json);
    }
    if utf8 && media == "application/x-www-form-urlencoded" && *route.body() == BodyRule::All {
        return Ok(Content::Form);
    }
    if body.is_empty() {
        return Ok(Content::Json);
    }
    Err(unsupported())
}

/// Refuses compressed bodies.
fn plain(headers: &HeaderMap) -> Result<(), Refusal> {
    let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut encodings =
        encodings.filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encodings.next().is_none() {
        return Ok(());
    }
    let message =
        "compressed request bodies are not supported yet: send it without content-encoding";
    Err(unsupported_with(message).with_header(header::ACCEPT_ENCODING, "identity"))
}

fn unsupported() -> Refusal {
    unsupported_with("the body must be application/json in UTF-8")
        .with_header(header::ACCEPT, "application/json")
}

fn unsupported_with(message: &str) -> Refusal {
    let code = known::INVALID_ARGUMENT;
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, "UNSUPPORTED_MEDIA_TYPE", message)
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("the body is larger than {limit} bytes");
    let code = known::RESOURCE_EXHAUSTED;
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, code, "BODY_TOO_LARGE", message)
}

/// A body that could not be read to its end: an outer limit, or a caller that went away.
fn broken(error: &BoxError, limit: usize) -> Refusal {
    if error.is::<LengthLimitError>() {
        return too_large(limit);
    }
    let message = "the body broke off";
    Refusal::of_code(known::INVALID_ARGUMENT, "INCOMPLETE_BODY", message)
}

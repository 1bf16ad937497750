//! Errors: one table from gRPC to HTTP and one JSON shape for everything that goes wrong.
//!
//! The body is `{"error": {"code", "status", "message", "details"}}`, whether a service failed, the
//! path is unknown or the JSON is malformed. `code` is the HTTP status that the caller sees, `status`
//! the name of the gRPC code. Details are shown by their type; `DebugInfo` never leaves.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use prost::Message;

use crate::{
    Body, DirectCodec, JsonStyle, Routes,
    direct::encode::{self, text},
    service::{GrpcStatus, full},
    wire,
};

pub(crate) mod known;
pub(crate) mod refusal;

#[cfg(test)]
mod tests;

pub(crate) use refusal::Refusal;

/// The longest message that is passed on, in bytes.
const MAX_MESSAGE: usize = 4096;

/// The outcome of a gRPC call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The gRPC code; anything that is no code is treated as `UNKNOWN`.
    pub code: i32,
    /// A message for the caller's developer.
    pub message: String,
    /// A serialized `google.rpc.Status`, or nothing.
    pub details: Bytes,
}

/// The HTTP status of a gRPC code.
pub(crate) fn http_of(code: i32) -> StatusCode {
    match code {
        0 => StatusCode::OK,
        1 => StatusCode::from_u16(499).expect("499 is within the range of statuses"),
        3 | 9 | 11 => StatusCode::BAD_REQUEST,
        4 => StatusCode::GATEWAY_TIMEOUT,
        5 => StatusCode::NOT_FOUND,
        6 | 10 => StatusCode::CONFLICT,
        7 => StatusCode::FORBIDDEN,
        8 => StatusCode::TOO_MANY_REQUESTS,
        12 => StatusCode::NOT_IMPLEMENTED,
        14 => StatusCode::SERVICE_UNAVAILABLE,
        16 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The name of a gRPC code.
pub(crate) fn name_of(code: i32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code).copied()).unwrap_or("UNKNOWN")
}

/// The gRPC code of an HTTP answer that carries no gRPC status.
pub(crate) fn code_of(http: StatusCode) -> i32 {
    match http.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The answer to a failed call, in the one JSON shape; details are shown by the routes' descriptors.
pub fn error_response(status: &Status, routes: &Routes) -> Response<Body> {
    respond(status, http_of(status.code), routes.codec())
}

/// The same without routes: only the details of `google.rpc` are shown by their types, others as
/// `{"@type", "value": <base64>}`.
pub fn bare_error_response(status: &Status) -> Response<Body> {
    bare_error_response_as(status, http_of(status.code))
}

/// The same with an HTTP status of its own, where the code says less than HTTP can.
pub fn bare_error_response_as(status: &Status, http: StatusCode) -> Response<Body> {
    static BARE: LazyLock<DirectCodec> =
        LazyLock::new(|| DirectCodec::new(known::pool().clone(), JsonStyle::Product, 0));
    respond(status, http, &BARE)
}

/// Builds the answer. An error that brings its own body (`google.api.HttpBody` among the details) is
/// answered with that.
pub(crate) fn respond(status: &Status, http: StatusCode, codec: &DirectCodec) -> Response<Body> {
    let details = status.unpacked();
    let own = details.iter().find(|detail| is(detail, "google.api.HttpBody"));
    let own = own.and_then(|detail| wire::HttpBody::decode(detail.value.clone()).ok());
    let (content_type, body) = match own {
        Some(own) => (own.content_type, own.data),
        None => (String::new(), body(status, http, &details, codec).into()),
    };
    let content_type = HeaderValue::try_from(content_type)
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| HeaderValue::from_static("application/json"));
    let mut response = full(http, content_type, body);
    describe(response.headers_mut(), http, &details);
    response.extensions_mut().insert(GrpcStatus(status.code));
    response
}

/// The JSON text of an error.
pub(crate) fn body(
    status: &Status,
    http: StatusCode,
    details: &[wire::Any],
    codec: &DirectCodec,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"error\":{\"code\":");
    text::integer(&mut out, http.as_u16());
    out.extend_from_slice(b",\"status\":");
    text::string(&mut out, name_of(status.code));
    out.extend_from_slice(b",\"message\":");
    text::string(&mut out, capped(&status.message));
    out.extend_from_slice(b",\"details\":[");
    let mut first = true;
    for detail in details.iter().filter(|detail| !is(detail, "google.rpc.DebugInfo")) {
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        encode::any(codec, &detail.type_url, &detail.value, &mut out);
    }
    out.extend_from_slice(b"]}}");
    out
}

/// Adds the headers that HTTP expects with some errors.
fn describe(headers: &mut HeaderMap, http: StatusCode, details: &[wire::Any]) {
    if http == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if http == StatusCode::TOO_MANY_REQUESTS || http == StatusCode::SERVICE_UNAVAILABLE {
        let retry = details.iter().find(|detail| is(detail, "google.rpc.RetryInfo"));
        let retry = retry.and_then(|detail| wire::RetryInfo::decode(detail.value.clone()).ok());
        if let Some(delay) = retry.and_then(|retry| retry.retry_delay) {
            let seconds = delay.seconds.saturating_add(i64::from(delay.nanos > 0)).max(0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

/// Whether a detail is of a type.
pub(crate) fn is(detail: &wire::Any, name: &str) -> bool {
    detail.type_url.rsplit('/').next() == Some(name)
}

/// The beginning of a message, cut at a character.
fn capped(message: &str) -> &str {
    let end = (0..=MAX_MESSAGE.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
    &message[..end.unwrap_or_default()]
}

// === impl Status ===

impl Status {
    /// A status without details.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Bytes::new() }
    }

    /// The details, one by one; none when they cannot be read.
    pub(crate) fn unpacked(&self) -> Vec<wire::Any> {
        wire::RpcStatus::decode(self.details.clone()).unwrap_or_default().details
    }

    /// The reason of the first `ErrorInfo`.
    pub(crate) fn reason(&self) -> Option<String> {
        let details = self.unpacked();
        let info = details.iter().find(|detail| is(detail, "google.rpc.ErrorInfo"))?;
        wire::ErrorInfo::decode(info.value.clone()).ok().map(|info| info.reason)
    }
}

//! What transcoding itself refuses: a gRPC status with its reason, and the HTTP status it goes with.
//!
//! This is the crate's one error type. Some HTTP statuses (405, 413, 415…) have no gRPC code of their
//! own, so the pair is kept together until the answer is made.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use prost::Message;

use super::{Status, http_of, known, respond};
use crate::{
    Body, DirectCodec,
    json::JsonError,
    wire::{self, BadRequest, ErrorInfo, FieldViolation, RpcStatus},
};

/// The domain of every reason in this crate.
const DOMAIN: &str = "lightning.gateway";

/// A request that is refused, or an answer that cannot be given.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Inner>);

#[derive(Debug)]
struct Inner {
    http: StatusCode,
    code: i32,
    reason: &'static str,
    message: String,
    violations: Vec<FieldViolation>,
    headers: HeaderMap,
}

impl Refusal {
    pub(crate) fn new(
        http: StatusCode,
        code: i32,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(Inner {
            http,
            code,
            reason,
            message: message.into(),
            violations: Vec::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// A refusal with the HTTP status of its gRPC code.
    pub(crate) fn of_code(code: i32, reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(http_of(code), code, reason, message)
    }

    /// A 400 that names a field and what is wrong with it.
    pub(crate) fn field(
        reason: &'static str,
        field: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        let (field, description) = (field.into(), description.into());
        let message =
            if field.is_empty() { description.clone() } else { format!("{field}: {description}") };
        let mut refusal = Self::of_code(known::INVALID_ARGUMENT, reason, message);
        refusal.0.violations.push(FieldViolation { field, description });
        refusal
    }

    /// A 400 for a JSON body; `under` is the field that the body is the value of.
    pub(crate) fn json(error: &JsonError, body: &[u8], under: &str) -> Self {
        let path = error.path();
        let dot =
            if under.is_empty() || path.is_empty() || path.starts_with('[') { "" } else { "." };
        let (line, column) = place(body, error.offset());
        let description =
            format!("{} (byte {}, line {line}, column {column})", error.message(), error.offset());
        Self::field(error.reason().as_str(), format!("{under}{dot}{path}"), description)
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// The status with its details.
    pub(crate) fn status(&self) -> Status {
        let inner = &*self.0;
        let info = ErrorInfo {
            reason: inner.reason.to_owned(),
            domain: DOMAIN.to_owned(),
            ..ErrorInfo::default()
        };
        let mut details = vec![wire::pack("google.rpc.ErrorInfo", &info)];
        if !inner.violations.is_empty() {
            let bad = BadRequest { field_violations: inner.violations.clone() };
            details.push(wire::pack("google.rpc.BadRequest", &bad));
        }
        let message = inner.message.clone();
        let full = RpcStatus { code: inner.code, message: message.clone(), details };
        Status { code: inner.code, message, details: full.encode_to_vec().into() }
    }

    pub(crate) fn into_response(self, codec: &DirectCodec) -> Response<Body> {
        let mut response = respond(&self.status(), self.0.http, codec);
        response.headers_mut().extend(self.0.headers);
        response
    }
}

/// The line and column (both from 1, columns in characters) of a byte.
fn place(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    (line, column)
}

//! The few `google.rpc` and `google.api` messages that transcoding itself makes or reads.
//!
//! They are written out here (names and numbers are fixed by their definitions) so that a pool need
//! not contain them for an error to be well-formed.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use crate::direct::encode::wire;

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub(crate) reason: String,
    #[prost(string, tag = "2")]
    pub(crate) domain: String,
    #[prost(map = "string, string", tag = "3")]
    pub(crate) metadata: HashMap<String, String>,
}

/// `google.rpc.BadRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) field_violations: Vec<FieldViolation>,
}

/// `google.rpc.BadRequest.FieldViolation`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FieldViolation {
    #[prost(string, tag = "1")]
    pub(crate) field: String,
    #[prost(string, tag = "2")]
    pub(crate) description: String,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Delay {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

/// `google.api.HttpBody` without its extensions.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HttpBody {
    #[prost(string, tag = "1")]
    pub(crate) content_type: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: Bytes,
}

/// Packs a message as a detail.
pub(crate) fn pack(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec().into() }
}

/// The value of a top-level string field, read without decoding the rest. The last one wins, as in
/// any decoder.
pub(crate) fn string_field(wire: &[u8], number: u32) -> Option<&str> {
    let mut found = None;
    each(wire, number, |value| found = Some(value))?;
    found.and_then(|value| std::str::from_utf8(value).ok())
}

/// The content of a top-level message field, read without decoding the rest and without copying it.
/// One that is not there is empty, and one in pieces is joined, which merges it. Nothing if the
/// bytes are no message.
pub(crate) fn message_field(wire: &Bytes, number: u32) -> Option<Bytes> {
    let (mut first, mut whole) = (Bytes::new(), Vec::new());
    each(wire, number, |value| {
        if !whole.is_empty() {
            whole.extend_from_slice(value);
        } else if first.is_empty() {
            first = wire.slice_ref(value);
        } else {
            whole = [&first, value].concat();
        }
    })?;
    Some(if whole.is_empty() { first } else { whole.into() })
}

/// Calls for each value of a length-delimited field.
fn each<'w>(wire: &'w [u8], number: u32, mut call: impl FnMut(&'w [u8])) -> Option<()> {
    let mut at = 0;
    while at < wire.len() {
        let (other, wire_type) = wire::key(wire, &mut at).ok()?;
        if other == number && wire_type == wire::LEN {
            call(wire::delimited(wire, &mut at).ok()?);
        } else {
            wire::skip(wire, &mut at, other, wire_type).ok()?;
        }
    }
    Some(())
}

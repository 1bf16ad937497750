//! What a caller may choose about transcoding, with the product's behaviour as the default.
//!
//! Limits that are not listed here are constants beside the code that they bound, because nobody
//! has a reason to change them: 64 template segments, 64 levels in a query name, 1,000 query pairs,
//! 32 KiB of query.

use std::time::Duration;

use crate::JsonStyle;

/// The choices of one set of routes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The JSON that goes out and what is accepted in.
    pub json: JsonStyle,
    /// The largest request body in bytes; a larger one is answered with 413.
    pub max_body_bytes: usize,
    /// The largest answer in bytes: of a unary call, and of each message of a stream.
    pub max_response_bytes: usize,
    /// The deepest nesting of JSON objects and lists in a request; deeper is answered with 400.
    pub max_depth: usize,
    /// The full name of an `int32` extension of `google.protobuf.MethodOptions` that declares the HTTP
    /// status of success (2xx). When the pool lacks it, every success is 200.
    pub success_status: Option<String>,
    /// How long an event stream may be silent before a comment is sent to keep it open; zero sends none.
    /// Comments are made when the client reads, so a slow reader never has more than one waiting.
    pub heartbeat: Duration,
    /// Query parameters that are never bound to a field and never refused, for example those that an
    /// [`crate::Admit`] reads. A field of the same name wins.
    pub system_parameters: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            json: JsonStyle::Product,
            max_body_bytes: 1 << 20,
            max_response_bytes: 16 << 20,
            max_depth: 100,
            success_status: Some("lightning.options.v1.success_status".to_owned()),
            heartbeat: Duration::from_secs(15),
            system_parameters: Vec::new(),
        }
    }
}

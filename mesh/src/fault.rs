//! Faults: what a service answers instead of a result.
//!
//! A [`Fault`] becomes a `tonic::Status` whose details are those of `google.rpc` (AIP-193): always one
//! `ErrorInfo` with a reason declared in the contract, and `BadRequest`, `RetryInfo`, `RequestInfo`
//! where they apply. Services write `impl From<Error> for Fault` once and never touch codes elsewhere.
//! A cause is logged with its whole chain and never sent.

use std::{error::Error as StdError, fmt, time::Duration};

use lightning_proto::{Reason, google::rpc, mesh::v1::ErrorReason};
use prost::Message;
use tonic::{Code, Status};

use crate::telemetry::trace;

mod shared;
mod violations;

pub use violations::Violations;

/// Longest message and longest metadata value that are sent, in characters.
const MAX_TEXT: usize = 1_000;
/// Most field violations that are sent.
const MAX_FIELDS: usize = 50;
/// Most bytes of encoded details; they travel in a header, and headers have a limit.
const MAX_DETAILS: usize = 6 * 1024;
const ERROR_INFO: &str = "google.rpc.ErrorInfo";

/// A failure as the caller will see it.
pub struct Fault(Box<Parts>);

struct Parts {
    code: Code,
    domain: &'static str,
    reason: &'static str,
    message: String,
    metadata: Vec<(String, String)>,
    fields: Vec<(String, String)>,
    retry_after: Option<Duration>,
    extra: Vec<prost_types::Any>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident, $default:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name(reason: impl Reason) -> Self {
            Self::new(Code::$code, reason, $default)
        }
    )*};
}

impl Fault {
    constructors! {
        /// The request itself is wrong (INVALID_ARGUMENT).
        invalid => InvalidArgument, "the request is not valid";
        /// There is no such thing, or the caller may not see it (NOT_FOUND).
        not_found => NotFound, "not found";
        /// It exists already (ALREADY_EXISTS).
        already_exists => AlreadyExists, "it exists already";
        /// The state of the thing does not allow it (FAILED_PRECONDITION).
        precondition => FailedPrecondition, "the present state does not allow this";
        /// Somebody else was faster; read again and retry (ABORTED).
        aborted => Aborted, "it was changed at the same time; read it again and retry";
        /// A limit is reached (RESOURCE_EXHAUSTED).
        exhausted => ResourceExhausted, "a limit is reached";
        /// Something needed cannot be reached now (UNAVAILABLE).
        unavailable => Unavailable, "not available now; retry later";
        /// It is not known who is calling (UNAUTHENTICATED).
        unauthenticated => Unauthenticated, "a valid credential is needed";
        /// It is known who is calling, and that they may not (PERMISSION_DENIED).
        denied => PermissionDenied, "the caller may not do this";
        /// The time ran out (DEADLINE_EXCEEDED).
        deadline => DeadlineExceeded, "the deadline passed";
        /// This is not offered (UNIMPLEMENTED).
        unimplemented => Unimplemented, "this is not offered";
        /// It was cancelled (CANCELLED).
        cancelled => Cancelled, "it was cancelled";
    }

    /// A fault of any code, with the sentence that the caller reads.
    pub fn new(code: Code, reason: impl Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            domain: reason.domain(),
            reason: reason.reason(),
            message: message.into(),
            metadata: Vec::new(),
            fields: Vec::new(),
            retry_after: None,
            extra: Vec::new(),
            source: None,
        }))
    }

    /// A fault of ours (INTERNAL). The cause is logged as an error with its chain; the caller reads
    /// only that it happened, and the trace id that finds the log line.
    pub fn internal(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::new(Code::Internal, ErrorReason::Internal, "internal error").source(source)
    }

    /// Sets the sentence: what is wrong and what to do about it.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Adds a variable part of the message as metadata; keys read like `agent_id`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.0.metadata.push((key.to_owned(), cut(&value.to_string())));
        self
    }

    /// Adds what is wrong with one field, by its path in the request (`agent.name`).
    #[must_use]
    pub fn field(mut self, path: impl Into<String>, description: impl Into<String>) -> Self {
        self.0.fields.push((path.into(), cut(&description.into())));
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds any further detail message by its full name, such as a `google.api.HttpBody` for a protocol
    /// with an error shape of its own.
    #[must_use]
    pub fn detail(mut self, full_name: &str, message: &impl Message) -> Self {
        self.0.extra.push(any(full_name, message));
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The reason, such as `AGENT_NOT_FOUND`.
    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    /// The domain of the reason, such as `lightning.agents`.
    pub fn domain(&self) -> &'static str {
        self.0.domain
    }

    /// A variable part of the message.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        let known = self.0.metadata.iter().find(|(known, _)| known == key);
        known.map(|(_, value)| value.as_str())
    }

    /// The serialized `google.rpc.Status`, as the transcoder takes it.
    pub fn details(&self) -> Vec<u8> {
        self.0.encode(&self.0.public_message())
    }

    fn log(&self) {
        let Parts { code, reason, source, .. } = &*self.0;
        let error = source.as_deref().map(|source| Chain(source).to_string());
        let error = error.as_deref();
        match code {
            Code::Internal | Code::Unknown | Code::DataLoss => {
                tracing::error!(?code, reason, error, "internal fault");
            }
            Code::Ok
            | Code::Cancelled
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unavailable
            | Code::Unauthenticated => {
                if error.is_some() {
                    tracing::debug!(?code, reason, error, "fault");
                }
            }
        }
    }
}

impl Parts {
    fn public_message(&self) -> String {
        match (self.code, trace::current()) {
            (Code::Internal, Some(trace)) => {
                format!("{} (trace {})", cut(&self.message), trace.trace_id())
            }
            (_, _) => cut(&self.message),
        }
    }

    /// Fields are left out from the end until the details fit into a header.
    fn encode(&self, message: &str) -> Vec<u8> {
        let mut fields = self.fields.len().min(MAX_FIELDS);
        loop {
            let status = rpc::Status {
                code: self.code as i32,
                message: message.to_owned(),
                details: self.anys(&self.fields[..fields]),
            };
            let encoded = status.encode_to_vec();
            if encoded.len() <= MAX_DETAILS || fields == 0 {
                return encoded;
            }
            fields /= 2;
        }
    }

    fn anys(&self, fields: &[(String, String)]) -> Vec<prost_types::Any> {
        let mut details = vec![any(
            ERROR_INFO,
            &rpc::ErrorInfo {
                reason: self.reason.to_owned(),
                domain: self.domain.to_owned(),
                metadata: self.metadata.iter().cloned().collect(),
            },
        )];
        if !fields.is_empty() {
            let violations =
                fields.iter().map(|(field, description)| rpc::bad_request::FieldViolation {
                    field: field.clone(),
                    description: description.clone(),
                    ..Default::default()
                });
            details.push(any(
                "google.rpc.BadRequest",
                &rpc::BadRequest { field_violations: violations.collect() },
            ));
        }
        if let Some(wait) = self.retry_after {
            let retry_delay = prost_types::Duration::try_from(wait).ok();
            details.push(any("google.rpc.RetryInfo", &rpc::RetryInfo { retry_delay }));
        }
        if let Some(trace) = trace::current() {
            details.push(any(
                "google.rpc.RequestInfo",
                &rpc::RequestInfo { request_id: trace.trace_id(), ..Default::default() },
            ));
        }
        details.extend(self.extra.iter().cloned());
        details
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        fault.log();
        let message = fault.0.public_message();
        let details = fault.0.encode(&message);
        Self::with_details(fault.0.code, message, details.into())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { code, reason, message, metadata, fields, source, .. } = &*self.0;
        f.debug_struct("Fault")
            .field("code", code)
            .field("reason", reason)
            .field("message", message)
            .field("metadata", metadata)
            .field("fields", fields)
            .field("source", source)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source: &(dyn StdError + 'static) = self.0.source.as_deref()?;
        Some(source)
    }
}

/// Shows an error with everything that caused it, as the logs want it.
pub struct Chain<'a>(pub &'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The `ErrorInfo` of an error that another service answered.
pub fn error_info(status: &Status) -> Option<rpc::ErrorInfo> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let info = details.iter().find(|any| any.type_url.rsplit('/').next() == Some(ERROR_INFO))?;
    rpc::ErrorInfo::decode(info.value.as_slice()).ok()
}

/// Whether another service answered with this reason.
pub fn has_reason(status: &Status, reason: impl Reason) -> bool {
    error_info(status)
        .is_some_and(|info| info.reason == reason.reason() && info.domain == reason.domain())
}

fn any(full_name: &str, message: &impl Message) -> prost_types::Any {
    let type_url = format!("type.googleapis.com/{full_name}");
    prost_types::Any { type_url, value: message.encode_to_vec() }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;

//! Asking other services: what their failures mean here.
//!
//! An errand keeps the caller's name (costs and audit are theirs), deadline and organisation, and runs
//! on the rights that the caller and the agent have in common: nothing is lent.

use std::time::Duration;

use lightning_mesh::fault;
use lightning_proto::google::rpc;
use prost::Message;
use tonic::{Code, Status};

/// What another service answered instead of a result. Its sentence is for the caller and not for the
/// log: a provider's refusal may quote the prompt.
#[derive(Debug, thiserror::Error)]
#[error("the {peer} service answered {code:?} {reason}")]
pub struct Failure {
    /// The word of the service.
    pub(crate) peer: &'static str,
    pub(crate) code: Code,
    pub(crate) message: String,
    /// Its reason, such as `PROVIDER_RATE_LIMITED`; empty if it gave none.
    pub(crate) reason: String,
    /// When it thinks that a retry makes sense.
    pub(crate) retry_after: Option<Duration>,
    /// The execution that failed, if it was one.
    pub(crate) execution_id: Option<String>,
}

// === impl Failure ===

impl Failure {
    /// A failure that we see, not the service: an answer that breaks off, for example.
    pub(crate) fn new(peer: &'static str, code: Code, message: impl Into<String>) -> Self {
        Self {
            peer,
            code,
            message: message.into(),
            reason: String::new(),
            retry_after: None,
            execution_id: None,
        }
    }

    /// What a status means for our caller. That the thing we asked for is missing over there, or that
    /// we were not believed, is not the caller's mistake and must not read like one.
    pub(crate) fn of(peer: &'static str, status: &Status) -> Self {
        let code = match status.code() {
            Code::NotFound => Code::FailedPrecondition,
            Code::Unauthenticated => Code::Unavailable,
            Code::Ok => Code::Unknown,
            code @ (Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss) => code,
        };
        Self {
            reason: fault::error_info(status).map(|info| info.reason).unwrap_or_default(),
            retry_after: retry_delay(status),
            ..Self::new(peer, code, status.message())
        }
    }
}

fn retry_delay(status: &Status) -> Option<Duration> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let any = details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    rpc::RetryInfo::decode(any.value.as_slice()).ok()?.retry_delay?.try_into().ok()
}

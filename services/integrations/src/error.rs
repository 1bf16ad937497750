//! What can go wrong here, and the one place where it becomes what the caller reads.
//!
//! Messages name the external system by host and port only: a path or query may hold a secret. Causes
//! go into the log through `source`, never into the answer. A cause of the store is told apart only as
//! far as the caller can act on it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lightning_mesh::fault::{Fault, Violations};
use lightning_proto::{
    integrations::v1::ErrorReason as Reason, mesh::v1::ErrorReason as MeshReason,
};

use crate::domain::Violation;

/// Why the integrations service could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request was refused while it was decoded.
    #[error(transparent)]
    Refused(#[from] Fault),
    /// No connector has this id.
    #[error("there is no connector {id}")]
    ConnectorNotFound {
        /// What was asked for.
        id: String,
    },
    /// An integration is to use a connector that does not exist.
    #[error("integration.connector_type names no connector; use one of: {known}")]
    ConnectorUnknown {
        /// Those that exist.
        known: String,
    },
    /// No integration has this id.
    #[error("there is no integration {id}")]
    IntegrationNotFound {
        /// What was asked for.
        id: String,
    },
    /// The id that the caller chose is taken.
    #[error("an integration {id} exists already")]
    IntegrationExists {
        /// The id.
        id: String,
    },
    /// The resource changed since the caller read it.
    #[error("the etag is stale")]
    EtagMismatch,
    /// The idempotency key was used with another request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// The configuration or the credentials do not fit the connector.
    #[error("the configuration does not fit the connector")]
    ConfigInvalid(Vec<Violation>),
    /// The connector has no such action.
    #[error("the connector {connector} has no action {action}")]
    ActionNotFound {
        /// The connector.
        connector: String,
        /// What was asked for, cut.
        action: String,
        /// What it has.
        known: String,
    },
    /// The payload does not fit the action.
    #[error("the payload does not fit the action")]
    PayloadInvalid(Vec<Violation>),
    /// The address is not one that the mesh may call.
    #[error("{target} is refused: {why}")]
    TargetRefused {
        /// Host and port.
        target: String,
        /// Why, and what to do.
        why: String,
    },
    /// The external system could not be reached, or broke off.
    #[error("{target} could not be reached: {why}")]
    UpstreamUnavailable {
        /// Host and port, or the file.
        target: String,
        /// Why.
        why: String,
    },
    /// The external system answered, and refused.
    #[error("{target} refused the call: {message}")]
    UpstreamRejected {
        /// Host and port, or the file.
        target: String,
        /// Its HTTP status, where it has one.
        status: Option<u16>,
        /// What it said, cut.
        message: String,
    },
    /// The external system asks to wait.
    #[error("{target} asks to wait before the next call")]
    UpstreamRateLimited {
        /// Host and port.
        target: String,
        /// How long, if it said so.
        retry_after: Option<Duration>,
    },
    /// The external system took too long.
    #[error("{target} did not answer within {} ms", after.as_millis())]
    UpstreamTimeout {
        /// Host and port, or the file.
        target: String,
        /// How long was waited.
        after: Duration,
    },
    /// The result is larger than the limit.
    #[error("the result is larger than {limit} bytes")]
    ResultTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// So many calls of this integration are under way that no place came free in time.
    #[error("the integration has {limit} calls under way")]
    Busy {
        /// The most calls at a time.
        limit: usize,
    },
    /// No webhook has this id.
    #[error("there is no webhook {id}")]
    WebhookNotFound {
        /// What was asked for.
        id: String,
    },
    /// A field of the event or of the webhook is malformed.
    #[error("the webhook is not valid")]
    WebhookInvalid(Vec<Violation>),
    /// The signature of an event is missing, wrong or too old.
    #[error("the signature is not valid: {0}")]
    SignatureInvalid(&'static str),
    /// The workflow of a webhook does not exist.
    #[error("there is no workflow {id}")]
    WorkflowNotFound {
        /// What was asked for.
        id: String,
    },
    /// A secret cannot be opened with the key file in use.
    #[error("a secret cannot be opened with the key file in use")]
    CredentialsUnreadable,
    /// Another service of the mesh could not do its part.
    #[error("the call of another service failed")]
    Peer(#[source] Box<tonic::Status>),
    /// The key file cannot be used.
    #[error("key file {}: {why}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
        /// The cause, if the operating system gave one.
        #[source]
        source: Option<std::io::Error>,
    },
    /// The configuration section cannot work.
    #[error("[integrations] {key}: {why}")]
    Settings {
        /// The key of the section.
        key: &'static str,
        /// What is wrong and what to do.
        why: String,
    },
    /// What the service ships (descriptors, the sample) is damaged: a defect of the program.
    #[error("the built-in {what} cannot be used: {why}")]
    BuiltIn {
        /// What it is.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A stored row cannot be read back.
    #[error("the stored {0} cannot be read")]
    Damaged(&'static str, #[source] Arc<dyn std::error::Error + Send + Sync>),
    /// A task that runs a blocking call ended without an answer.
    #[error("a blocking call ended without an answer")]
    Blocking(#[source] tokio::task::JoinError),
    /// The cryptography refused.
    #[error("sealing failed")]
    Sealing,
    /// The memory failed.
    #[error("the store failed")]
    Store(#[source] lightning_store::Error),
}

// === impl Error ===

impl Error {
    /// Whether the external system, rather than this service or its caller, is what failed.
    pub(crate) fn is_upstream(&self) -> bool {
        matches!(
            self,
            Self::TargetRefused { .. }
                | Self::UpstreamUnavailable { .. }
                | Self::UpstreamRejected { .. }
                | Self::UpstreamRateLimited { .. }
                | Self::UpstreamTimeout { .. }
                | Self::ResultTooLarge { .. }
        )
    }

    /// A payload that is wrong in one place.
    pub(crate) fn payload(path: &str, description: impl Into<String>) -> Self {
        Self::PayloadInvalid(vec![Violation::new(format!("payload.{path}"), description)])
    }

    /// A configuration that is wrong in one place.
    pub(crate) fn config(path: &str, description: impl Into<String>) -> Self {
        Self::ConfigInvalid(vec![Violation::new(format!("integration.config.{path}"), description)])
    }
}

impl From<lightning_store::Error> for Error {
    fn from(error: lightning_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Refused(fault) => fault,
            Error::ConnectorNotFound { id } => Self::not_found(Reason::ConnectorNotFound)
                .message(format!("{text}; GET /api/v1/connectors lists them"))
                .with("connector_id", id),
            Error::ConnectorUnknown { known } => Self::invalid(Reason::ConnectorNotFound)
                .message(text)
                .field("integration.connector_type", format!("must be one of: {known}")),
            Error::IntegrationNotFound { id } => Self::not_found(Reason::IntegrationNotFound)
                .message(format!("{text}; GET /api/v1/integrations lists them"))
                .with("integration_id", id),
            Error::IntegrationExists { id } => Self::already_exists(Reason::IntegrationExists)
                .message(format!("{text}; choose another id or update it"))
                .with("integration_id", id),
            Error::EtagMismatch => Self::etag_mismatch(),
            Error::KeyReused => Self::idempotency_key_reused(),
            Error::ConfigInvalid(found) => violations(found, Reason::ConfigInvalid),
            Error::PayloadInvalid(found) => violations(found, Reason::PayloadInvalid),
            Error::WebhookInvalid(found) => violations(found, Reason::WebhookInvalid),
            Error::ActionNotFound { connector, action, known } => {
                Self::not_found(Reason::ActionNotFound)
                    .message(format!("{text}; it has: {known}"))
                    .with("connector_type", connector)
                    .with("action", action)
            }
            Error::Busy { limit } => Self::exhausted(MeshReason::LimitExceeded)
                .message(format!("{text}, which is the limit; try again later"))
                .with("limit", limit)
                .retry_after(Duration::from_secs(1)),
            Error::WebhookNotFound { id } => {
                Self::not_found(Reason::WebhookNotFound).message(text).with("webhook_id", id)
            }
            Error::SignatureInvalid(why) => Self::unauthenticated(Reason::SignatureInvalid)
                .message(format!("{text}; sign the untouched body with the webhook's secret"))
                .with("problem", why),
            Error::WorkflowNotFound { id } => Self::precondition(Reason::WorkflowNotFound)
                .message(format!("{text}; create it before the webhook that starts it"))
                .with("workflow_id", id)
                .field("workflow_id", "names no workflow"),
            Error::CredentialsUnreadable => Self::precondition(Reason::CredentialsUnreadable)
                .message(format!(
                    "{text}; put the former key back into the key file, or set the credentials again"
                )),
            Error::Peer(status) => peer(*status),
            Error::TargetRefused { target, .. } => {
                at(Self::precondition(Reason::TargetRefused), text, target)
            }
            Error::UpstreamUnavailable { target, .. } => {
                at(Self::unavailable(Reason::UpstreamUnavailable), text, target)
            }
            Error::UpstreamTimeout { target, .. } => {
                at(Self::deadline(Reason::UpstreamTimeout), text, target)
            }
            Error::UpstreamRejected { target, status, .. } => rejected(text, target, status),
            Error::UpstreamRateLimited { target, retry_after } => {
                let fault = at(Self::exhausted(Reason::UpstreamRateLimited), text, target);
                retry_after.into_iter().fold(fault, Self::retry_after)
            }
            Error::ResultTooLarge { limit } => Self::exhausted(Reason::ResultTooLarge)
                .message(format!("{text}; ask for less, for example with a filter or a lower limit"))
                .with("limit", limit),
            Error::Store(error) => store(error),
            Error::KeyFile { .. }
            | Error::Settings { .. }
            | Error::BuiltIn { .. }
            | Error::Damaged(..)
            | Error::Blocking(_)
            | Error::Sealing => Self::internal(error),
        }
    }
}

/// A fault of the external system at `target`.
fn at(fault: Fault, text: String, target: String) -> Fault {
    fault.message(text).with("target", target)
}

/// What the external system answered decides whether a repetition makes sense.
fn rejected(text: String, target: String, status: Option<u16>) -> Fault {
    let fault = match status {
        // The other side's own trouble: the same call may succeed later.
        Some(500..=599) => Fault::unavailable(Reason::UpstreamRejected),
        Some(_) | None => Fault::precondition(Reason::UpstreamRejected),
    };
    let fault = at(fault, text, target);
    status.into_iter().fold(fault, |fault, status| fault.with("status", status))
}

fn violations(found: Vec<Violation>, reason: Reason) -> Fault {
    let mut collected = Violations::new();
    for Violation { path, description } in found {
        collected.add(path, description);
    }
    // Without a violation there is nothing to refuse, so whoever made this error has a defect.
    collected.finish(reason).err().unwrap_or_else(|| {
        Fault::internal(Error::BuiltIn {
            what: "check",
            why: "it refused without saying what".to_owned(),
        })
    })
}

/// What another service answered: what the caller can do about it is kept, the rest is ours.
fn peer(status: tonic::Status) -> Fault {
    match status.code() {
        tonic::Code::PermissionDenied => {
            Fault::denied(MeshReason::PermissionDenied).message(status.message().to_owned())
        }
        tonic::Code::DeadlineExceeded => {
            Fault::deadline(MeshReason::DeadlineExceeded).source(status)
        }
        tonic::Code::Unavailable | tonic::Code::ResourceExhausted => {
            Fault::unavailable(MeshReason::PeerUnavailable)
                .message("another service of the mesh is not available now; retry later")
                .source(status)
        }
        tonic::Code::Ok
        | tonic::Code::Cancelled
        | tonic::Code::Unknown
        | tonic::Code::InvalidArgument
        | tonic::Code::NotFound
        | tonic::Code::AlreadyExists
        | tonic::Code::FailedPrecondition
        | tonic::Code::Aborted
        | tonic::Code::OutOfRange
        | tonic::Code::Unimplemented
        | tonic::Code::Internal
        | tonic::Code::DataLoss
        | tonic::Code::Unauthenticated => Fault::internal(status),
    }
}

fn store(error: lightning_store::Error) -> Fault {
    if matches!(error, lightning_store::Error::Full) {
        return Fault::exhausted(MeshReason::StorageFull).message(error.to_string()).source(error);
    }
    if error.is_transient() {
        return Fault::unavailable(MeshReason::StorageUnavailable)
            .message("the database cannot be reached now; retry later")
            .source(error);
    }
    Fault::internal(error)
}

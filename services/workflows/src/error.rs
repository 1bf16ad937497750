//! What can go wrong in this service, and how it looks on the wire.
//!
//! The one place where a failure gets its code, reason and sentence. Wrong fields of requests are not
//! here: `convert` answers them with their paths. What goes wrong inside an execution is not here
//! either: that is a `Problem` of the execution, which the caller reads as data.

use std::time::Duration;

use lightning_mesh::fault::{Fault, Violations};
use lightning_proto::{mesh::v1::ErrorReason as MeshReason, workflows::v1::ErrorReason as Reason};
use tonic::{Code, Status};

use crate::domain::{ExecutionId, WorkflowId};

/// An error of the workflows service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No workflow has this id.
    #[error("there is no workflow {id}")]
    WorkflowNotFound {
        /// What was asked for.
        id: WorkflowId,
    },
    /// A workflow with this id exists.
    #[error("a workflow {id} exists already")]
    WorkflowExists {
        /// The id that is taken.
        id: WorkflowId,
    },
    /// The workflow is shared by another organisation.
    #[error("workflow {id} is shared with all organisations and can be changed by its own alone")]
    WorkflowShared {
        /// The workflow.
        id: WorkflowId,
    },
    /// The caller may not do it at all.
    #[error("the caller is refused")]
    Refused(#[source] Box<Fault>),
    /// Executions of the workflow are open.
    #[error("executions of workflow {id} are open")]
    WorkflowInUse {
        /// The workflow.
        id: WorkflowId,
    },
    /// The definition has faults.
    #[error("the definition has {} faults", faults.len())]
    DefinitionInvalid {
        /// Field path and message of each.
        faults: Vec<(String, String)>,
    },
    /// The workflow has no such version.
    #[error("workflow {id} has no version {version}")]
    VersionNotFound {
        /// The workflow.
        id: WorkflowId,
        /// What was asked for.
        version: i32,
    },
    /// No execution has this id.
    #[error("there is no execution {id}")]
    ExecutionNotFound {
        /// What was asked for.
        id: ExecutionId,
    },
    /// The input does not fit the workflow's schema.
    #[error("the input does not fit")]
    InputInvalid {
        /// Field path and message of each misfit.
        faults: Vec<(String, String)>,
    },
    /// The address for the callback is refused.
    #[error("the callback address is refused: {reason}")]
    CallbackRefused {
        /// Why.
        reason: String,
    },
    /// The service that knows about callback addresses did not answer.
    #[error("the callback address cannot be checked now")]
    CallbackUnchecked(#[source] Box<Status>),
    /// The execution has ended.
    #[error("execution {id} has ended")]
    ExecutionEnded {
        /// The execution.
        id: ExecutionId,
    },
    /// As many executions are open as may be.
    #[error("{limit} executions are open")]
    TooManyExecutions {
        /// How many may be.
        limit: usize,
    },
    /// The caller read an older revision.
    #[error("the etag is stale")]
    EtagMismatch,
    /// Others changed the thing again and again.
    #[error("changed by others too often")]
    Contended,
    /// The `request_id` came with another request before.
    #[error("the request id was used with another request")]
    KeyReused,
    /// The service is shutting down; what was accepted goes on at the next start.
    #[error("shutting down")]
    Draining,
    /// The service is shutting down while somebody waits for the end of an execution.
    #[error("shutting down before execution {id} has ended")]
    Interrupted {
        /// The execution, which goes on at the next start.
        id: ExecutionId,
    },
    /// The database holds something that this program never wrote.
    #[error("the database holds {what} that cannot be read")]
    Damaged {
        /// What.
        what: &'static str,
    },
    /// A background task ended unexpectedly.
    #[error("a task ended unexpectedly")]
    Lost(#[from] tokio::task::JoinError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] lightning_store::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::WorkflowNotFound { id } => Self::not_found(Reason::WorkflowNotFound)
                .message(format!("there is no workflow {id}"))
                .with("workflow_id", id),
            Error::WorkflowExists { id } => Self::already_exists(Reason::WorkflowExists)
                .message(format!("a workflow {id} exists already; choose another id or update it"))
                .with("workflow_id", id),
            Error::WorkflowShared { id } => Self::denied(MeshReason::PermissionDenied)
                .message(format!(
                    "workflow {id} is shared with all organisations and can be changed by its own \
                     alone; create one of your own from its definition"
                ))
                .with("workflow_id", id),
            Error::Refused(fault) => *fault,
            Error::WorkflowInUse { id } => Self::precondition(Reason::WorkflowInUse)
                .message(format!(
                    "executions of workflow {id} are open; wait for their end or cancel them"
                ))
                .with("workflow_id", id),
            Error::DefinitionInvalid { faults } => fields(Reason::DefinitionInvalid, faults),
            Error::VersionNotFound { id, version } => Self::not_found(Reason::VersionNotFound)
                .message(format!("workflow {id} has no version {version}"))
                .with("workflow_id", id)
                .with("version", version),
            Error::ExecutionNotFound { id } => Self::not_found(Reason::ExecutionNotFound)
                .message(format!("there is no execution {id}"))
                .with("execution_id", id),
            Error::InputInvalid { faults } => fields(Reason::InputInvalid, faults),
            Error::CallbackRefused { reason } => {
                fields(Reason::ExecutionInvalid, vec![("callback_url".to_owned(), reason)])
            }
            Error::CallbackUnchecked(status) => Self::unavailable(MeshReason::PeerUnavailable)
                .message("the callback address cannot be checked now; retry later")
                .retry_after(Duration::from_secs(1))
                .source(*status),
            Error::ExecutionEnded { id } => Self::precondition(Reason::ExecutionEnded)
                .message(format!("execution {id} has ended already"))
                .with("execution_id", id),
            Error::TooManyExecutions { limit } => Self::exhausted(Reason::TooManyExecutions)
                .message(format!("{limit} executions are open, which is the limit; retry later"))
                .with("limit", limit)
                .retry_after(Duration::from_secs(1)),
            Error::EtagMismatch => Self::etag_mismatch(),
            Error::Contended => Self::aborted(MeshReason::EtagMismatch),
            Error::KeyReused => Self::idempotency_key_reused(),
            Error::Draining => Self::unavailable(MeshReason::Draining)
                .message("the server is shutting down; retry later")
                .retry_after(Duration::from_secs(1)),
            Error::Interrupted { id } => Self::unavailable(MeshReason::Draining)
                .message(format!(
                    "the server is shutting down; execution {id} goes on after the restart: \
                     GET /api/v1/executions/{id}"
                ))
                .with("execution_id", id)
                .retry_after(Duration::from_secs(1)),
            Error::Damaged { .. } | Error::Lost(_) => Self::internal(error),
            Error::Store(source) => store(source),
        }
    }
}

fn store(error: lightning_store::Error) -> Fault {
    if matches!(error, lightning_store::Error::Full) {
        return Fault::exhausted(MeshReason::StorageFull)
            .message("the disk of the workflows service is full; free some space and retry")
            .source(error);
    }
    if error.is_transient() {
        return Fault::unavailable(MeshReason::StorageUnavailable)
            .message("the database of the workflows service does not answer; retry later")
            .retry_after(Duration::from_secs(1))
            .source(error);
    }
    Fault::internal(error)
}

fn fields(reason: Reason, faults: Vec<(String, String)>) -> Fault {
    let mut violations = Violations::new();
    for (path, message) in faults {
        violations.add(path, message);
    }
    match violations.finish(reason) {
        Err(fault) => fault,
        Ok(()) => Fault::new(Code::InvalidArgument, reason, "the request is not valid"),
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Refused(Box::new(fault))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

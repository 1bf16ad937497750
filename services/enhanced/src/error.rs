//! What can go wrong in this service, and how it looks on the wire.
//!
//! What the agents service refused is passed on as it is, details and all: it explains better than we
//! could what is wrong with the agent. The only addition is the task's id, under which the failure is kept.

use std::time::Duration;

use lightning_mesh::fault::{self, Fault};
use lightning_proto::{
    agents::v1::ErrorReason as AgentReason, enhanced::v1::ErrorReason as Reason, google::rpc,
    mesh::v1::ErrorReason as MeshReason,
};
use prost::Message;
use tonic::Status;

use crate::domain::TaskId;

/// An error of the enhanced service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error("enhanced configuration: {0}")]
    Config(&'static str),
    /// No task has this id, or the caller may not see it.
    #[error("there is no task {id}")]
    TaskNotFound {
        /// What was asked for.
        id: TaskId,
    },
    /// The caller may not do it at all.
    #[error("the caller is refused")]
    Refused(#[from] Fault),
    /// No agent is deployed that could take the task.
    #[error("no agent is deployed")]
    NoAgentDeployed,
    /// The agents service refused or failed.
    #[error("the agents service failed")]
    Agents {
        /// What it answered.
        #[source]
        status: Box<Status>,
        /// The task that failed with it, if there is one.
        task_id: Option<TaskId>,
    },
    /// The work on a task panicked.
    #[error("the work on the task broke down")]
    Broken,
    /// A row holds what this program never wrote.
    #[error("the database holds {what} that cannot be read")]
    Stored {
        /// What it is.
        what: &'static str,
    },
    /// The database failed.
    #[error("the store failed")]
    Store(#[from] lightning_store::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::TaskNotFound { id } => {
                Self::not_found(Reason::TaskNotFound).message(text).with("task_id", id)
            }
            Error::NoAgentDeployed => Self::precondition(Reason::NoAgentDeployed)
                .message(format!("{text}; deploy one, or name one by agent_id")),
            Error::Refused(fault) => fault,
            Error::Store(source) => store_fault(source),
            Error::Agents { .. } | Error::Config(_) | Error::Broken | Error::Stored { .. } => {
                Self::internal(error)
            }
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Agents { status, task_id } => passed_on(&status, task_id),
            other @ (Error::Config(_)
            | Error::TaskNotFound { .. }
            | Error::Refused(_)
            | Error::NoAgentDeployed
            | Error::Broken
            | Error::Stored { .. }
            | Error::Store(_)) => Fault::from(other).into(),
        }
    }
}

/// The refusal of the agents service as ours.
fn passed_on(status: &Status, task_id: Option<TaskId>) -> Status {
    if fault::has_reason(status, AgentReason::AgentNotFound) {
        let fault = Fault::not_found(Reason::AgentNotFound).message(status.message());
        let fault = match task_id {
            Some(id) => fault.with("task_id", id),
            None => fault,
        };
        return fault.into();
    }
    let details = match task_id {
        Some(id) => with_task(status.details(), &id),
        None => status.details().to_vec(),
    };
    Status::with_details(status.code(), status.message(), details.into())
}

/// Adds the task's id to the metadata of the `ErrorInfo` among the details.
fn with_task(details: &[u8], id: &TaskId) -> Vec<u8> {
    let Ok(mut status) = rpc::Status::decode(details) else {
        return details.to_vec();
    };
    let info =
        status.details.iter_mut().find(|any| any.type_url.ends_with("/google.rpc.ErrorInfo"));
    if let Some(any) = info
        && let Ok(mut info) = rpc::ErrorInfo::decode(any.value.as_slice())
    {
        info.metadata.insert("task_id".to_owned(), id.to_string());
        any.value = info.encode_to_vec();
    }
    status.encode_to_vec()
}

/// The store's own failures. Everything that is not about room, reach or the caller's text is a defect.
fn store_fault(error: lightning_store::Error) -> Fault {
    if matches!(error, lightning_store::Error::Full) {
        return Fault::exhausted(MeshReason::StorageFull)
            .message("the disk is full; nothing can be written until there is room")
            .source(error);
    }
    if error.is_transient() {
        return Fault::unavailable(MeshReason::StorageUnavailable)
            .message("the database cannot be reached now; retry")
            .retry_after(Duration::from_secs(1))
            .source(error);
    }
    Fault::internal(error)
}

//! What can go wrong in this service, and how it looks on the wire.
//!
//! The one place where a failure gets its code, reason and sentence. The variants say what happened;
//! the sentences tell a stranger what to do next. Wrong fields are not here: `convert` answers them
//! with their paths before anything else happens.

use std::time::Duration;

use lightning_mesh::fault::Fault;
use lightning_proto::{agents::v1::ErrorReason as Reason, mesh::v1::ErrorReason as MeshReason};
use tonic::{Code, Status};

use crate::{
    domain::{AgentId, DeploymentId},
    peer::Failure,
};

/// An error of the agents service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No agent has this id.
    #[error("there is no agent {id}")]
    AgentNotFound {
        /// What was asked for.
        id: AgentId,
    },
    /// An agent with this id exists.
    #[error("an agent {id} exists already")]
    AgentExists {
        /// The id that is taken.
        id: AgentId,
    },
    /// The agent is deployed.
    #[error("agent {id} is deployed")]
    AgentDeployed {
        /// The agent.
        id: AgentId,
    },
    /// The agent takes no calls in this environment.
    #[error("agent {id} is not deployed in {environment}")]
    AgentNotDeployed {
        /// The agent.
        id: AgentId,
        /// Where it was looked for.
        environment: String,
    },
    /// The agent is archived.
    #[error("agent {id} is archived")]
    AgentArchived {
        /// The agent.
        id: AgentId,
    },
    /// The agent has no such version.
    #[error("agent {id} has no version {version}")]
    VersionNotFound {
        /// The agent.
        id: AgentId,
        /// What was asked for.
        version: i32,
    },
    /// No template has this id.
    #[error("there is no template {id:?}")]
    TemplateNotFound {
        /// What was asked for.
        id: String,
    },
    /// An agent keeps the template it was made from.
    #[error("the template of an agent cannot change")]
    TemplateFixed,
    /// No deployment has this id.
    #[error("there is no deployment {id}")]
    DeploymentNotFound {
        /// What was asked for.
        id: DeploymentId,
    },
    /// The workflow to attach does not exist.
    #[error("there is no workflow {id}")]
    WorkflowNotFound {
        /// What was asked for.
        id: String,
    },
    /// The caller would give an agent a right that is not theirs.
    #[error("the permission {permission} is not yours to give")]
    RightNotHeld {
        /// The right.
        permission: String,
    },
    /// Too many act for each other already.
    #[error("agent {id} would act for too long a chain of agents")]
    ChainTooLong {
        /// The agent.
        id: AgentId,
    },
    /// The caller may not do it at all.
    #[error("the caller is refused")]
    Refused(#[source] Box<Fault>),
    /// The deployment answers as many invocations as its replicas allow.
    #[error("deployment {id} is busy with {replicas} invocations")]
    ConcurrencyLimit {
        /// The deployment.
        id: DeploymentId,
        /// How many it admits.
        replicas: i32,
    },
    /// This process answers as many invocations as it may.
    #[error("this server is busy with {limit} invocations")]
    Busy {
        /// How many it admits.
        limit: usize,
    },
    /// The model or the workflow behind an agent failed.
    #[error("the invocation failed")]
    InvocationFailed(#[source] Box<Failure>),
    /// Another service could not do what was needed.
    #[error("another service failed")]
    PeerFailed(#[source] Box<Failure>),
    /// The caller read an older revision.
    #[error("the etag is stale")]
    EtagMismatch,
    /// Others changed the thing again and again.
    #[error("changed by others too often")]
    Contended,
    /// The `request_id` came with another request before.
    #[error("the request id was used with another request")]
    KeyReused,
    /// A template that is shipped cannot be read.
    #[error("template {file}: {reason}")]
    Template {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
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
            Error::AgentNotFound { id } => {
                Self::not_found(Reason::AgentNotFound).message(text).with("agent_id", id)
            }
            Error::AgentExists { id } => Self::already_exists(Reason::AgentExists)
                .message(format!("{text}; choose another id or update that agent"))
                .with("agent_id", id),
            Error::AgentDeployed { id } => Self::precondition(Reason::AgentDeployed)
                .message(format!("{text}; stop its deployments first (or delete with force)"))
                .with("agent_id", id),
            Error::AgentNotDeployed { id, environment } => {
                Self::precondition(Reason::AgentNotDeployed)
                    .message(format!("{text}; deploy it there first"))
                    .with("agent_id", id)
                    .with("environment", environment)
            }
            Error::AgentArchived { id } => Self::precondition(Reason::AgentArchived)
                .message(format!("{text}; set its status to active first"))
                .with("agent_id", id),
            Error::VersionNotFound { id, version } => Self::not_found(Reason::VersionNotFound)
                .message(text)
                .with("agent_id", id)
                .with("version", version),
            Error::TemplateNotFound { id } => Self::not_found(Reason::TemplateNotFound)
                .message(format!("{text}; list the templates to see which there are"))
                .with("template_id", id),
            Error::TemplateFixed => Self::invalid(Reason::AgentInvalid)
                .message(format!("{text}; create another agent instead"))
                .field("agent.template_id", "cannot change"),
            Error::DeploymentNotFound { id } => {
                Self::not_found(Reason::DeploymentNotFound).message(text).with("deployment_id", id)
            }
            Error::WorkflowNotFound { id } => Self::not_found(Reason::WorkflowNotFound)
                .message(format!("{text}; create it before attaching it"))
                .with("workflow_id", id),
            Error::RightNotHeld { permission } => Self::denied(Reason::AgentRightNotHeld)
                .message(format!("{text}; an agent may do no more than who makes it so"))
                .with("permission", permission),
            Error::ChainTooLong { id } => Self::denied(Reason::ActorChainTooLong)
                .message(format!("{text}; at most 4 may act for each other"))
                .with("agent_id", id),
            Error::Refused(fault) => *fault,
            Error::ConcurrencyLimit { id, replicas } => Self::exhausted(Reason::ConcurrencyLimit)
                .message(format!("{text}; retry, or deploy with more replicas"))
                .with("deployment_id", id)
                .with("replicas", replicas)
                .retry_after(RETRY),
            Error::Busy { limit } => Self::exhausted(MeshReason::LimitExceeded)
                .message(format!("{text}; retry"))
                .with("limit", limit)
                .retry_after(RETRY),
            Error::InvocationFailed(failure) => failed(Reason::InvocationFailed, *failure),
            Error::PeerFailed(failure) => failed(MeshReason::PeerUnavailable, *failure),
            Error::EtagMismatch => Self::etag_mismatch(),
            Error::Contended => Self::aborted(MeshReason::EtagMismatch)
                .message("others changed it again and again meanwhile; retry"),
            Error::KeyReused => Self::idempotency_key_reused(),
            Error::Template { .. } | Error::Stored { .. } => Self::internal(error),
            Error::Store(source) => store_fault(source),
        }
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

/// When an invocation that found no room may try again: answers take seconds, not minutes.
const RETRY: Duration = Duration::from_secs(1);

fn failed(reason: impl lightning_proto::Reason, failure: Failure) -> Fault {
    let mut fault = Fault::new(failure.code, reason, failure.message.clone())
        .with("peer", failure.peer)
        .with("peer_code", code_name(failure.code));
    if !failure.reason.is_empty() {
        fault = fault.with("peer_reason", &failure.reason);
    }
    if let Some(id) = &failure.execution_id {
        fault = fault.with("execution_id", id);
    }
    if let Some(wait) = failure.retry_after {
        fault = fault.retry_after(wait);
    }
    fault.source(failure)
}

fn code_name(code: Code) -> String {
    format!("{code:?}")
}

/// The store's own failures. Everything that is not about room, reach or the caller's text is a defect.
fn store_fault(error: lightning_store::Error) -> Fault {
    if matches!(error, lightning_store::Error::Full) {
        return Fault::exhausted(MeshReason::StorageFull)
            .message("the disk is full; nothing can be written until there is room")
            .source(error);
    }
    if let lightning_store::Error::Parameter { reason, .. } = error {
        let text = format!("a value is refused: {reason}");
        return Fault::invalid(MeshReason::InvalidArgument).message(text);
    }
    if error.is_transient() {
        return Fault::unavailable(MeshReason::StorageUnavailable)
            .message("the database cannot be reached now; retry")
            .retry_after(RETRY)
            .source(error);
    }
    Fault::internal(error)
}

//! Errors of organisations, roles, groups and service accounts.

use tonic::Status;

/// What can be wrong with organisations, roles, groups and service accounts.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The caller belongs to no organisation.
    #[error("this is for members of an organisation")]
    NoOrganization,
    /// No organisation has this id, or it is not the caller's to see.
    #[error("no organisation has the id {id:?}")]
    OrganizationNotFound {
        /// The id.
        id: String,
    },
    /// The id is taken.
    #[error("an organisation with the id {id:?} exists")]
    OrganizationExists {
        /// The id.
        id: String,
    },
    /// Somebody is in it.
    #[error("the organisation {id:?} {what}, so it cannot be deleted")]
    OrganizationInUse {
        /// The id.
        id: String,
        /// Why not.
        what: String,
    },
    /// The organisation has no such role.
    #[error("no role is called {name:?}")]
    RoleNotFound {
        /// The name.
        name: String,
    },
    /// The name is taken.
    #[error("a role called {name:?} exists")]
    RoleExists {
        /// The name.
        name: String,
    },
    /// Somebody has the role.
    #[error("the role {name:?} is used by {by}; take it from them first")]
    RoleInUse {
        /// The name.
        name: String,
        /// Who, at most 40.
        by: String,
    },
    /// The role cannot be changed.
    #[error("the role {name:?} is built in and stays as it is; make one that inherits it")]
    RoleBuiltIn {
        /// The name.
        name: String,
    },
    /// The organisation has no such group.
    #[error("no group has the id {id:?}")]
    GroupNotFound {
        /// The id.
        id: String,
    },
    /// The name is taken.
    #[error("a group called {name:?} exists")]
    GroupExists {
        /// The name.
        name: String,
    },
    /// The organisation has no such service account.
    #[error("no service account has the id {id:?}")]
    ServiceAccountNotFound {
        /// The id.
        id: String,
    },
    /// The name or the agent is taken.
    #[error("a service account {what} exists")]
    ServiceAccountExists {
        /// `with this name` or `of this agent`.
        what: &'static str,
    },
    /// Nobody in the organisation is called so.
    #[error("nobody is called {subject:?}; write user:, service-account: or agent: and the id")]
    PrincipalNotFound {
        /// What was asked for.
        subject: String,
    },
    /// Whose agent it is cannot be found out.
    #[error("the agents service cannot be asked whose agent it is; retry later")]
    AgentsUnreachable(#[source] Box<Status>),
}

//! What can keep the gateway from starting, what can keep an upstream from being mounted, and how a
//! caller hears of what the gateway itself refuses.

use lightning_mesh::fault::Fault;
use lightning_proto::gateway::v1::ErrorReason as Reason;

/// A failure of the gateway itself. What calls fail with comes from the services and the mesh.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The contract's routes contradict each other.
    #[error("the routes of the contract cannot be served")]
    Routes(#[source] lightning_transcode::RouteErrors),
    /// A rate limit cannot mean anything.
    #[error("the rule {rule:?} in [[gateway.limits]] cannot be used: {why}")]
    Limit {
        /// The name of the rule.
        rule: String,
        /// What is wrong with it.
        why: String,
    },
    /// An origin that no browser would send, or `*` where it is not safe.
    #[error("[gateway.cors] cannot be used: {why}")]
    Cors {
        /// What is wrong with it.
        why: String,
    },
    /// Limits that contradict each other.
    #[error("[gateway.concurrency] needs 1 <= min <= initial <= max, and max_long of at least 1")]
    Concurrency,
    /// An upstream is not configured well.
    #[error("[[gateway.upstream]] {upstream}: {fault}")]
    Config {
        /// Its name.
        upstream: String,
        /// What is wrong.
        fault: String,
    },
    /// An upstream cannot be asked for its descriptors now.
    #[error("reflection failed: {0}")]
    Reflection(String),
    /// An upstream has descriptors that cannot be used.
    #[error("{0}")]
    Descriptors(String),
    /// No route has the method and path that somebody wants explained.
    #[error("no route has this method and path: {0}")]
    RouteNotFound(String),
    /// What somebody wants explained is not a request.
    #[error("not a request: {fault}")]
    RequestInvalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        fault: String,
    },
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::RouteNotFound(message) => {
                Self::not_found(Reason::RouteNotFound).message(message)
            }
            Error::RequestInvalid { field, fault } => {
                Self::invalid(Reason::RequestInvalid).field(field, fault)
            }
            // These happen at the start or in the background; no call meets them.
            error @ (Error::Routes(_)
            | Error::Config { .. }
            | Error::Limit { .. }
            | Error::Cors { .. }
            | Error::Concurrency
            | Error::Reflection(_)
            | Error::Descriptors(_)) => Self::internal(error),
        }
    }
}

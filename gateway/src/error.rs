//! What can keep the gateway from starting.

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
}

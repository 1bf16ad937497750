//! What can keep the gateway from starting.

/// A failure of the gateway itself. What calls fail with comes from the services and the mesh.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The contract's routes contradict each other.
    #[error("the routes of the contract cannot be served")]
    Routes(#[source] lightning_transcode::RouteErrors),
}

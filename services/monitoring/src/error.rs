//! What can go wrong, and how a caller hears of it.

use lightning_mesh::fault::Fault;
use lightning_proto::monitoring::v1::ErrorReason as Reason;

/// A failure of the monitoring service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mesh has no service of this word.
    #[error("service {id} is not watched")]
    ServiceNotFound {
        /// The word that was asked for.
        id: String,
    },
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::ServiceNotFound { id } => Self::not_found(Reason::ServiceNotFound)
                .message(format!(
                    "the mesh has no service {id:?}; GET /api/v1/monitoring/services lists them"
                ))
                .with("service_id", id),
        }
    }
}

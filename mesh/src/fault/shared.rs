//! The faults of the shared rooms: pages, filters, masks, etags, ids. One reason each, declared in
//! `lightning.mesh.v1`.

use lightning_proto::mesh::v1::ErrorReason;

use super::Fault;
use crate::{filter::FilterError, id::InvalidId, mask::MaskError, page::PageError};

impl Fault {
    /// The resource changed since the caller read it (ABORTED, `ETAG_MISMATCH`).
    pub fn etag_mismatch() -> Self {
        Self::aborted(ErrorReason::EtagMismatch)
            .message("the resource changed since it was read; read it again and retry")
    }

    /// The idempotency key came with another request before (ALREADY_EXISTS, HTTP 409).
    pub fn idempotency_key_reused() -> Self {
        Self::already_exists(ErrorReason::IdempotencyKeyReused)
            .message("this idempotency key was used with another request; use a new key")
            .field("request_id", "was used with another request")
    }
}

impl From<PageError> for Fault {
    fn from(error: PageError) -> Self {
        let (reason, field) = match &error {
            PageError::NegativeSize => (ErrorReason::PageSizeInvalid, "page_size"),
            PageError::Token => (ErrorReason::PageTokenInvalid, "page_token"),
            PageError::Order { .. } => (ErrorReason::OrderInvalid, "order_by"),
        };
        let text = error.to_string();
        Self::invalid(reason).message(text.clone()).field(field, text)
    }
}

impl From<FilterError> for Fault {
    fn from(error: FilterError) -> Self {
        let text = error.to_string();
        Self::invalid(ErrorReason::FilterInvalid).message(text.clone()).field("filter", text)
    }
}

impl From<MaskError> for Fault {
    fn from(error: MaskError) -> Self {
        let text = error.to_string();
        Self::invalid(ErrorReason::FieldMaskInvalid)
            .message(text.clone())
            .with("path", &error.path)
            .field("update_mask", text)
    }
}

impl From<InvalidId> for Fault {
    fn from(error: InvalidId) -> Self {
        Self::invalid(ErrorReason::InvalidArgument).message(error.to_string())
    }
}

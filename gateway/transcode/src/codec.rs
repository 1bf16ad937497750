//! The seam between HTTP and JSON: what transcoding needs of a JSON codec.
//!
//! Messages pass through it as wire bytes in both directions, so that an implementation is free not to
//! build messages. The one that is used is `direct`; the tests hold it against another.

use bytes::Bytes;
use prost_reflect::{FieldDescriptor, MessageDescriptor};
use thiserror::Error;

use crate::json::JsonError;

/// Reads and writes JSON for messages that are known by their descriptors only.
pub trait Codec: Send + Sync {
    /// Reads a JSON text as a message and gives its wire bytes.
    ///
    /// # Errors
    /// When the text is not JSON or does not fit the message.
    fn to_wire(&self, of: &MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, CodecError>;

    /// Appends the JSON of a message given as wire bytes.
    ///
    /// # Errors
    /// When the bytes are not such a message or hold what JSON cannot express.
    fn to_json(
        &self,
        of: &MessageDescriptor,
        field: Option<&FieldDescriptor>,
        wire: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError>;
}

/// Why a codec cannot translate.
#[derive(Clone, Debug, Error)]
pub enum CodecError {
    /// The JSON is refused.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The codec was not made for the message.
    #[error("there are no descriptors of {0}")]
    Unknown(String),
    /// The wire bytes are not the message that they should be.
    #[error("the bytes are not a valid {0}")]
    Wire(String),
    /// The message holds a value that JSON cannot express.
    #[error("the message cannot be written as JSON: {0}")]
    Inexpressible(String),
}

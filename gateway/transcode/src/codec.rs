//! The seam between HTTP and JSON: what transcoding needs of a JSON codec, and the present one.
//!
//! Answers pass through it as wire bytes, so that an implementation is free not to build messages.
//! The present one goes through `DynamicMessage`: two passes, but every rule in one readable walk.

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor};
use thiserror::Error;

use crate::json::{JsonError, Settings, Style, decode, encode};

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

/// The codec that goes through `DynamicMessage`.
pub struct DynamicCodec {
    settings: Settings,
}

impl DynamicCodec {
    /// A codec that resolves `Any` in the pool and allows `max_depth` levels of nesting.
    pub fn new(pool: DescriptorPool, style: Style, max_depth: usize) -> Self {
        Self { settings: Settings { pool, style, max_depth, ignore_unknown: false } }
    }

    /// Ignores unknown fields and enum names instead of refusing them.
    #[must_use]
    pub fn ignoring_unknown(mut self) -> Self {
        self.settings.ignore_unknown = true;
        self
    }
}

impl Codec for DynamicCodec {
    fn to_wire(&self, of: &MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, CodecError> {
        let (message, _) = decode::message(&self.settings, of, json, false)?;
        Ok(message.encode_to_vec())
    }

    fn to_json(
        &self,
        of: &MessageDescriptor,
        field: Option<&FieldDescriptor>,
        wire: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let message = DynamicMessage::decode(of.clone(), wire)
            .map_err(|_| CodecError::Wire(of.full_name().to_owned()))?;
        let written = match field {
            Some(field) => encode::field(&self.settings, &message, field, out),
            None => encode::message(&self.settings, &message, out),
        };
        written.map_err(|error| CodecError::Inexpressible(error.0))
    }
}

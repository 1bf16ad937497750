//! The codec that the direct one is held against: the same rules, written without any concern for
//! speed, by way of `DynamicMessage`. It shares no code with the crate, so that a fault of one is not
//! the other's as well.
//!
//! It knows no names of fields that a text gives (the gateway needs these for update masks) and no
//! error details but those of its pool.

use bytes::Bytes;
use lightning_transcode::{Codec, CodecError, JsonStyle as Style};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor};

mod decode;
mod encode;
mod lex;
mod names;
mod number;
mod scalar;
mod suggest;
mod time;
mod wkt;

/// The codec that goes through `DynamicMessage`.
pub(crate) struct DynamicCodec {
    settings: Settings,
}

impl DynamicCodec {
    /// A codec that resolves `Any` in the pool and allows `max_depth` levels of nesting.
    pub(crate) fn new(pool: DescriptorPool, style: Style, max_depth: usize) -> Self {
        Self { settings: Settings { pool, style, max_depth, ignore_unknown: false } }
    }

    /// Ignores unknown fields and enum names instead of refusing them.
    #[must_use]
    pub(crate) fn ignoring_unknown(mut self) -> Self {
        self.settings.ignore_unknown = true;
        self
    }
}

impl Codec for DynamicCodec {
    fn to_wire(&self, of: &MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, CodecError> {
        let message = decode::message(&self.settings, of, json).map_err(|error| {
            lightning_transcode::JsonError::at(error.path, error.offset, error.message)
        })?;
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

/// What decoding and encoding need besides the message.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) pool: DescriptorPool,
    pub(crate) style: Style,
    pub(crate) max_depth: usize,
    pub(crate) ignore_unknown: bool,
}

/// Why a JSON text is refused: what, at which field, at which byte.
#[derive(Clone, Debug)]
pub(crate) struct JsonError {
    path: String,
    offset: usize,
    message: String,
}

impl JsonError {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { path: String::new(), offset, message: message.into() }
    }

    /// Adds the field that the error was found in; paths are built only when something is wrong.
    pub(crate) fn under(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    pub(crate) fn under_index(self, index: usize) -> Self {
        self.under(&format!("[{index}]"))
    }

    pub(crate) fn under_key(self, key: &str) -> Self {
        let key: String = key.chars().take(64).collect();
        self.under(&format!("[{key:?}]"))
    }
}

/// The messages that ProtoJSON writes in a form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wkt {
    Any,
    Duration,
    FieldMask,
    ListValue,
    Struct,
    Timestamp,
    Value,
    Wrapper,
}

impl Wkt {
    pub(crate) fn of(message: &MessageDescriptor) -> Option<Self> {
        let name = message.full_name().strip_prefix("google.protobuf.")?;
        Some(match name {
            "Any" => Self::Any,
            "Duration" => Self::Duration,
            "FieldMask" => Self::FieldMask,
            "ListValue" => Self::ListValue,
            "Struct" => Self::Struct,
            "Timestamp" => Self::Timestamp,
            "Value" => Self::Value,
            "BoolValue" | "BytesValue" | "DoubleValue" | "FloatValue" | "Int32Value"
            | "Int64Value" | "StringValue" | "UInt32Value" | "UInt64Value" => Self::Wrapper,
            _ => return None,
        })
    }

    /// Whether the JSON form is a single scalar, so that a path or a query can carry it.
    pub(crate) fn is_scalar(self) -> bool {
        match self {
            Self::Duration | Self::FieldMask | Self::Timestamp | Self::Wrapper => true,
            Self::Any | Self::ListValue | Self::Struct | Self::Value => false,
        }
    }
}

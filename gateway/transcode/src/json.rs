//! JSON as protobuf defines it, in the product's style and in the canonical one: what needs no schema.
//!
//! The tokenizer, the numbers, times and names are our own, and so is the walk (see `direct`), because the caller is owed what a
//! general JSON library does not give: the path of the field and the byte offset in every error,
//! duplicate keys refused (also when one field is named in two ways), a depth limit, and the corner
//! cases of ProtoJSON. What goes wrong here is always the caller's fault when decoding and the
//! upstream's when encoding. Extension fields (`"[pkg.ext]"` keys) are not supported.

use std::fmt;

use prost_reflect::MessageDescriptor;

pub(crate) mod lex;
pub(crate) mod names;
pub use names::enum_word;
pub(crate) mod number;
pub(crate) mod special;
pub(crate) mod time;

#[cfg(test)]
mod tests;

/// Which JSON is written, and how lenient reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// The product's: snake_case, enums as lower-case words without prefix, 64-bit integers as numbers
    /// where they are exact (|n| < 2^53), scalars and lists always present. Reads all other forms too.
    #[default]
    Product,
    /// ProtoJSON as its guide defines it.
    Canonical,
}

/// The kind of a [`JsonError`], which becomes the `ErrorInfo.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Not JSON at all.
    Malformed,
    /// A key that is no field.
    UnknownField,
    /// A value that the field cannot hold.
    Invalid,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED_JSON",
            Self::UnknownField => "UNKNOWN_FIELD",
            Self::Invalid => "INVALID_VALUE",
        }
    }
}

/// Why a JSON text is refused: what, at which field, at which byte.
#[derive(Clone, Debug)]
pub struct JsonError(Box<Detail>);

#[derive(Clone, Debug)]
struct Detail {
    reason: Reason,
    path: String,
    offset: usize,
    message: String,
}

// === impl JsonError ===

impl JsonError {
    /// An error for a value that does not fit: for codecs of another make than this crate's.
    pub fn at(path: impl Into<String>, offset: usize, message: impl Into<String>) -> Self {
        Self::invalid(offset, message).under(&path.into())
    }

    pub(crate) fn new(reason: Reason, offset: usize, message: impl Into<String>) -> Self {
        Self(Box::new(Detail { reason, path: String::new(), offset, message: message.into() }))
    }

    pub(crate) fn invalid(offset: usize, message: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, offset, message)
    }

    pub(crate) fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The path of the field, such as `agent.tools[2].name`; empty for the whole text.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The byte at which the text stops being acceptable.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// What is wrong, without path and place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Adds the field that the error was found in; paths are built only when something is wrong.
    pub(crate) fn under(mut self, name: &str) -> Self {
        let path = &mut self.0.path;
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        *path = format!("{name}{dot}{path}");
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

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.path.is_empty() {
            write!(f, "{}: ", self.0.path)?;
        }
        write!(f, "{} at byte {}", self.0.message, self.0.offset)
    }
}

impl std::error::Error for JsonError {}

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

//! Ids: one type per kind of thing, so that an agent's id cannot be passed as a workflow's.
//!
//! Generated ids are UUIDv7, which sort by time and keep database indexes compact. Ids that a caller
//! chose are accepted as they are, within a small alphabet that is safe in URLs, logs and file names.

use uuid::Uuid;

/// The longest id that is accepted, in bytes.
pub const MAX_LENGTH: usize = 128;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to 128 characters out of A-Z, a-z, 0-9, '.', '_' and '-'")]
pub struct InvalidId;

/// Makes a fresh id (UUIDv7 text). Typed ids call it through their `generate`.
pub fn generate() -> String {
    Uuid::now_v7().to_string()
}

/// Checks that `text` can be an id. Typed ids call it through their `parse`.
pub fn check(text: &str) -> Result<(), InvalidId> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    // "." and ".." are path segments that clients and proxies fold away, so they cannot name anything.
    let reachable = text != "." && text != "..";
    if (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed) && reachable {
        Ok(())
    } else {
        Err(InvalidId)
    }
}

/// Declares an id type: `typed_id!(AgentId, "An agent's id.");`.
#[macro_export]
macro_rules! typed_id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Makes a fresh id, which sorts after the ones made before it.
            pub fn generate() -> Self {
                Self($crate::id::generate())
            }

            /// Takes an id that somebody gave; fails unless it has 1 to 128 characters out of
            /// `A-Za-z0-9._-`.
            pub fn parse(text: &str) -> Result<Self, $crate::id::InvalidId> {
                $crate::id::check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::std::convert::From<$name> for ::std::string::String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::id::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
    };
}

#[cfg(test)]
mod tests;

//! Why the keys cannot be used.

use std::{io, path::PathBuf};

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or folder cannot be read or made.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error(
        "{} is readable by others; remove it and restart, or chmod 600 it if nobody else has read it",
        path.display()
    )]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{} must hold {expected}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What it must hold.
        expected: &'static str,
    },
    /// The system made no key.
    #[error("the system could not make a key")]
    Generate,
    /// A signing key of the database does not open.
    #[error(
        "the signing key {kid} in the database is sealed with another key: give every instance the same \
         file, which is auth-keys/seal.key in the data directory unless [auth] sealing_key_file names it"
    )]
    Sealed {
        /// Which.
        kid: String,
    },
}

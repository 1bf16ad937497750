//! Who is calling, and whether they may.
//!
//! [`Caller`] is what a handler sees. The [`Gate`] puts it there: it reads the credential, lets the
//! [`Verifier`] check it, and enforces the permission that the contract names for the method. It runs
//! in every service, so a call that avoids the gateway is checked just the same. Identity comes from a
//! signed token or a verified key and from nowhere else: no header names a user.

use aws_lc_rs::digest;

pub(crate) mod access;
mod caller;
pub mod dpop;
mod gate;
mod jose;
mod key;
mod minted;
mod open_mode;
mod origin;
pub(crate) mod resource;
mod token;
mod verifier;

pub(crate) use caller::no_gate;
pub use caller::{Caller, DEFAULT_ORGANIZATION};
pub use gate::{Gate, GateError, Permission};
pub use key::KeyError;
pub(crate) use key::MeshKey;
pub use origin::{ADDRESS, CREDENTIAL, ClientAddress};
pub(crate) use resource::{Challenge, Here};
pub(crate) use token::Tokens;
pub(crate) use verifier::Verifier;

/// The fingerprint of a request (SHA-256, hexadecimal), by which a repeated `request_id` is told from
/// one that was reused with another request.
pub fn hash_request(request: &impl prost::Message) -> String {
    use std::fmt::Write as _;
    let hash = digest::digest(&digest::SHA256, &request.encode_to_vec());
    hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// A short name for a secret, to look it up in a cache that must not hold it.
pub(crate) fn fingerprint(secret: &str) -> [u8; 32] {
    let mut name = [0; 32];
    name.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    name
}

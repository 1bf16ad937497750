//! Requests that come twice (AIP-155): the second one gets the first one's answer.
//!
//! The answer is kept as bytes of its message, because it must be the first answer even if the thing
//! has changed since.

use lightning_mesh::idempotency::Key;
use lightning_store::Once;
use prost::Message;

/// An answer, or the bytes of one that was given before.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    First(T),
    Again(Vec<u8>),
}

/// The key with the answer to keep.
pub(crate) fn once(key: Key, reply: &impl Message) -> Once {
    let Key { scope, key, fingerprint } = key;
    Once { scope, key, fingerprint, reply: reply.encode_to_vec() }
}

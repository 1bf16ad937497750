//! Requests that come twice (AIP-155): the second one gets the first one's answer.
//!
//! The key belongs to a caller and a method, so nobody meets another's keys. The answer is kept as
//! bytes of its message, because it must be the first answer even if the thing has changed since.

use lightning_mesh::{fault::Fault, identity};
use lightning_proto::mesh::v1::ErrorReason;
use lightning_store::Once;
use prost::Message;

/// The longest `request_id`, in characters.
const MAX_KEY: usize = 128;

/// What tells a repetition.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) scope: String,
    pub(crate) key: String,
    pub(crate) fingerprint: String,
}

/// An answer, or the bytes of one that was given before.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    First(T),
    Again(Vec<u8>),
}

// === impl Key ===

impl Key {
    /// The key of a request whose `request_id` was taken out; none if the caller gave none.
    pub(crate) fn of(
        caller: &identity::Caller,
        method: &str,
        request_id: String,
        rest: &impl Message,
    ) -> Result<Option<Self>, Fault> {
        if request_id.is_empty() {
            return Ok(None);
        }
        if request_id.len() > MAX_KEY || !request_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text = "must have 1 to 128 visible ASCII characters; a UUID is best";
            return Err(Fault::invalid(ErrorReason::InvalidArgument)
                .message(format!("request_id {text}"))
                .field("request_id", text));
        }
        Ok(Some(Self {
            scope: format!("{} {method}", caller.subject),
            key: request_id,
            fingerprint: identity::hash_request(rest),
        }))
    }

    /// The key with the answer to keep.
    pub(crate) fn with(self, reply: &impl Message) -> Once {
        let Self { scope, key, fingerprint } = self;
        Once { scope, key, fingerprint, reply: reply.encode_to_vec() }
    }
}

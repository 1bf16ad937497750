//! Requests that come twice (AIP-155): what tells that it is the same one.
//!
//! The key belongs to a caller in an organisation and a method, so nobody meets another's keys. A service keeps it with
//! its first answer, in the same transaction as what the request did; where and how is the store's
//! business, which the mesh does not know.

use lightning_proto::mesh::v1::ErrorReason;
use prost::Message;

use crate::{
    fault::Fault,
    identity::{Caller, DEFAULT_ORGANIZATION, hash_request},
};

#[cfg(test)]
mod tests;

/// The longest `request_id`, in bytes.
const MAX_KEY: usize = 128;

/// What tells a repetition of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The organisation, the caller and the method.
    pub scope: String,
    /// The `request_id`.
    pub key: String,
    /// The hash of the rest of the request: the same key with another one is refused.
    pub fingerprint: String,
}

impl Key {
    /// The key of a request whose `request_id` was taken out, so that `rest` is all else. None if the
    /// caller gave none; INVALID_ARGUMENT if it is not 1 to 128 visible ASCII characters.
    pub fn of(
        caller: &Caller,
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
        let scope = match caller.organization_id.as_str() {
            // As it was before there were others. No part has a blank, so two are never three.
            "" | DEFAULT_ORGANIZATION => format!("{} {method}", caller.subject),
            organization => format!("{organization} {} {method}", caller.subject),
        };
        Ok(Some(Self { scope, key: request_id, fingerprint: hash_request(rest) }))
    }
}

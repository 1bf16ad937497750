//! API keys: `lk_<8>_<43><6>`, a public start to know it by, 256 random bits, and a checksum.
//!
//! The fixed start lets scanners find leaked keys, the checksum lets them (and us) tell a key from a
//! text that only looks like one without asking the database.

use lightning_mesh::clock::Timestamp;

use super::{ApiKeyId, UserId};
use crate::secrets;

/// What a key begins with.
pub(crate) const PREFIX: &str = "lk_";
/// The length of the parts: public, secret, checksum.
const PUBLIC: usize = 8;
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
/// The longest human name, in characters.
pub(crate) const MAX_NAME: usize = 200;
/// The most keys of one user.
pub(crate) const MAX_PER_USER: i64 = 100;

/// A key of a user. The key itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiKey {
    pub(crate) id: ApiKeyId,
    pub(crate) user_id: UserId,
    pub(crate) name: String,
    /// `lk_` and the public part.
    pub(crate) prefix: String,
    /// What it may do at most; empty for all that its owner may.
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
    /// To the minute.
    pub(crate) used_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
}

/// A key in clear. Has no `Debug`: it is a secret.
pub(crate) struct KeyText(String);

// === impl ApiKey ===

impl ApiKey {
    /// Whether it has expired.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires| now >= expires)
    }
}

// === impl KeyText ===

impl KeyText {
    /// A fresh key.
    pub(crate) fn generate() -> Self {
        let head = format!(
            "{PREFIX}{}_{}",
            secrets::random_base62(PUBLIC),
            secrets::random_base62(SECRET)
        );
        let checksum = secrets::base62_of(secrets::crc32(head.as_bytes()));
        Self(head + &checksum)
    }

    /// Reads what a caller sent; `None` if it cannot be a key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (public, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let fits = public.len() == PUBLIC && secret.len() == SECRET + CHECKSUM;
        if !fits || !is_plain(public) || !is_plain(secret) {
            return None;
        }
        let (head, checksum) = text.split_at(text.len() - CHECKSUM);
        let expected = secrets::base62_of(secrets::crc32(head.as_bytes()));
        (expected == checksum).then(|| Self(text.to_owned()))
    }

    /// The key itself, for its owner.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The part that may be shown.
    pub(crate) fn prefix(&self) -> String {
        self.0.chars().take(PREFIX.len() + PUBLIC).collect()
    }

    /// What it is looked up by.
    pub(crate) fn hash(&self) -> String {
        secrets::hash(&self.0)
    }
}

#[cfg(test)]
mod tests;

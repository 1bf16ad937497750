//! API keys: `lk_<8>_<43><6>`, a public start to know it by, 256 random bits, and a checksum.
//!
//! The fixed start lets scanners find leaked keys, the checksum lets them (and us) tell a key from a
//! text that only looks like one without asking the database.

use lightning_mesh::clock::Timestamp;

use super::{ApiKeyId, ServiceAccountId, UserId};
use crate::secrets;

/// What a key begins with.
pub(crate) const PREFIX: &str = "lk_";
/// The length of the parts: public, secret, checksum.
const PUBLIC: usize = 8;
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
/// The longest human name, in characters.
pub(crate) const MAX_NAME: usize = 200;
/// The most keys of one user, or of one service account.
pub(crate) const MAX_PER_OWNER: i64 = 100;
/// The most addresses and networks that a key may be bound to.
pub(crate) const MAX_ADDRESSES: usize = 50;
/// How many characters at its end are shown of a key.
const SUFFIX: usize = 4;

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A person's.
    User(UserId),
    /// A program's or an agent's.
    Account(ServiceAccountId),
}

/// A key. The key itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiKey {
    pub(crate) id: ApiKeyId,
    pub(crate) organization_id: String,
    pub(crate) owner: Owner,
    pub(crate) name: String,
    /// `lk_` and the public part.
    pub(crate) prefix: String,
    /// The last four characters; empty for keys from before they were kept.
    pub(crate) suffix: String,
    /// What it may do at most; empty for all that its owner may.
    pub(crate) scopes: Vec<String>,
    /// From where it may be used: addresses and networks; empty for anywhere.
    pub(crate) allowed_addresses: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
    /// To the minute.
    pub(crate) used_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
}

/// A key in clear. Has no `Debug`: it is a secret.
pub(crate) struct KeyText(String);

// === impl Owner ===

impl Owner {
    pub(crate) fn user_id(&self) -> Option<&UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Account(_) => None,
        }
    }

    pub(crate) fn account_id(&self) -> Option<&ServiceAccountId> {
        match self {
            Self::User(_) => None,
            Self::Account(id) => Some(id),
        }
    }

    pub(crate) fn id(&self) -> &str {
        match self {
            Self::User(id) => id.as_str(),
            Self::Account(id) => id.as_str(),
        }
    }
}

/// Addresses and networks as somebody typed them, in the form in which they are kept; the first one that
/// is neither if there is one.
pub(crate) fn addresses(typed: &[String]) -> Result<Vec<String>, String> {
    let parse = |text: &String| {
        let network = text.parse::<ipnet::IpNet>().map(|network| network.trunc().to_string());
        let address = || text.parse::<std::net::IpAddr>().map(|address| address.to_string());
        network.or_else(|_| address()).map_err(|_| text.chars().take(100).collect::<String>())
    };
    typed.iter().map(parse).collect::<Result<Vec<_>, _>>().map(super::sorted)
}

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

    /// The end that may be shown: four characters of the checksum, which says nothing that would help to
    /// guess the secret.
    pub(crate) fn suffix(&self) -> String {
        self.0[self.0.len() - SUFFIX..].to_owned()
    }

    /// What it is looked up by.
    pub(crate) fn hash(&self) -> String {
        secrets::hash(&self.0)
    }
}

#[cfg(test)]
mod tests;

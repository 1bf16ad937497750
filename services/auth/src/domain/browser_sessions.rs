//! Sessions of browsers: who signed in where, and for how long that holds.
//!
//! A browser holds a random secret in a cookie; only its hash is kept. Whenever somebody signs in or
//! proves more than before, the session gets a successor with another id and another secret, so that a
//! cookie somebody planted or saw before is worth nothing after. Predecessors and successors share a
//! chain, which is what ends when somebody signs out.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::{SessionId, UserId, principals::Authentication};
use crate::secrets;

/// How long somebody may take between the password and the second factor.
pub(crate) const HALF_LIFETIME: Duration = Duration::from_mins(10);
/// The longest description of a browser that is kept, in characters.
const MAX_AGENT: usize = 200;

/// The session of one browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrowserSession {
    /// What clients are told as `sid`.
    pub(crate) id: SessionId,
    /// The first session of the chain.
    pub(crate) chain_id: SessionId,
    pub(crate) user_id: UserId,
    /// Hash of the secret in the cookie.
    pub(crate) secret_hash: String,
    pub(crate) authentication: Authentication,
    /// Whether a further factor is missing: the user is not signed in yet.
    pub(crate) is_half: bool,
    pub(crate) origin: Origin,
    pub(crate) created_at: Timestamp,
    /// When it was used last, to the minute.
    pub(crate) seen_at: Timestamp,
    /// When it ends however much it is used.
    pub(crate) expires_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

/// Where a browser is, as far as it can be told; for the user to recognise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) address: String,
    /// What the browser calls itself.
    pub(crate) agent: String,
}

/// How long browser sessions live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    /// At most, however much they are used.
    pub(crate) absolute: Duration,
    /// Without being used.
    pub(crate) idle: Duration,
}

/// The secret in a cookie. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CookieSecret(String);

// === impl BrowserSession ===

impl BrowserSession {
    /// A session that begins now, with the secret for its cookie. `before` is the one it follows.
    pub(crate) fn begin(
        user_id: UserId,
        authentication: Authentication,
        is_half: bool,
        before: Option<&Self>,
        origin: Origin,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> (Self, CookieSecret) {
        let (id, secret) = (SessionId::generate(), CookieSecret::generate());
        let same = before.filter(|before| before.user_id == user_id);
        let absolute = if is_half { HALF_LIFETIME } else { lifetime.absolute };
        let session = Self {
            chain_id: same.map_or_else(|| id.clone(), |before| before.chain_id.clone()),
            id,
            user_id,
            secret_hash: secret.hash(),
            authentication,
            is_half,
            origin,
            created_at: now,
            seen_at: now,
            expires_at: now + absolute,
            ended_at: None,
        };
        (session, secret)
    }

    /// Whether it holds.
    pub(crate) fn is_alive(&self, lifetime: Lifetime, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at && now < self.seen_at + lifetime.idle
    }
}

// === impl Origin ===

impl Origin {
    pub(crate) fn new(address: Option<std::net::IpAddr>, agent: &str) -> Self {
        let agent = agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT).collect();
        Self { address: address.map(|ip| ip.to_canonical().to_string()).unwrap_or_default(), agent }
    }

    /// A few words for a browser; the whole text if nothing in it is known.
    pub(crate) fn browser(&self) -> &str {
        const KNOWN: [(&str, &str); 6] = [
            ("Firefox/", "Firefox"),
            ("Edg/", "Edge"),
            ("OPR/", "Opera"),
            ("Chrome/", "Chrome"),
            ("Safari/", "Safari"),
            ("curl/", "curl"),
        ];
        let known = KNOWN.iter().find(|(mark, _)| self.agent.contains(mark));
        match known {
            Some((_, name)) => name,
            None if self.agent.is_empty() => "Unknown browser",
            None => &self.agent,
        }
    }
}

// === impl CookieSecret ===

impl CookieSecret {
    const LENGTH: usize = 43;

    pub(crate) fn generate() -> Self {
        Self(secrets::random_base62(Self::LENGTH))
    }

    /// Reads what a browser sent.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() == Self::LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric());
        is_one.then(|| Self(text.to_owned()))
    }

    /// The text for the cookie.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(crate) fn hash(&self) -> String {
        secrets::hash(&self.0)
    }

    /// The token for the forms of this browser: only who knows the cookie can make it, and it does not
    /// tell the cookie, nor does what is kept tell it.
    pub(crate) fn form_token(&self) -> String {
        secrets::hash(format!("form {}", self.0))
    }
}

#[cfg(test)]
mod tests;

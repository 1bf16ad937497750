//! Authorization codes (OAuth 2.1): who asked for what, and what must fit when a code is exchanged.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lightning_mesh::clock::Timestamp;

use super::{SessionId, UserId, Violations, redirects, sessions::Terms};
use crate::secrets;

/// How long a code is good.
pub(crate) const LIFETIME: Duration = Duration::from_mins(1);
/// What a code begins with.
const PREFIX: &str = "lac_";
/// The longest `state` and `scope`, in bytes.
const MAX_TEXT: usize = 2_000;

/// What an application asks for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    /// Empty for all that the caller has.
    pub(crate) scopes: Vec<String>,
    pub(crate) state: String,
}

/// The parameters of an authorization request as they came.
pub(crate) struct Asked<'a> {
    pub(crate) response_type: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) state: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) challenge: &'a str,
    pub(crate) challenge_method: &'a str,
}

/// A code that was given out. The code itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) hash: String,
    pub(crate) user_id: UserId,
    /// The session of the user who agreed; a code of a session that has ended is worth nothing.
    pub(crate) session_id: SessionId,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// The session that came of it, once it was exchanged.
    pub(crate) issued: Option<SessionId>,
    /// What the session that comes of it will be bound to.
    pub(crate) terms: Terms,
}

// === impl Demand ===

impl Demand {
    /// Checks an authorization request of a client that may or may not redirect to its address.
    pub(crate) fn try_new(asked: &Asked<'_>, may_redirect: bool) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        wrong.check(asked.response_type == "code", "response_type", "must be code");
        wrong.check(
            is_client_id(asked.client_id),
            "client_id",
            "must have 1 to 200 visible ASCII characters",
        );
        wrong.check(
            may_redirect && redirects::is_well_formed(asked.redirect_uri),
            "redirect_uri",
            "must be one of the client's addresses, exactly, or but for the port if it is \
             http://127.0.0.1 or http://[::1]",
        );
        wrong.check(asked.challenge_method == "S256", "code_challenge_method", "must be S256");
        wrong.check(
            is_challenge(asked.challenge),
            "code_challenge",
            "must be BASE64URL(SHA256(code_verifier)): 43 characters",
        );
        wrong.check(asked.state.len() <= MAX_TEXT, "state", "must have at most 2,000 bytes");
        wrong.check(asked.scope.len() <= MAX_TEXT, "scope", "must have at most 2,000 bytes");
        wrong.finish(Self {
            client_id: asked.client_id.to_owned(),
            redirect_uri: asked.redirect_uri.to_owned(),
            challenge: asked.challenge.to_owned(),
            scopes: asked.scope.split_whitespace().map(str::to_owned).collect(),
            state: asked.state.to_owned(),
        })
    }
}

// === impl Code ===

impl Code {
    /// A code for a demand, good from now on, and its text.
    pub(crate) fn give(
        demand: &Demand,
        user_id: UserId,
        session_id: SessionId,
        scopes: Vec<String>,
        terms: Terms,
        now: Timestamp,
    ) -> (Self, String) {
        let text = format!("{PREFIX}{}", secrets::random_base62(43));
        let code = Self {
            hash: secrets::hash(&text),
            user_id,
            session_id,
            client_id: demand.client_id.clone(),
            redirect_uri: demand.redirect_uri.clone(),
            challenge: demand.challenge.clone(),
            scopes,
            created_at: now,
            expires_at: now + LIFETIME,
            issued: None,
            terms,
        };
        (code, text)
    }

    /// Whether a client may exchange it at all.
    pub(crate) fn is_open_to(&self, client_id: &str, now: Timestamp) -> bool {
        self.issued.is_none() && now < self.expires_at && self.client_id == client_id
    }

    /// Whether whoever sends these is the one who asked for it.
    pub(crate) fn fits(&self, redirect_uri: &str, verifier: &str) -> bool {
        self.redirect_uri == redirect_uri
            && is_verifier(verifier)
            && challenge_of(verifier) == self.challenge
    }
}

/// BASE64URL(SHA256(verifier)) (RFC 7636 section 4.2).
pub(crate) fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(secrets::sha256(verifier.as_bytes()))
}

fn is_verifier(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_challenge(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

fn is_client_id(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;

//! Sessions and the refresh tokens that keep them alive.
//!
//! A refresh token is opaque to its holder. Inside are the session, a number that counts the refreshes,
//! a secret that stays the same for the session and one that is new each time. The number is why a
//! replay needs no table of used tokens: a token whose session secret is right and whose number is old
//! was certainly issued by us and is used for the second time, and that ends the session. The session
//! secret is why nobody else can do that: knowing the session's id, which stands in every access token,
//! is not enough.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lightning_mesh::clock::Timestamp;
use uuid::Uuid;

use super::{SessionId, UserId, clients::OWN_CLIENT, principals::Authentication};
use crate::secrets;

/// What a refresh token begins with, so that scanners for leaked secrets find it.
pub(crate) const PREFIX: &str = "lrt_";
/// Bytes of a refresh token: session 16, number 4, session secret 16, own secret 32.
const LENGTH: usize = 68;

/// A login that is alive, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    /// The application; empty for a login with the password.
    pub(crate) client_id: String,
    /// What it may do at most; empty for all that its user may.
    pub(crate) scopes: Vec<String>,
    /// Counts the refreshes.
    pub(crate) generation: u32,
    /// Hash of the secret that stays the same.
    pub(crate) family_hash: String,
    /// Hash of the refresh token that is good now.
    pub(crate) token_hash: String,
    pub(crate) created_at: Timestamp,
    pub(crate) refreshed_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub(crate) expires_at: Timestamp,
    /// When it was ended.
    pub(crate) ended_at: Option<Timestamp>,
    /// What the user agreed to, and how.
    pub(crate) terms: Terms,
    /// Hash of the refresh token before the present one.
    pub(crate) previous_hash: Option<String>,
    /// The present refresh token, sealed, for a holder of the one before whose answer was lost.
    pub(crate) successor: Option<String>,
}

/// What holds for every token of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The session of the browser in which the user agreed; it is the `sid` that clients are told.
    pub(crate) browser_session_id: Option<String>,
    /// How the user proved who they are.
    pub(crate) authentication: Authentication,
    /// The resource indicators (RFC 8707) that tokens are for; empty for every service of the mesh.
    pub(crate) audiences: Vec<String>,
    /// The thumbprint (RFC 7638) of the key that the tokens are bound to (RFC 9449).
    pub(crate) jkt: Option<String>,
    /// The `claims` parameter (OpenID Connect Core section 5.5), as JSON.
    pub(crate) claims: Option<String>,
    /// The `nonce` of the authorization request.
    pub(crate) nonce: Option<String>,
}

/// How long sessions live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    /// At most, however often they are refreshed.
    pub(crate) absolute: Duration,
    /// Without being refreshed.
    pub(crate) idle: Duration,
}

/// A refresh token. Has no `Debug`: it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    session: Uuid,
    generation: u32,
    family: [u8; 16],
    own: [u8; 32],
}

/// What a refresh token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// It is the one that is good now.
    Good,
    /// It was good before: somebody has a copy.
    Replayed,
    /// It was never good, or its session has ended.
    Nothing,
}

// === impl Session ===

impl Session {
    /// A session that begins now, and its first refresh token.
    pub(crate) fn begin(
        user_id: UserId,
        client_id: String,
        scopes: Vec<String>,
        terms: Terms,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> (Self, RefreshToken) {
        let session = Uuid::now_v7();
        let id = SessionId::parse(&session.to_string()).expect("a UUID is an id");
        let token = RefreshToken {
            session,
            generation: 0,
            family: secrets::random(),
            own: secrets::random(),
        };
        let session = Self {
            id,
            user_id,
            client_id,
            scopes,
            generation: 0,
            family_hash: secrets::hash(token.family),
            token_hash: token.hash(),
            created_at: now,
            refreshed_at: now,
            expires_at: now + lifetime.idle.min(lifetime.absolute),
            ended_at: None,
            terms,
            previous_hash: None,
            successor: None,
        };
        (session, token)
    }

    /// The session after a refresh, and the token that follows. `None` when it was refreshed four
    /// billion times.
    pub(crate) fn refreshed(
        &self,
        token: &RefreshToken,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Option<(Self, RefreshToken)> {
        let generation = self.generation.checked_add(1)?;
        let next = RefreshToken { generation, own: secrets::random(), ..token.clone() };
        let session = Self {
            generation,
            token_hash: next.hash(),
            previous_hash: Some(token.hash()),
            successor: None,
            refreshed_at: now,
            expires_at: (now + lifetime.idle).min(self.created_at + lifetime.absolute),
            ..self.clone()
        };
        Some((session, next))
    }

    /// The application that it belongs to.
    pub(crate) fn application(&self) -> &str {
        if self.client_id.is_empty() { OWN_CLIENT } else { &self.client_id }
    }

    /// Whether it has neither ended nor expired.
    pub(crate) fn is_alive(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }

    /// Whether a token is the one before the present one and comes again within `grace`: then its holder
    /// has likely lost the answer, and gets the same successor again.
    pub(crate) fn is_repeated(
        &self,
        token: &RefreshToken,
        grace: Duration,
        now: Timestamp,
    ) -> bool {
        let is_before = token.generation.checked_add(1) == Some(self.generation)
            && self.previous_hash.as_deref() == Some(token.hash().as_str());
        self.is_alive(now) && is_before && now < self.refreshed_at + grace
    }

    /// What a token of this session is worth.
    pub(crate) fn worth(&self, token: &RefreshToken, now: Timestamp) -> Worth {
        let is_ours = secrets::hash(token.family) == self.family_hash;
        if !is_ours || !self.is_alive(now) {
            Worth::Nothing
        } else if token.generation < self.generation {
            Worth::Replayed
        } else if token.hash() == self.token_hash {
            Worth::Good
        } else {
            Worth::Nothing
        }
    }
}

// === impl RefreshToken ===

impl RefreshToken {
    /// Reads what a caller sent.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let bytes: &[u8; LENGTH] = bytes.as_slice().try_into().ok()?;
        let (session, rest) = bytes.split_first_chunk::<16>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        let (family, rest) = rest.split_first_chunk::<16>()?;
        Some(Self {
            session: Uuid::from_bytes(*session),
            generation: u32::from_be_bytes(*generation),
            family: *family,
            own: rest.try_into().ok()?,
        })
    }

    /// The text for its holder.
    pub(crate) fn expose(&self) -> String {
        let generation = self.generation.to_be_bytes();
        let bytes =
            [self.session.as_bytes().as_slice(), &generation, &self.family, &self.own].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The session that it claims to belong to.
    pub(crate) fn session_id(&self) -> SessionId {
        SessionId::parse(&self.session.to_string()).expect("a UUID is an id")
    }

    fn hash(&self) -> String {
        secrets::hash(self.expose())
    }
}

#[cfg(test)]
mod tests;

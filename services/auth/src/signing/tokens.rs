//! What stands in the tokens that we sign, and in those of ours that come back.
//!
//! Claims are structures and not maps: they are written straight into the token, and what is read back
//! is refused if a claim is missing, comes twice or has another type (an `exp` that is a text is no
//! `exp`).

use lightning_mesh::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{
    keys::Algorithm,
    principals::{Authentication, Principal},
};

/// Whom access tokens are for unless they name resources: every service of the mesh.
pub(crate) const AUDIENCE: &str = "lightning";

/// What an access token says (RFC 9068).
#[derive(Debug, Clone)]
pub(crate) struct AccessToken<'a> {
    pub(crate) principal: &'a Principal,
    /// What it allows: the principal's permissions under the scopes.
    pub(crate) permissions: &'a [String],
    /// Up to where policies may give more than the roles do, as patterns.
    pub(crate) reach: &'a [String],
    /// The `scope` claim.
    pub(crate) scope: String,
    /// The resource indicators (RFC 8707) it is for; empty for every service of the mesh.
    pub(crate) audiences: &'a [String],
    pub(crate) client_id: &'a str,
    pub(crate) session_id: Option<&'a str>,
    pub(crate) authentication: Option<&'a Authentication>,
    /// Who acts for the principal, the nearest first (`act`, RFC 8693 section 4.1).
    pub(crate) actors: &'a [String],
    /// The thumbprint of the key it is bound to (`cnf.jkt`, RFC 9449 section 6).
    pub(crate) jkt: Option<&'a str>,
    /// Until when at most it may live, whatever its usual life is.
    pub(crate) not_after: Option<Timestamp>,
}

/// What an ID token says (OpenID Connect Core section 2).
#[derive(Debug, Clone)]
pub(crate) struct IdToken<'a> {
    /// The `sub`, as [`Subject::sub`](crate::domain::principals::Subject::sub) writes it.
    pub(crate) subject: &'a str,
    pub(crate) client_id: &'a str,
    /// What the client registered; [`Algorithm::Es256`] by default.
    pub(crate) algorithm: Algorithm,
    pub(crate) authentication: &'a Authentication,
    /// The `nonce` of the authorization request.
    pub(crate) nonce: Option<&'a str>,
    /// The access token that comes with it (`at_hash`).
    pub(crate) access_token: Option<&'a str>,
    /// The code that comes with it (`c_hash`), if it comes from the authorization endpoint.
    pub(crate) code: Option<&'a str>,
    /// The session of the browser (`sid`), by which a logout token will name it.
    pub(crate) browser_session_id: Option<&'a str>,
    /// What the scopes and the `claims` parameter ask for: see `logic::claims`.
    pub(crate) claims: &'a Map<String, Value>,
}

/// What a logout token says (OpenID Connect Back-Channel Logout section 2.4). At least one of the two
/// is there.
#[derive(Debug, Clone)]
pub(crate) struct LogoutToken<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) algorithm: Algorithm,
    pub(crate) subject: Option<&'a str>,
    pub(crate) browser_session_id: Option<&'a str>,
}

/// An access token of ours that was read back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct AccessClaims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: Vec<String>,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) jti: String,
    #[serde(default)]
    pub(crate) sid: Option<String>,
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) org_id: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    #[serde(default)]
    pub(crate) permissions: Vec<String>,
    #[serde(default)]
    pub(crate) scope: String,
    #[serde(default)]
    pub(crate) auth_time: Option<i64>,
    #[serde(default)]
    pub(crate) acr: Option<String>,
    #[serde(default)]
    pub(crate) amr: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) act: Option<Box<Actor>>,
    #[serde(default)]
    pub(crate) cnf: Option<Confirmation>,
}

/// Somebody who acts for the subject, and who acts for them in turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Actor {
    pub(crate) sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) act: Option<Box<Actor>>,
}

/// The key that a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmation {
    pub(crate) jkt: String,
}

/// An ID token of ours that came back as a hint (`id_token_hint`), however old it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct IdHint {
    pub(crate) iss: String,
    pub(crate) sub: String,
    /// The client that it was made for.
    pub(crate) aud: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    #[serde(default)]
    pub(crate) sid: Option<String>,
    #[serde(default)]
    pub(crate) auth_time: Option<i64>,
    #[serde(default)]
    pub(crate) nonce: Option<String>,
}

// === impl AccessToken ===

impl<'a> AccessToken<'a> {
    pub(crate) fn new(
        principal: &'a Principal,
        permissions: &'a [String],
        client_id: &'a str,
    ) -> Self {
        Self {
            principal,
            permissions,
            reach: &[],
            scope: permissions.join(" "),
            audiences: &[],
            client_id,
            session_id: None,
            authentication: None,
            actors: &[],
            jkt: None,
            not_after: None,
        }
    }
}

// === impl AccessClaims ===

impl AccessClaims {
    /// Whether the token may be used for this scope.
    pub(crate) fn has_scope(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|held| held == scope)
    }

    /// Who acts for the subject, the nearest first.
    pub(crate) fn actors(&self) -> Vec<String> {
        let first = self.act.as_deref();
        std::iter::successors(first, |actor| actor.act.as_deref())
            .map(|actor| actor.sub.clone())
            .collect()
    }
}

/// The nested form of RFC 8693: the one who acts now is outermost.
pub(super) fn act(actors: &[String]) -> Option<Box<Actor>> {
    actors.iter().rev().fold(None, |act, actor| Some(Box::new(Actor { sub: actor.clone(), act })))
}

/// The `aud` of an access token.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Audiences<'a> {
    Mesh([&'static str; 1]),
    Named(&'a [String]),
}

#[derive(Serialize)]
pub(super) struct Claims<'a> {
    pub(super) iss: &'a str,
    pub(super) sub: String,
    pub(super) aud: Audiences<'a>,
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) nbf: i64,
    pub(super) jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<&'a str>,
    pub(super) client_id: &'a str,
    pub(super) org_id: &'a str,
    pub(super) name: &'a str,
    pub(super) roles: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) groups: &'a [String],
    pub(super) permissions: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) reach: &'a [String],
    pub(super) scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acr: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amr: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) act: Option<Box<Actor>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cnf: Option<Bound<'a>>,
}

#[derive(Serialize)]
pub(super) struct Bound<'a> {
    pub(super) jkt: &'a str,
}

#[derive(Serialize)]
pub(super) struct IdClaims<'a> {
    pub(super) iss: &'a str,
    pub(super) sub: &'a str,
    pub(super) aud: &'a str,
    pub(super) azp: &'a str,
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<&'a str>,
    pub(super) acr: &'static str,
    pub(super) amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) c_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<&'a str>,
    #[serde(flatten)]
    pub(super) claims: &'a Map<String, Value>,
}

#[derive(Serialize)]
pub(super) struct LogoutClaims<'a> {
    pub(super) iss: &'a str,
    pub(super) aud: &'a str,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) jti: String,
    pub(super) events: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<&'a str>,
}

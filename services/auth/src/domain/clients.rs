//! OAuth clients: applications that ask for tokens (RFC 6749 section 2, RFC 7591).

use lightning_mesh::clock::Timestamp;

use super::{
    keys::Algorithm,
    permissions,
    principals::{Principal, Subject},
    redirects,
};
use crate::secrets;

pub(crate) mod metadata;

/// The client of logins with the password over the API, and of the command line: public, first party,
/// on loopback addresses alone.
pub(crate) const OWN_CLIENT: &str = "lightning";

/// How a client proves who it is at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// It does not: it cannot keep a secret.
    None,
    /// The secret in the `Authorization` header.
    SecretBasic,
    /// The secret in the body.
    SecretPost,
    /// A JWT signed with its own key (RFC 7523).
    PrivateKeyJwt,
}

/// A secret of a client. Two may be alive at once, so that it can be changed without an outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientSecret {
    /// SHA-256, hexadecimal: the secret has 256 random bits.
    pub(crate) hash: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
}

/// What a client's secret begins with, so that scanners for leaked secrets find it.
const SECRET_PREFIX: &str = "lcs_";
/// What a registration access token (RFC 7592) begins with.
const REGISTRATION_PREFIX: &str = "lra_";

/// A new secret of a client: its text and what is kept of it.
pub(crate) fn new_secret(now: Timestamp) -> (String, ClientSecret) {
    let text = format!("{SECRET_PREFIX}{}", secrets::random_base62(43));
    let hash = secrets::hash(&text);
    (text, ClientSecret { hash, created_at: now, expires_at: None })
}

/// A new registration access token and its hash.
pub(crate) fn new_registration_token() -> (String, String) {
    let text = format!("{REGISTRATION_PREFIX}{}", secrets::random_base62(43));
    let hash = secrets::hash(&text);
    (text, hash)
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) organization_id: String,
    /// For pages; typed by whoever registered it.
    pub(crate) name: String,
    pub(crate) auth: ClientAuth,
    pub(crate) secrets: Vec<ClientSecret>,
    /// The public keys (a JWK Set as JSON), for `private_key_jwt`.
    pub(crate) jwks: Option<String>,
    /// Where the keys are instead.
    pub(crate) jwks_uri: Option<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) post_logout_redirect_uris: Vec<String>,
    pub(crate) grant_types: Vec<String>,
    /// The scopes it may ask for, as patterns; empty for what its users may.
    pub(crate) scopes: Vec<String>,
    pub(crate) backchannel_logout_uri: Option<String>,
    /// `ES256` or `RS256`.
    pub(crate) id_token_alg: String,
    /// Whether only pushed authorization requests are taken (RFC 9126).
    pub(crate) require_par: bool,
    /// Whether its access tokens are bound to a key (RFC 9449).
    pub(crate) dpop_bound: bool,
    /// One of our own: nobody is asked for consent.
    pub(crate) first_party: bool,
    /// Registered by itself (RFC 7591), so its name is only a claim.
    pub(crate) dynamic: bool,
    /// Declared in the configuration, so the API does not change it.
    pub(crate) declared: bool,
    /// Shut out: as if it did not exist.
    pub(crate) disabled: bool,
    /// SHA-256 of the registration access token (RFC 7592).
    pub(crate) registration_hash: Option<String>,
    /// When it last got a token, to the day; kept for clients that registered themselves.
    pub(crate) used_at: Option<Timestamp>,
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

// === impl Client ===

impl Client {
    /// The client of logins over the API and of the command line.
    pub(crate) fn own() -> Self {
        Self {
            id: OWN_CLIENT.to_owned(),
            organization_id: lightning_mesh::identity::DEFAULT_ORGANIZATION.to_owned(),
            name: "Agent Lightning".to_owned(),
            auth: ClientAuth::None,
            secrets: Vec::new(),
            jwks: None,
            jwks_uri: None,
            redirect_uris: vec![
                "http://127.0.0.1/callback".to_owned(),
                "http://[::1]/callback".to_owned(),
            ],
            post_logout_redirect_uris: Vec::new(),
            grant_types: ["authorization_code", "refresh_token", DEVICE_CODE]
                .map(str::to_owned)
                .to_vec(),
            scopes: Vec::new(),
            backchannel_logout_uri: None,
            id_token_alg: "ES256".to_owned(),
            require_par: false,
            dpop_bound: false,
            first_party: true,
            dynamic: false,
            declared: true,
            disabled: false,
            registration_hash: None,
            used_at: None,
            revision: 1,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }

    /// Whether a code may be sent there: one of its addresses, character by character, or a loopback
    /// address of a registered loopback path on any port.
    pub(crate) fn may_redirect_to(&self, uri: &str) -> bool {
        if self.id == OWN_CLIENT && redirects::is_allowed(uri, &self.redirect_uris) {
            // The command line and scripts of whoever sits at this machine listen where they like.
            return true;
        }
        self.redirect_uris.iter().any(|registered| redirects::matches(uri, registered))
    }

    /// Whether a secret is one of those that are alive. Takes as long whichever it is.
    pub(crate) fn knows_secret(&self, text: &str, now: Timestamp) -> bool {
        let given = secrets::hash(text);
        self.secrets.iter().fold(false, |known, secret| {
            let same = secrets::are_equal(given.as_bytes(), secret.hash.as_bytes());
            let alive = secret.expires_at.is_none_or(|expires| now < expires);
            known | (same & alive)
        })
    }

    /// The secrets after one more was made: the newest of those before lives on until `grace` is over,
    /// all others end.
    pub(crate) fn with_secret(
        &self,
        new: ClientSecret,
        grace_ends: Timestamp,
    ) -> Vec<ClientSecret> {
        let newest = self.secrets.iter().max_by_key(|secret| secret.created_at);
        let kept = newest.filter(|_| grace_ends > new.created_at).map(|secret| ClientSecret {
            expires_at: Some(secret.expires_at.map_or(grace_ends, |end| end.min(grace_ends))),
            ..secret.clone()
        });
        kept.into_iter().chain([new]).collect()
    }

    /// What the client may do in its own name (RFC 6749 section 4.4): exactly its scopes.
    pub(crate) fn principal(&self) -> Principal {
        let permissions =
            self.scopes.iter().filter(|scope| !is_oidc_scope(scope)).cloned().collect();
        Principal {
            subject: Subject::Client(self.id.clone()),
            name: self.name.clone(),
            organization_id: self.organization_id.clone(),
            roles: Vec::new(),
            groups: Vec::new(),
            permissions,
        }
    }

    /// What is left of `held` for this client under the scopes that were agreed on. One of our own has
    /// everything when no permission was named; somebody else's has nothing without a permission in its
    /// scopes, so that a login with `openid` gives away no rights.
    pub(crate) fn permitted(&self, held: &[String], scopes: &[String]) -> Vec<String> {
        let agreed: Vec<String> =
            scopes.iter().filter(|scope| !is_oidc_scope(scope)).cloned().collect();
        let under_scopes = match (agreed.is_empty(), self.first_party) {
            (true, true) => held.to_vec(),
            (true, false) => Vec::new(),
            (false, _) => permissions::intersection(held, &agreed),
        };
        let own: Vec<String> =
            self.scopes.iter().filter(|scope| !is_oidc_scope(scope)).cloned().collect();
        permissions::under(&under_scopes, &own)
    }

    /// Whether it cannot prove who it is.
    pub(crate) fn is_public(&self) -> bool {
        self.auth == ClientAuth::None
    }

    /// How its ID tokens and logout tokens are signed.
    pub(crate) fn id_token_algorithm(&self) -> Algorithm {
        match self.id_token_alg.as_str() {
            "RS256" => Algorithm::Rs256,
            _ => Algorithm::Es256,
        }
    }

    /// Whether it may use a grant.
    pub(crate) fn may(&self, grant_type: &str) -> bool {
        self.grant_types.iter().any(|known| known == grant_type)
    }
}

/// The scopes of OpenID Connect (Core sections 5.4 and 11), which give claims and no permissions.
pub(crate) const OIDC_SCOPES: [&str; 6] =
    ["openid", "profile", "email", "groups", "organization", "offline_access"];

/// Whether a scope is one of [`OIDC_SCOPES`].
pub(crate) fn is_oidc_scope(scope: &str) -> bool {
    OIDC_SCOPES.contains(&scope)
}

// === impl ClientAuth ===

impl ClientAuth {
    /// The registered name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SecretBasic => "client_secret_basic",
            Self::SecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The way with this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let all = [Self::None, Self::SecretBasic, Self::SecretPost, Self::PrivateKeyJwt];
        all.into_iter().find(|way| way.name() == name)
    }

    /// Whether it is a secret that both sides know.
    pub(crate) fn has_secret(self) -> bool {
        matches!(self, Self::SecretBasic | Self::SecretPost)
    }
}

/// The grant types (RFC 6749, 8628, 8693, 7523).
pub(crate) const AUTHORIZATION_CODE: &str = "authorization_code";
pub(crate) const REFRESH_TOKEN: &str = "refresh_token";
pub(crate) const CLIENT_CREDENTIALS: &str = "client_credentials";
pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub(crate) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// All grant types that are offered.
pub(crate) const GRANT_TYPES: [&str; 6] = [
    AUTHORIZATION_CODE,
    REFRESH_TOKEN,
    CLIENT_CREDENTIALS,
    DEVICE_CODE,
    TOKEN_EXCHANGE,
    JWT_BEARER,
];

#[cfg(test)]
mod tests;

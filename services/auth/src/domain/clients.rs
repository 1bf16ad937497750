//! OAuth clients: applications that ask for tokens (RFC 6749 section 2, RFC 7591).

use lightning_mesh::clock::Timestamp;

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
    pub(crate) expires_at: Option<Timestamp>,
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
    pub(crate) created_at: Timestamp,
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
            created_at: Timestamp::default(),
        }
    }

    /// Whether it cannot prove who it is.
    pub(crate) fn is_public(&self) -> bool {
        self.auth == ClientAuth::None
    }

    /// Whether it may use a grant.
    pub(crate) fn may(&self, grant_type: &str) -> bool {
        self.grant_types.iter().any(|known| known == grant_type)
    }
}

/// The grant types (RFC 6749, 8628, 8693, 7523).
pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub(crate) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

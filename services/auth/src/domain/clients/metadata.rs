//! What is asked for when a client is made or changed, whoever asks: the API, the client itself
//! (RFC 7591), or the configuration.
//!
//! One set of rules for all three; what only an administrator may have (first party, grants without a
//! user) is refused to clients that register themselves. Metadata that would have to be shown or fetched
//! and serve nobody (logos, policies, software statements) is not kept.

use super::{
    AUTHORIZATION_CODE, CLIENT_CREDENTIALS, Client, ClientAuth, DEVICE_CODE, GRANT_TYPES,
    REFRESH_TOKEN, is_oidc_scope,
};
use crate::domain::{Violations, is_line, jwks, permissions, redirects};

/// The most addresses of one kind.
const MAX_URIS: usize = 20;
/// The most bytes of a JWK Set.
pub(crate) const MAX_JWKS: usize = 16 * 1024;

/// A client as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) auth: ClientAuth,
    pub(crate) jwks: Option<String>,
    pub(crate) jwks_uri: Option<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) post_logout_redirect_uris: Vec<String>,
    pub(crate) grant_types: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) backchannel_logout_uri: Option<String>,
    pub(crate) id_token_alg: String,
    pub(crate) require_par: bool,
    pub(crate) dpop_bound: bool,
    pub(crate) first_party: bool,
}

// === impl Metadata ===

impl Default for Metadata {
    fn default() -> Self {
        Self {
            name: String::new(),
            auth: ClientAuth::SecretBasic,
            jwks: None,
            jwks_uri: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            grant_types: vec![AUTHORIZATION_CODE.to_owned()],
            scopes: Vec::new(),
            backchannel_logout_uri: None,
            id_token_alg: "ES256".to_owned(),
            require_par: false,
            dpop_bound: false,
            first_party: false,
        }
    }
}

impl Metadata {
    /// What a client has now.
    pub(crate) fn of(client: &Client) -> Self {
        Self {
            name: client.name.clone(),
            auth: client.auth,
            jwks: client.jwks.clone(),
            jwks_uri: client.jwks_uri.clone(),
            redirect_uris: client.redirect_uris.clone(),
            post_logout_redirect_uris: client.post_logout_redirect_uris.clone(),
            grant_types: client.grant_types.clone(),
            scopes: client.scopes.clone(),
            backchannel_logout_uri: client.backchannel_logout_uri.clone(),
            id_token_alg: client.id_token_alg.clone(),
            require_par: client.require_par,
            dpop_bound: client.dpop_bound,
            first_party: client.first_party,
        }
    }

    /// The client with this instead of what it had.
    pub(crate) fn onto(self, client: Client) -> Client {
        Client {
            name: self.name,
            auth: self.auth,
            jwks: self.jwks,
            jwks_uri: self.jwks_uri,
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            grant_types: self.grant_types,
            scopes: self.scopes,
            backchannel_logout_uri: self.backchannel_logout_uri,
            id_token_alg: self.id_token_alg,
            require_par: self.require_par,
            dpop_bound: self.dpop_bound,
            first_party: self.first_party,
            ..client
        }
    }

    /// Checks everything that does not depend on who asks. `contract` are the permissions there are.
    pub(crate) fn check(self, contract: &[String]) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        wrong.check(
            is_line(&self.name, 1, 100),
            "name",
            "must have 1 to 100 characters and no control characters",
        );
        self.check_grants(&mut wrong);
        self.check_uris(&mut wrong);
        self.check_keys(&mut wrong);
        let scopes_fit = self.scopes.len() <= permissions::MAX_SCOPES
            && self.scopes.iter().all(|scope| is_known_scope(scope, contract));
        wrong.check(
            scopes_fit,
            "scopes",
            "must be at most 100 permissions or patterns of the contract, or openid, profile, email, groups, \
             offline_access",
        );
        wrong.check(
            matches!(self.id_token_alg.as_str(), "ES256" | "RS256"),
            "id_token_signed_response_alg",
            "must be ES256 or RS256",
        );
        wrong.finish(self)
    }

    /// Checks what a client may ask for that registers itself.
    pub(crate) fn check_dynamic(self, contract: &[String]) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let own = [AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE];
        let grants_fit = self.grant_types.iter().all(|grant| own.contains(&grant.as_str()));
        wrong.check(
            grants_fit,
            "grant_types",
            "may be authorization_code, refresh_token and device_code; others are given by an administrator",
        );
        wrong.check(!self.first_party, "first_party", "is given by an administrator");
        wrong.finish(())?;
        self.check(contract)
    }

    fn check_grants(&self, wrong: &mut Violations) {
        let known = self.grant_types.iter().all(|grant| GRANT_TYPES.contains(&grant.as_str()));
        wrong.check(
            known && !self.grant_types.is_empty() && self.grant_types.len() <= GRANT_TYPES.len(),
            "grant_types",
            "must be some of authorization_code, refresh_token, client_credentials and the URNs of device_code, \
             token-exchange and jwt-bearer",
        );
        let has = |name: &str| self.grant_types.iter().any(|grant| grant == name);
        let alone = [CLIENT_CREDENTIALS, super::TOKEN_EXCHANGE].into_iter().any(has);
        wrong.check(
            !alone || self.auth != ClientAuth::None,
            "token_endpoint_auth_method",
            "cannot be none with client_credentials or token-exchange",
        );
        wrong.check(
            !has(AUTHORIZATION_CODE) || !self.redirect_uris.is_empty(),
            "redirect_uris",
            "must name at least one address for authorization_code",
        );
    }

    fn check_uris(&self, wrong: &mut Violations) {
        let native = self.auth == ClientAuth::None;
        let lists = [
            ("redirect_uris", &self.redirect_uris),
            ("post_logout_redirect_uris", &self.post_logout_redirect_uris),
        ];
        for (field, uris) in lists {
            wrong.check(uris.len() <= MAX_URIS, field, "may name at most 20 addresses");
            for refusal in uris.iter().filter_map(|uri| redirects::refusal(uri, native)) {
                wrong.check(false, field, refusal);
            }
        }
        let single = [
            ("jwks_uri", &self.jwks_uri),
            ("backchannel_logout_uri", &self.backchannel_logout_uri),
        ];
        for (field, uri) in single {
            if let Some(refusal) = uri.as_ref().and_then(|uri| redirects::refusal(uri, false)) {
                wrong.check(false, field, refusal);
            }
        }
    }

    fn check_keys(&self, wrong: &mut Violations) {
        wrong.check(
            self.jwks.is_none() || self.jwks_uri.is_none(),
            "jwks",
            "and jwks_uri are two ways to say the same; give one of them",
        );
        wrong.check(
            self.auth != ClientAuth::PrivateKeyJwt
                || self.jwks.is_some()
                || self.jwks_uri.is_some(),
            "jwks",
            "or jwks_uri is needed for private_key_jwt",
        );
        if let Some(set) = &self.jwks {
            wrong.check(set.len() <= MAX_JWKS, "jwks", "must have at most 16 KiB");
            if let Err(refusal) = jwks::check(set) {
                wrong.check(false, "jwks", refusal);
            }
        }
    }
}

fn is_known_scope(scope: &str, contract: &[String]) -> bool {
    is_oidc_scope(scope) || permissions::is_known(scope, contract)
}

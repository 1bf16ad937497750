//! The `[auth]` section of the configuration.
//!
//! Every default is right for one machine. The issuer is configured and never taken from a request's
//! `Host`, because whoever chooses that header would otherwise choose where tokens claim to come from.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use lightning_mesh::{
    clock::Timestamp,
    config::{Secret, duration},
    identity::DEFAULT_ORGANIZATION,
};
use serde::Deserialize;

use crate::{
    Error, contract,
    domain::{
        clients::{
            AUTHORIZATION_CODE, Client, ClientAuth, ClientSecret, OWN_CLIENT, REFRESH_TOKEN,
            metadata::Metadata,
        },
        redirects,
    },
    secrets,
};

mod accounts;

pub(crate) use accounts::is_loopback;
pub use accounts::{Mail, Upstream};

/// The `[auth]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The issuer of tokens: the address under which users reach this service, without a trailing
    /// slash. Default `http://localhost:8006`.
    pub issuer: String,
    /// Who may register once the first user exists. Default `closed`.
    pub registration: Registration,
    /// Where authorization codes may be sent besides loopback addresses; compared character by
    /// character. At most 100. Default none.
    pub redirect_uris: Vec<String>,
    /// How long an access token lives, 10 seconds to 1 hour. Default `5m`.
    #[serde(with = "duration")]
    pub access_token_ttl: Duration,
    /// How long a session lives at most, however often it is refreshed, up to 400 days. Default `30d`.
    #[serde(with = "duration")]
    pub session_lifetime: Duration,
    /// How long a session lives without being refreshed; no longer than its lifetime. Default `7d`.
    #[serde(with = "duration")]
    pub session_idle: Duration,
    /// How long a signing key signs before the next one follows, from `signing_key_lead` to 400 days.
    /// Default `30d`.
    #[serde(with = "duration")]
    pub signing_key_period: Duration,
    /// How long the next signing key is published before it signs, 2 seconds to 7 days. Others may keep
    /// the published keys half as long, 5 minutes at most. Default `1h`.
    #[serde(with = "duration")]
    pub signing_key_lead: Duration,
    /// The file of 32 random bytes that seals the signing keys in the database; readable by its owner
    /// alone. Instances that share a database need the same one. Default `auth-keys/seal.key` in the
    /// data directory, made at the first start.
    pub sealing_key_file: Option<PathBuf>,
    /// The resource indicators (RFC 8707) under which applications may ask for tokens for one service:
    /// addresses and the words of the services, at most 100. Default where each service listens:
    /// `"http://localhost:8001" = "agents"` and so on.
    pub resources: BTreeMap<String, String>,
    /// How long somebody stays signed in in a browser at most, 5 minutes to 400 days. Default `7d`.
    #[serde(with = "duration")]
    pub browser_session_lifetime: Duration,
    /// How long somebody stays signed in in a browser that is not used; no longer than the lifetime.
    /// Default `12h`.
    #[serde(with = "duration")]
    pub browser_session_idle: Duration,
    /// How many passwords are hashed at once, 1 to 64; each takes 19 MiB and about 20 ms of a core.
    /// Default 2.
    pub password_workers: usize,
    /// How many more may wait for their turn, up to 10,000; beyond that logins are refused with a
    /// moment to retry. Default 64.
    pub password_queue: usize,
    /// How messages are sent. Default: they are not.
    pub mail: Option<Mail>,
    /// Other providers whose users may log in here, at most 20. Default none.
    pub upstream: Vec<Upstream>,
    /// Applications that are declared here (`[[auth.clients]]`), at most 1,000. The API shows them and
    /// does not change them. Default none.
    pub clients: Vec<DeclaredClient>,
    /// Who may register applications at `/oauth/register` (RFC 7591). Unset: `open` while the issuer is
    /// on loopback, because MCP clients on the same machine expect it and nobody else gets there, and
    /// `token` elsewhere.
    pub dynamic_registration: Option<DynamicRegistration>,
    /// How many applications that registered themselves there may be, up to 100,000. Default 1,000.
    pub dynamic_clients: u32,
    /// How many an address may register in an hour, 1 to 10,000. Default 20.
    pub dynamic_clients_per_address: u32,
    /// After how long an application that registered itself and never got a token is deleted, 1 hour to
    /// 400 days. Default `1d`.
    #[serde(with = "duration")]
    pub dynamic_client_unused: Duration,
    /// How long a refresh token that was used gets the same successor again instead of ending its
    /// session, up to 1 minute; for clients whose answer was lost. 0 ends it at once. Default `10s`.
    #[serde(with = "duration")]
    pub refresh_grace: Duration,
    /// How long audit events are kept, 1 day to 100 years. Default `400d`.
    #[serde(with = "duration")]
    pub audit_retention: Duration,
}

/// Who may register applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DynamicRegistration {
    /// Nobody.
    Closed,
    /// Callers with `clients.write`, with their access token as the initial one.
    Token,
    /// Anyone, within the quotas.
    Open,
}

/// An application that the configuration declares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredClient {
    /// The id: 1 to 200 visible ASCII characters.
    pub id: String,
    /// For pages.
    pub name: String,
    /// The organisation that it belongs to. Default `default`.
    pub organization_id: String,
    /// The secret, of at least 32 characters; none for a public client or one with keys.
    pub secret: Option<Secret>,
    /// A file with the secret instead.
    pub secret_file: Option<std::path::PathBuf>,
    /// Where its public keys are, for `private_key_jwt`.
    pub jwks_uri: Option<String>,
    /// Its public keys (a JWK Set as JSON) instead.
    pub jwks: Option<String>,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// Where users may be sent after logging out.
    pub post_logout_redirect_uris: Vec<String>,
    /// The grant types. Default `authorization_code` and `refresh_token`.
    pub grant_types: Vec<String>,
    /// The scopes that it may ask for; empty for what its users may.
    pub scopes: Vec<String>,
    /// Where it is told that a user logged out.
    pub backchannel_logout_uri: Option<String>,
    /// `ES256` or `RS256`. Default `ES256`.
    pub id_token_signed_response_alg: String,
    /// Whether it has to push its authorization requests (RFC 9126).
    pub require_pushed_authorization_requests: bool,
    /// Whether its access tokens are bound to a key (RFC 9449).
    pub dpop_bound_access_tokens: bool,
    /// One of our own: nobody is asked for consent.
    pub first_party: bool,
}

// === impl DeclaredClient ===

impl Default for DeclaredClient {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            organization_id: DEFAULT_ORGANIZATION.to_owned(),
            secret: None,
            secret_file: None,
            jwks_uri: None,
            jwks: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            grant_types: vec![AUTHORIZATION_CODE.to_owned(), REFRESH_TOKEN.to_owned()],
            scopes: Vec::new(),
            backchannel_logout_uri: None,
            id_token_signed_response_alg: "ES256".to_owned(),
            require_pushed_authorization_requests: false,
            dpop_bound_access_tokens: false,
            first_party: false,
        }
    }
}

impl DeclaredClient {
    fn client(&self) -> Result<Client, Error> {
        let wrong = |what: &str| Error::Config {
            key: "clients",
            what: format!("declares {:?}, which {what}", self.id),
        };
        let id_fits = (1..=200).contains(&self.id.len())
            && self.id.bytes().all(|byte| byte.is_ascii_graphic())
            && self.id != OWN_CLIENT;
        if !id_fits {
            return Err(wrong("is not an id of 1 to 200 visible ASCII characters, or is taken"));
        }
        let secret = match (&self.secret, &self.secret_file) {
            (Some(_), Some(_)) => return Err(wrong("has both secret and secret_file")),
            (Some(secret), None) => Some(secret.expose().to_owned()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| wrong(&format!("has a secret_file: {error}")))?;
                Some(text.trim().to_owned())
            }
            (None, None) => None,
        };
        if secret.as_ref().is_some_and(|secret| !(32..=500).contains(&secret.len())) {
            return Err(wrong("has a secret of fewer than 32 or more than 500 characters"));
        }
        let auth = match (&secret, self.jwks.is_some() || self.jwks_uri.is_some()) {
            (Some(_), true) => return Err(wrong("has both a secret and keys")),
            (Some(_), false) => ClientAuth::SecretBasic,
            (None, true) => ClientAuth::PrivateKeyJwt,
            (None, false) => ClientAuth::None,
        };
        let metadata = Metadata {
            name: if self.name.is_empty() { self.id.clone() } else { self.name.clone() },
            auth,
            jwks: self.jwks.clone(),
            jwks_uri: self.jwks_uri.clone(),
            redirect_uris: self.redirect_uris.clone(),
            post_logout_redirect_uris: self.post_logout_redirect_uris.clone(),
            grant_types: self.grant_types.clone(),
            scopes: self.scopes.clone(),
            backchannel_logout_uri: self.backchannel_logout_uri.clone(),
            id_token_alg: self.id_token_signed_response_alg.clone(),
            require_par: self.require_pushed_authorization_requests,
            dpop_bound: self.dpop_bound_access_tokens,
            first_party: self.first_party,
        };
        let metadata = metadata.check(contract::permissions()).map_err(|violations| {
            let first = violations.0.first();
            wrong(&first.map_or_else(
                || "is not valid".to_owned(),
                |one| format!("is not valid: {} {}", one.field, one.text),
            ))
        })?;
        let hashed = secret.map(|secret| ClientSecret {
            hash: secrets::hash(secret),
            created_at: Timestamp::default(),
            expires_at: None,
        });
        Ok(metadata.onto(Client {
            id: self.id.clone(),
            organization_id: self.organization_id.clone(),
            secrets: hashed.into_iter().collect(),
            ..Client::own()
        }))
    }
}

/// The services and their documented ports.
pub(crate) const PORTS: [(&str, u16); 8] = [
    ("gateway", 8000),
    ("agents", 8001),
    ("enhanced", 8002),
    ("workflows", 8003),
    ("integrations", 8004),
    ("models", 8005),
    ("auth", 8006),
    ("monitoring", 8051),
];

/// Who may register once the first user exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Only callers with `auth.write` make users.
    #[default]
    Closed,
    /// Anyone may become a viewer.
    Open,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            issuer: "http://localhost:8006".to_owned(),
            registration: Registration::Closed,
            redirect_uris: Vec::new(),
            access_token_ttl: Duration::from_mins(5),
            session_lifetime: Duration::from_hours(30 * 24),
            session_idle: Duration::from_hours(7 * 24),
            signing_key_period: Duration::from_hours(30 * 24),
            signing_key_lead: Duration::from_hours(1),
            sealing_key_file: None,
            resources: PORTS
                .iter()
                .map(|(word, port)| Self::resource("http", word, *port))
                .collect(),
            browser_session_lifetime: Duration::from_hours(7 * 24),
            browser_session_idle: Duration::from_hours(12),
            password_workers: 2,
            password_queue: 64,
            clients: Vec::new(),
            dynamic_registration: None,
            dynamic_clients: 1_000,
            dynamic_clients_per_address: 20,
            dynamic_client_unused: Duration::from_hours(24),
            refresh_grace: Duration::from_secs(10),
            audit_retention: Duration::from_hours(400 * 24),
            mail: None,
            upstream: Vec::new(),
        }
    }
}

impl Config {
    /// The resource of a service at an address, as the defaults have it.
    #[must_use]
    pub fn resource(scheme: &str, word: &str, port: u16) -> (String, String) {
        (format!("{scheme}://localhost:{port}"), word.to_owned())
    }

    /// Refuses values that cannot work, naming the first one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |key, what: &str| Err(Error::Config { key, what: what.to_owned() });
        if !is_issuer(&self.issuer) {
            return wrong(
                "issuer",
                "must be http://host[:port] or https://host[:port] with at most a path, without a \
                 trailing slash, query or fragment",
            );
        }
        if self.redirect_uris.len() > 100 {
            return wrong("redirect_uris", "may name at most 100 addresses");
        }
        if let Some(uri) = self.redirect_uris.iter().find(|uri| !redirects::is_well_formed(uri)) {
            return wrong(
                "redirect_uris",
                &format!("{uri:?} is not an absolute address without fragment"),
            );
        }
        self.check_times()?;
        if self.resources.len() > 100 {
            return wrong("resources", "may name at most 100 addresses");
        }
        if let Some(address) = self.resources.keys().find(|&uri| !redirects::is_well_formed(uri)) {
            return wrong(
                "resources",
                &format!("{address:?} is not an absolute address without fragment"),
            );
        }
        if let Some(word) =
            self.resources.values().find(|word| !PORTS.iter().any(|(known, _)| known == word))
        {
            return wrong("resources", &format!("{word:?} is no service of the mesh"));
        }
        if !(1..=64).contains(&self.password_workers) {
            return wrong("password_workers", "must be 1 to 64");
        }
        self.check_clients()?;
        if !(Duration::from_hours(24)..=Duration::from_hours(36_600 * 24))
            .contains(&self.audit_retention)
        {
            return wrong("audit_retention", "must be 1d to 36600d");
        }
        if self.password_queue > 10_000 {
            return wrong("password_queue", "must be at most 10,000");
        }
        if let Some(mail) = &self.mail {
            mail.check()?;
        }
        if self.upstream.len() > 20 {
            return wrong("upstream", "may name at most 20 providers");
        }
        for (at, one) in self.upstream.iter().enumerate() {
            one.check()?;
            if self.upstream[..at].iter().any(|other| other.name == one.name) {
                return wrong("upstream", "names must differ");
            }
        }
        Ok(())
    }
}

impl Config {
    fn check_times(&self) -> Result<(), Error> {
        let wrong = |key, what: &str| Err(Error::Config { key, what: what.to_owned() });
        if !(Duration::from_secs(10)..=Duration::from_hours(1)).contains(&self.access_token_ttl) {
            return wrong("access_token_ttl", "must be 10s to 1h");
        }
        if !(Duration::from_mins(1)..=Duration::from_hours(400 * 24))
            .contains(&self.session_lifetime)
        {
            return wrong("session_lifetime", "must be 1m to 400d");
        }
        if self.session_idle > self.session_lifetime || self.session_idle < Duration::from_secs(10)
        {
            return wrong("session_idle", "must be 10s to session_lifetime");
        }
        if !(Duration::from_secs(2)..=Duration::from_hours(7 * 24)).contains(&self.signing_key_lead)
        {
            return wrong("signing_key_lead", "must be 2s to 7d");
        }
        if !(self.signing_key_lead..=Duration::from_hours(400 * 24))
            .contains(&self.signing_key_period)
        {
            return wrong("signing_key_period", "must be signing_key_lead to 400d");
        }
        let browser = Duration::from_mins(5)..=Duration::from_hours(400 * 24);
        if !browser.contains(&self.browser_session_lifetime) {
            return wrong("browser_session_lifetime", "must be 5m to 400d");
        }
        if self.browser_session_idle > self.browser_session_lifetime
            || self.browser_session_idle < Duration::from_mins(1)
        {
            return wrong("browser_session_idle", "must be 1m to browser_session_lifetime");
        }
        Ok(())
    }

    fn check_clients(&self) -> Result<(), Error> {
        let wrong = |key, what: &str| Err(Error::Config { key, what: what.to_owned() });
        if self.clients.len() > 1_000 {
            return wrong("clients", "may declare at most 1,000 applications");
        }
        let clients = self.declared_clients()?;
        let ids: std::collections::HashSet<&str> =
            clients.iter().map(|client| client.id.as_str()).collect();
        if ids.len() < clients.len() {
            return wrong("clients", "declares an id twice");
        }
        if self.dynamic_clients > 100_000 {
            return wrong("dynamic_clients", "must be at most 100,000");
        }
        if !(1..=10_000).contains(&self.dynamic_clients_per_address) {
            return wrong("dynamic_clients_per_address", "must be 1 to 10,000");
        }
        let unused = Duration::from_hours(1)..=Duration::from_hours(400 * 24);
        if !unused.contains(&self.dynamic_client_unused) {
            return wrong("dynamic_client_unused", "must be 1h to 400d");
        }
        if self.refresh_grace > Duration::from_mins(1) {
            return wrong("refresh_grace", "must be at most 1m");
        }
        Ok(())
    }

    /// The applications that are declared.
    pub(crate) fn declared_clients(&self) -> Result<Vec<Client>, Error> {
        self.clients.iter().map(DeclaredClient::client).collect()
    }

    /// Whether the issuer is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let Ok(url) = url::Url::parse(&self.issuer) else {
            return false;
        };
        match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
    }

    /// Who may register applications.
    pub(crate) fn dynamic_registration(&self) -> DynamicRegistration {
        let usual = match self.is_loopback() {
            true => DynamicRegistration::Open,
            false => DynamicRegistration::Token,
        };
        self.dynamic_registration.unwrap_or(usual)
    }
}

fn is_issuer(text: &str) -> bool {
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    has_scheme
        && redirects::is_well_formed(text)
        && text.len() <= 200
        && !text.ends_with('/')
        && !text.contains(['?', '#', '"'])
}

#[cfg(test)]
mod tests;

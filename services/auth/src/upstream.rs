//! Logging in at another OpenID Provider: the relying party's half, as the `openidconnect` library has it.
//!
//! The provider's metadata and keys are read when they are needed and kept for an hour. Everything goes
//! to the configured issuer and to what its metadata names, over TLS unless it is on this machine; no
//! redirect is followed and no answer may be large. Code flow with PKCE, a nonce, and an ID token whose
//! signature, issuer, audience and times the library checks. Whose browser it is and what becomes of the
//! person is decided in `logic`.

use std::{future::Future, pin::Pin, time::Duration};

use lightning_mesh::{
    clock::{Clock, Timestamp},
    config::Secret,
};
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    Error,
    config::{Config, Upstream, is_loopback},
    domain::upstream::Identity,
    error::FactorError,
};

/// How long metadata and keys are kept.
const KEPT: Duration = Duration::from_hours(1);
/// How long a provider may take for one answer, and how large it may be.
const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: usize = 1 << 20;

/// All configured providers.
pub(crate) struct Upstreams {
    providers: Vec<Provider>,
    http: Asker,
    issuer: String,
}

/// Asks providers.
struct Asker(reqwest::Client);

struct Provider {
    config: Upstream,
    secret: Option<Secret>,
    metadata: Mutex<Option<(Timestamp, CoreProviderMetadata)>>,
}

/// The way there, begun.
pub(crate) struct Begun {
    /// Where to send the browser.
    pub(crate) url: String,
    /// What the way back is checked against.
    pub(crate) pending: Pending,
}

/// What has to be remembered until the browser is back. Has no `Debug`: the verifier is a secret.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pending {
    nonce: String,
    verifier: String,
}

#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error("the provider cannot be reached")]
    Request(#[from] reqwest::Error),
    #[error("the provider names an address that is not safe to ask")]
    Unsafe,
    #[error("the provider's answer is larger than 1 MiB")]
    Large,
    #[error("the provider's answer is not HTTP")]
    Malformed(#[from] http::Error),
}

// === impl Upstreams ===

impl Upstreams {
    /// Reads the secrets; asks nobody yet.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let wrong = |what: String| Error::Config { key: "upstream", what };
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        let mut providers = Vec::with_capacity(config.upstream.len());
        for one in &config.upstream {
            let secret = one.client_secret.load().map_err(|error| wrong(error.to_string()))?;
            providers.push(Provider { config: one.clone(), secret, metadata: Mutex::new(None) });
        }
        Ok(Self { providers, http: Asker(http), issuer: config.issuer.clone() })
    }

    /// The names in addresses and on pages.
    pub(crate) fn names(&self) -> Vec<(&str, &str)> {
        self.providers.iter().map(|one| (one.config.name.as_str(), one.config.title())).collect()
    }

    /// Whether somebody new from there becomes a user.
    pub(crate) fn registers(&self, name: &str) -> bool {
        self.provider(name).is_ok_and(|one| one.config.register)
    }

    fn provider(&self, name: &str) -> Result<&Provider, Error> {
        let found = self.providers.iter().find(|one| one.config.name == name);
        found.ok_or(Error::Factor(FactorError::UpstreamRefused))
    }

    /// Begins the way to a provider. `state` comes back with the browser.
    pub(crate) async fn begin(
        &self,
        name: &str,
        state: &str,
        clock: &Clock,
    ) -> Result<Begun, Error> {
        let provider = self.provider(name)?;
        let metadata = self.metadata(provider, clock).await?;
        let client = CoreClient::from_provider_metadata(
            metadata,
            ClientId::new(provider.config.client_id.clone()),
            provider.client_secret(),
        )
        .set_redirect_uri(self.redirect_uri(name)?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = provider.config.scopes.iter().cloned().map(Scope::new);
        let state = state.to_owned();
        let (url, _, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state),
                Nonce::new_random,
            )
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        let pending =
            Pending { nonce: nonce.secret().clone(), verifier: verifier.secret().clone() };
        Ok(Begun { url: url.to_string(), pending })
    }

    /// Exchanges the code that the browser brought back for the person.
    pub(crate) async fn finish(
        &self,
        name: &str,
        code: &str,
        pending: &Pending,
        clock: &Clock,
    ) -> Result<Identity, Error> {
        let provider = self.provider(name)?;
        let metadata = self.metadata(provider, clock).await?;
        let client = CoreClient::from_provider_metadata(
            metadata,
            ClientId::new(provider.config.client_id.clone()),
            provider.client_secret(),
        )
        .set_redirect_uri(self.redirect_uri(name)?);
        let tokens = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(refused)?
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.clone()))
            .request_async(&self.http)
            .await
            .map_err(refused)?;
        let verifier = client.id_token_verifier();
        let token = tokens.id_token().ok_or(Error::Factor(FactorError::UpstreamRefused))?;
        let claims =
            token.claims(&verifier, &Nonce::new(pending.nonce.clone())).map_err(refused)?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let email = claims.email().filter(|_| claims.email_verified() == Some(true));
        Ok(Identity {
            issuer: claims.issuer().to_string(),
            subject: claims.subject().to_string(),
            username: text(claims.preferred_username().map(|name| name.as_str())),
            display_name: text(
                claims.name().and_then(|name| name.get(None)).map(|name| name.as_str()),
            ),
            email: email.map(|email| email.to_string()),
        })
    }

    /// Whether the `iss` that came with a code (RFC 9207) is the provider's.
    pub(crate) fn is_issuer(&self, name: &str, iss: &str) -> bool {
        let plain = |text: &str| text.trim_end_matches('/').to_owned();
        self.provider(name).is_ok_and(|one| plain(&one.config.issuer) == plain(iss))
    }

    fn redirect_uri(&self, name: &str) -> Result<RedirectUrl, Error> {
        let text = format!("{}/account/upstream/{name}/callback", self.issuer);
        RedirectUrl::new(text).map_err(refused)
    }

    async fn metadata(
        &self,
        provider: &Provider,
        clock: &Clock,
    ) -> Result<CoreProviderMetadata, Error> {
        let now = clock.now();
        let mut kept = provider.metadata.lock().await;
        if let Some((at, metadata)) = kept.as_ref()
            && now.since(*at) < KEPT
        {
            return Ok(metadata.clone());
        }
        let issuer = IssuerUrl::new(provider.config.issuer.clone()).map_err(refused)?;
        let metadata =
            CoreProviderMetadata::discover_async(issuer, &self.http).await.map_err(refused)?;
        *kept = Some((now, metadata.clone()));
        Ok(metadata)
    }
}

// === impl Asker ===

impl<'c> AsyncHttpClient<'c> for Asker {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

impl Asker {
    /// Asks a provider over HTTP.
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| HttpError::Unsafe)?;
        if url.scheme() != "https" && !is_loopback(&url) {
            return Err(HttpError::Unsafe);
        }
        let (parts, body) = request.into_parts();
        let request = self.0.request(parts.method, url).headers(parts.headers).body(body);
        let mut response = request.send().await?;
        let mut answer = http::Response::builder().status(response.status());
        for (name, value) in response.headers() {
            answer = answer.header(name, value);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > LARGEST {
                return Err(HttpError::Large);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(answer.body(bytes)?)
    }
}

// === impl Provider ===

impl Provider {
    fn client_secret(&self) -> Option<ClientSecret> {
        self.secret.as_ref().map(|secret| ClientSecret::new(secret.expose().to_owned()))
    }
}

/// Logs why without what was secret: the library's errors name rules and not values.
fn refused(error: impl std::error::Error) -> Error {
    tracing::info!(error = %error, "a login at another provider did not succeed");
    Error::Factor(FactorError::UpstreamRefused)
}

//! Dynamic registration (RFC 7591) and what a client may do with its registration (RFC 7592).
//!
//! Unknown metadata is ignored, as the RFC says, and the answer shows what was kept of it.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CallerAddress,
    error::{OauthError, OauthResult},
};
use crate::{
    domain::clients::{
        AUTHORIZATION_CODE, Client, ClientAuth,
        metadata::{MAX_JWKS, Metadata},
    },
    logic::{Auth, registration::Registered},
};

/// The most bytes of a registration.
const MAX_BODY: usize = MAX_JWKS + 16 * 1024;
/// The most bytes of the `scope` of a registration.
const MAX_SCOPE: usize = 4_000;

/// What a client says of itself. What is not here is ignored.
#[derive(Deserialize)]
#[serde(default)]
struct Said {
    client_id: Option<String>,
    client_secret: Option<String>,
    client_name: Option<String>,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    token_endpoint_auth_method: String,
    grant_types: Vec<String>,
    response_types: Vec<String>,
    scope: String,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
    backchannel_logout_uri: Option<String>,
    id_token_signed_response_alg: String,
    subject_type: String,
    require_pushed_authorization_requests: bool,
    dpop_bound_access_tokens: bool,
}

// === impl Said ===

impl Default for Said {
    fn default() -> Self {
        Self {
            client_id: None,
            client_secret: None,
            client_name: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            token_endpoint_auth_method: ClientAuth::SecretBasic.name().to_owned(),
            grant_types: vec![AUTHORIZATION_CODE.to_owned()],
            response_types: vec!["code".to_owned()],
            scope: String::new(),
            jwks: None,
            jwks_uri: None,
            backchannel_logout_uri: None,
            id_token_signed_response_alg: "ES256".to_owned(),
            subject_type: "public".to_owned(),
            require_pushed_authorization_requests: false,
            dpop_bound_access_tokens: false,
        }
    }
}

impl Said {
    fn read(body: &[u8]) -> OauthResult<Self> {
        let metadata = |text: &str| OauthError::new("invalid_client_metadata", text.to_owned());
        if body.len() > MAX_BODY {
            return Err(OauthError {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..metadata("a registration has at most 32 KiB")
            });
        }
        serde_json::from_slice(body)
            .map_err(|error| metadata(&format!("the metadata cannot be read: {error}")))
    }

    fn metadata(self) -> OauthResult<Metadata> {
        let wrong = |text: &str| OauthError::new("invalid_client_metadata", text.to_owned());
        let auth = ClientAuth::parse(&self.token_endpoint_auth_method);
        if self.response_types.iter().any(|kind| kind != "code") {
            return Err(wrong("response_types can only be code"));
        }
        if self.subject_type != "public" {
            return Err(wrong("subject_type can only be public"));
        }
        if self.scope.len() > MAX_SCOPE {
            return Err(wrong("scope has more than 4,000 bytes"));
        }
        let name = self.client_name.filter(|name| !name.trim().is_empty());
        Ok(Metadata {
            name: name
                .map_or_else(|| "Unnamed application".to_owned(), |name| name.trim().to_owned()),
            auth: auth.ok_or_else(|| {
                wrong(
                    "token_endpoint_auth_method must be client_secret_basic, client_secret_post, \
                     private_key_jwt or none",
                )
            })?,
            jwks: self.jwks.map(|set| set.to_string()),
            jwks_uri: self.jwks_uri,
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            grant_types: self.grant_types,
            scopes: self.scope.split_ascii_whitespace().map(str::to_owned).collect(),
            backchannel_logout_uri: self.backchannel_logout_uri,
            id_token_alg: self.id_token_signed_response_alg,
            require_par: self.require_pushed_authorization_requests,
            dpop_bound: self.dpop_bound_access_tokens,
            first_party: false,
        })
    }
}

/// `POST /oauth/register`.
pub(crate) async fn register(
    State(auth): State<Arc<Auth>>,
    CallerAddress(address): CallerAddress,
    headers: HeaderMap,
    body: Bytes,
) -> OauthResult<Response> {
    let caller = match bearer(&headers) {
        Some(token) => Some(auth.registrar(token).await?),
        None => None,
    };
    let metadata = Said::read(&body)?.metadata()?;
    let registered = auth.register_client(caller.as_ref(), metadata, address).await?;
    Ok(answer(StatusCode::CREATED, &registered, &auth.config().issuer))
}

/// `GET /oauth/register/{id}`.
pub(crate) async fn read(
    State(auth): State<Arc<Auth>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> OauthResult<Response> {
    let client = own(&auth, &id, &headers).await?;
    let registered = Registered { client, secret: None, registration_token: None };
    Ok(answer(StatusCode::OK, &registered, &auth.config().issuer))
}

/// `PUT /oauth/register/{id}`: replaces everything, so what is left out is gone.
pub(crate) async fn replace(
    State(auth): State<Arc<Auth>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> OauthResult<Response> {
    let client = own(&auth, &id, &headers).await?;
    let said = Said::read(&body)?;
    if said.client_id.as_deref() != Some(&client.id) {
        return Err(OauthError::invalid_request("client_id must be the client's"));
    }
    let knows = |secret: &String| client.knows_secret(secret, auth.now());
    if !said.client_secret.as_ref().is_none_or(knows) {
        return Err(OauthError::invalid_request("client_secret must be the present one"));
    }
    let registered = auth.change_registration(client, said.metadata()?).await?;
    Ok(answer(StatusCode::OK, &registered, &auth.config().issuer))
}

/// `DELETE /oauth/register/{id}`.
pub(crate) async fn remove(
    State(auth): State<Arc<Auth>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> OauthResult<Response> {
    let client = own(&auth, &id, &headers).await?;
    auth.unregister_client(&client).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn own(auth: &Auth, id: &str, headers: &HeaderMap) -> OauthResult<Client> {
    let missing = || OauthError::new("invalid_token", "send the registration access token");
    auth.registered_client(id, bearer(headers).ok_or_else(missing)?).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn answer(status: StatusCode, registered: &Registered, issuer: &str) -> Response {
    let client = &registered.client;
    let mut body = json!({
        "client_id": client.id,
        "client_id_issued_at": client.created_at.as_seconds(),
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "token_endpoint_auth_method": client.auth.name(),
        "grant_types": client.grant_types,
        "response_types": ["code"],
        "scope": client.scopes.join(" "),
        "id_token_signed_response_alg": client.id_token_alg,
        "subject_type": "public",
        "require_pushed_authorization_requests": client.require_par,
        "dpop_bound_access_tokens": client.dpop_bound,
        "registration_client_uri": format!("{issuer}/oauth/register/{}", client.id),
    });
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    put("jwks", client.jwks.as_ref().and_then(|set| serde_json::from_str(set).ok()));
    put("jwks_uri", client.jwks_uri.clone().map(Value::from));
    put("backchannel_logout_uri", client.backchannel_logout_uri.clone().map(Value::from));
    put("registration_access_token", registered.registration_token.clone().map(Value::from));
    if let Some(secret) = &registered.secret {
        put("client_secret", Some(Value::from(&**secret)));
        // It does not expire.
        put("client_secret_expires_at", Some(Value::from(0)));
    }
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

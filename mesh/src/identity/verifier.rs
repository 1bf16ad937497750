//! Checks credentials: mesh tokens against the mesh key, access tokens against auth's published keys,
//! API keys by asking auth.
//!
//! Answers about keys and access tokens are kept for a short while under a hash of the credential,
//! never under the credential itself, and dropped when auth says that something changed.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, Validation};
use lightning_proto::{
    auth::v1::{VerifyApiKeyRequest, access_service_client::AccessServiceClient},
    mesh::v1::ErrorReason,
};
use moka::future::Cache;
use serde::Deserialize;
use tonic::Code;

use super::{
    Caller, Tokens,
    access::{Access, AccessWatch},
    fingerprint, token,
};
use crate::{
    channel::Channel,
    clock::{Clock, Timestamp},
    fault::Fault,
};

/// What an API key begins with.
const API_KEY_PREFIX: &str = "lk_";
/// The `typ` of an access token.
const ACCESS_TOKEN_TYPE: &str = "at+jwt";
/// The audience that an access token must name.
const AUDIENCE: &str = "lightning";
/// Seconds that a token may be ahead of our clock.
const NOT_BEFORE_LEEWAY: i64 = 30;
/// The longest credential that is looked at, in bytes.
const MAX_CREDENTIAL: usize = 16 * 1024;
/// How many answers are kept, and for how long.
const CACHE_ENTRIES: u64 = 10_000;
const CACHE_TIME: Duration = Duration::from_secs(30);

/// Turns credentials into callers.
pub(crate) struct Verifier {
    tokens: Tokens,
    access: AccessWatch,
    auth: Channel,
    clock: Clock,
    known: Cache<String, Known>,
}

/// A caller that was verified before.
#[derive(Clone)]
struct Known {
    caller: Arc<Caller>,
    /// The revision of the access state under which it was verified.
    revision: i64,
    expires: Option<Timestamp>,
}

#[derive(Deserialize)]
struct AccessClaims {
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    sid: Option<String>,
    #[serde(default)]
    org_id: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    client_id: Option<String>,
}

impl Verifier {
    pub(crate) fn new(tokens: Tokens, access: AccessWatch, auth: Channel, clock: Clock) -> Self {
        let known = Cache::builder().max_capacity(CACHE_ENTRIES).time_to_live(CACHE_TIME).build();
        Self { tokens, access, auth, clock, known }
    }

    /// Whom a credential that came to `service` speaks for.
    pub(super) async fn verify(&self, credential: &str, service: &str) -> Result<Caller, Fault> {
        if credential.len() > MAX_CREDENTIAL {
            return Err(invalid_token());
        }
        if credential.starts_with(API_KEY_PREFIX) {
            return self.api_key(credential).await;
        }
        let header = jsonwebtoken::decode_header(credential).map_err(|_| invalid_token())?;
        match header.typ.as_deref() {
            Some(token::TYPE) => {
                self.tokens.verify(credential, service).map_err(|refusal| match refusal {
                    token::Refusal::Expired => expired_token(),
                    token::Refusal::Invalid => invalid_token(),
                })
            }
            Some(ACCESS_TOKEN_TYPE) => self.access_token(credential, header).await,
            Some(_) | None => Err(invalid_token()),
        }
    }

    /// Whether no user exists yet; fails closed if auth cannot say.
    pub(super) async fn is_open(&self) -> Result<bool, Fault> {
        Ok(self.access.get_live().await.ok_or_else(auth_unreachable)?.open)
    }

    async fn access_token(
        &self,
        token: &str,
        header: jsonwebtoken::Header,
    ) -> Result<Caller, Fault> {
        let access = self.access.get().await.ok_or_else(auth_unreachable)?;
        let name = fingerprint(token);
        if let Some(caller) = self.recall(&name, access.revision).await? {
            return Ok(caller);
        }
        let claims = decode(token, &header, &access).ok_or_else(invalid_token)?;
        let now = self.clock.now().as_seconds();
        if now >= claims.exp {
            return Err(expired_token());
        }
        if claims.nbf.is_some_and(|nbf| nbf > now + NOT_BEFORE_LEEWAY) {
            return Err(invalid_token());
        }
        if claims.sid.as_ref().is_some_and(|session| access.revoked.contains(session)) {
            return Err(invalid_token());
        }
        let expires = Some(Timestamp::from_micros(claims.exp.saturating_mul(1_000_000)));
        let subject = match claims.sub.contains(':') {
            true => claims.sub,
            false => format!("user:{}", claims.sub),
        };
        let mut caller = Caller::new(subject, claims.name, claims.permissions);
        caller.roles = claims.roles;
        caller.session_id = claims.sid;
        caller.organization_id = claims.org_id;
        caller.groups = claims.groups;
        caller.client_id = claims.client_id;
        self.remember(name, &caller, access.revision, expires).await;
        Ok(caller)
    }

    async fn api_key(&self, key: &str) -> Result<Caller, Fault> {
        let access = self.access.get().await.ok_or_else(auth_unreachable)?;
        let name = fingerprint(key);
        if let Some(caller) = self.recall(&name, access.revision).await? {
            return Ok(caller);
        }
        let request = VerifyApiKeyRequest { key: key.to_owned() };
        let answer = AccessServiceClient::new(self.auth.clone()).verify_api_key(request).await;
        let answer =
            answer.map(tonic::Response::into_inner).map_err(|status| match status.code() {
                Code::Unauthenticated | Code::NotFound | Code::InvalidArgument => invalid_key(),
                Code::Ok
                | Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::ResourceExhausted
                | Code::FailedPrecondition
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss => auth_unreachable().source(status),
            })?;
        let expires = answer.expire_time.as_ref().and_then(Timestamp::from_proto);
        if expires.is_some_and(|expires| self.clock.now() >= expires) {
            return Err(invalid_key());
        }
        let subject = format!("api-key:{}", answer.api_key_id);
        let mut caller = Caller::new(subject, answer.name, answer.permissions);
        caller.roles = answer.roles;
        caller.organization_id = answer.organization_id;
        caller.groups = answer.groups;
        caller.owner_id = Some(answer.user_id).filter(|id| !id.is_empty());
        self.remember(name, &caller, access.revision, expires).await;
        Ok(caller)
    }

    /// A caller verified before, unless something changed since.
    async fn recall(&self, name: &str, revision: i64) -> Result<Option<Caller>, Fault> {
        let Some(known) = self.known.get(name).await else {
            return Ok(None);
        };
        if known.revision != revision {
            return Ok(None);
        }
        if known.expires.is_some_and(|expires| self.clock.now() >= expires) {
            return Err(if known.caller.owner_id.is_some() {
                invalid_key()
            } else {
                expired_token()
            });
        }
        Ok(Some((*known.caller).clone()))
    }

    async fn remember(
        &self,
        name: String,
        caller: &Caller,
        revision: i64,
        expires: Option<Timestamp>,
    ) {
        let known = Known { caller: Arc::new(caller.clone()), revision, expires };
        self.known.insert(name, known).await;
    }
}

/// The algorithm is pinned and the key chosen by its id: nothing in the token decides how it is checked.
fn decode(token: &str, header: &jsonwebtoken::Header, access: &Access) -> Option<AccessClaims> {
    let key = access.keys.get(header.kid.as_ref()?)?;
    let mut validation = Validation::new(Algorithm::ES256);
    // Times are checked by the caller, against our own clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[&access.issuer]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    Some(jsonwebtoken::decode::<AccessClaims>(token, key, &validation).ok()?.claims)
}

fn invalid_token() -> Fault {
    Fault::unauthenticated(ErrorReason::TokenInvalid)
        .message("the token is not valid here; log in again or use another one, or send none while no user exists")
}

fn expired_token() -> Fault {
    Fault::unauthenticated(ErrorReason::TokenExpired)
        .message("the token has expired; refresh it or log in again")
}

fn invalid_key() -> Fault {
    Fault::unauthenticated(ErrorReason::ApiKeyInvalid)
        .message("the API key is unknown, expired or revoked")
}

fn auth_unreachable() -> Fault {
    Fault::unavailable(ErrorReason::AuthUnreachable)
        .message("the auth service cannot be asked who is calling; retry later")
        .retry_after(Duration::from_secs(1))
}

//! Access tokens, ID tokens and logout tokens, and the keys that sign and verify them.
//!
//! The keys in memory are those of the database as it was last read (`logic::keys` reads, makes and
//! deletes them); which of them signs and which verify follows from the time, asked at each token, so
//! that nothing needs to happen at the very moment at which they change. Minting reads no database.

use std::{
    fmt::Write as _,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lightning_mesh::clock::Timestamp;
use moka::sync::Cache;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    Error,
    domain::{
        keys::{Algorithm, KeyState, KeyTimes, Schedule},
        principals::Authentication,
    },
    secrets,
};

mod error;
pub(crate) mod files;
pub(crate) mod material;
mod tokens;

pub use error::KeyError;
pub(crate) use material::{Kind, Material};
pub(crate) use tokens::{
    AUDIENCE, AccessClaims, AccessToken, Actor, Confirmation, IdHint, IdToken, LogoutToken,
};

use self::tokens::{Audiences, Bound, Claims, IdClaims, LogoutClaims, act};

/// How long an ID token may be taken for a proof of the login that it follows.
const ID_TOKEN_TTL: Duration = Duration::from_mins(5);
/// How long a logout token is good (OpenID Connect Back-Channel Logout section 2.4 advises 2 minutes).
const LOGOUT_TOKEN_TTL: Duration = Duration::from_mins(2);
/// What a logout token is about.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How many access tokens that were read are remembered, and for how long.
const READ_ENTRIES: u64 = 10_000;
const READ_TIME: Duration = Duration::from_secs(30);
/// The longest token of ours that is looked at, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// Signs and verifies tokens. Has no `Debug`.
pub(crate) struct Signing {
    issuer: String,
    ttl: Duration,
    schedule: Schedule,
    ring: RwLock<Arc<Ring>>,
    /// Access tokens that were read, under their hashes: their signatures are not checked again.
    read: Cache<[u8; 32], Read>,
}

/// An access token that was read, and the key that had signed it.
#[derive(Clone)]
struct Read {
    kid: Arc<str>,
    claims: Arc<AccessClaims>,
}

/// The keys as the database has them.
#[derive(Default)]
struct Ring {
    /// What decides when each of them does what, in the same order.
    times: Vec<KeyTimes>,
    keys: Vec<Arc<Material>>,
}

/// The header of our tokens. Another member (`crit`, `jwk`, `jku`, `x5c`, `b64`) means that it is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

// === impl Signing ===

impl Signing {
    /// Signs nothing until [`Self::replace`] gave it keys.
    pub(crate) fn new(issuer: &str, ttl: Duration, schedule: Schedule) -> Self {
        let read = Cache::builder().max_capacity(READ_ENTRIES).time_to_live(READ_TIME).build();
        Self { issuer: issuer.to_owned(), ttl, schedule, ring: RwLock::default(), read }
    }

    /// The keys from now on. Those that were known before need not be opened again: see [`Self::known`].
    pub(crate) fn replace(&self, keys: Vec<(KeyTimes, Arc<Material>)>) {
        let (times, keys) = keys.into_iter().unzip();
        let ring = Arc::new(Ring { times, keys });
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// A key that is in memory already.
    pub(crate) fn known(&self, kid: &str) -> Option<Arc<Material>> {
        self.ring().keys.iter().find(|key| key.kid == kid).cloned()
    }

    /// The keys that are for something at `now`, and what.
    pub(crate) fn states(&self, now: Timestamp) -> Vec<(KeyTimes, KeyState, Option<Timestamp>)> {
        let ring = self.ring();
        let state = |key: &KeyTimes| {
            let state = self.schedule.state(key, &ring.times, now)?;
            Some((key.clone(), state, self.schedule.end_of(key, &ring.times)))
        };
        ring.times.iter().filter_map(state).collect()
    }

    /// What is known of all keys.
    pub(crate) fn times(&self) -> Vec<KeyTimes> {
        self.ring().times.clone()
    }

    /// The keys that are for nothing any more.
    pub(crate) fn over(&self, now: Timestamp) -> Vec<String> {
        let ring = self.ring();
        let is_over = |key: &&KeyTimes| self.schedule.state(key, &ring.times, now).is_none();
        ring.times.iter().filter(is_over).map(|key| key.kid.clone()).collect()
    }

    pub(crate) fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// The public keys of everything that verifies, as a JWK Set: the next ones first.
    pub(crate) fn jwks(&self, now: Timestamp) -> String {
        self.jwks_of(&Algorithm::ALL, now)
    }

    /// The public keys of access tokens alone, for the services of the mesh.
    pub(crate) fn access_jwks(&self, now: Timestamp) -> String {
        self.jwks_of(&[Algorithm::Es256], now)
    }

    fn jwks_of(&self, algorithms: &[Algorithm], now: Timestamp) -> String {
        let ring = self.ring();
        let mut keys: Vec<_> = ring
            .times
            .iter()
            .zip(&ring.keys)
            .filter(|(times, _)| algorithms.contains(&times.algorithm))
            .filter(|(times, _)| self.schedule.state(times, &ring.times, now).is_some())
            .collect();
        keys.sort_by(|(a, _), (b, _)| {
            (a.algorithm, b.active_at, &b.kid).cmp(&(b.algorithm, a.active_at, &a.kid))
        });
        let mut text = String::from("{\"keys\":[");
        for (place, (_, key)) in keys.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(text, "{comma}{}", key.jwk).expect("writing to a string cannot fail");
        }
        text.push_str("]}");
        text
    }

    /// What stands for these keys: changes when they do.
    pub(crate) fn etag(jwks: &str) -> String {
        format!("\"{}\"", half_hash(jwks))
    }

    /// How long an access token lives.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// An access token (RFC 9068).
    pub(crate) fn access_token(
        &self,
        token: &AccessToken<'_>,
        now: Timestamp,
    ) -> Result<String, Error> {
        let seconds = now.as_seconds();
        let expires = (now + self.ttl).min(token.not_after.unwrap_or(now + self.ttl));
        let aud = match token.audiences {
            [] => Audiences::Mesh([AUDIENCE]),
            audiences => Audiences::Named(audiences),
        };
        let claims = Claims {
            iss: &self.issuer,
            sub: token.principal.subject.sub(),
            aud,
            exp: expires.as_seconds(),
            iat: seconds,
            nbf: seconds,
            jti: lightning_mesh::id::generate(),
            sid: token.session_id,
            client_id: token.client_id,
            org_id: &token.principal.organization_id,
            name: &token.principal.name,
            roles: &token.principal.roles,
            groups: &token.principal.groups,
            permissions: token.permissions,
            reach: token.reach,
            scope: &token.scope,
            auth_time: token.authentication.map(|authentication| authentication.at.as_seconds()),
            acr: token.authentication.map(Authentication::class),
            amr: token.authentication.map(|authentication| &*authentication.methods),
            act: act(token.actors),
            cnf: token.jkt.map(|jkt| Bound { jkt }),
        };
        self.signer(Algorithm::Es256, now)?.token(Kind::Access, &claims)
    }

    /// An ID token (OpenID Connect Core section 2), good for 5 minutes.
    pub(crate) fn id_token(&self, token: &IdToken<'_>, now: Timestamp) -> Result<String, Error> {
        let claims = IdClaims {
            iss: &self.issuer,
            sub: token.subject,
            aud: token.client_id,
            azp: token.client_id,
            exp: (now + ID_TOKEN_TTL).as_seconds(),
            iat: now.as_seconds(),
            auth_time: token.authentication.at.as_seconds(),
            nonce: token.nonce,
            acr: token.authentication.class(),
            amr: &token.authentication.methods,
            at_hash: token.access_token.map(half_hash),
            c_hash: token.code.map(half_hash),
            sid: token.browser_session_id,
            claims: token.claims,
        };
        self.signer(token.algorithm, now)?.token(Kind::Id, &claims)
    }

    /// A logout token (OpenID Connect Back-Channel Logout section 2.4), good for 2 minutes.
    pub(crate) fn logout_token(
        &self,
        token: &LogoutToken<'_>,
        now: Timestamp,
    ) -> Result<String, Error> {
        let claims = LogoutClaims {
            iss: &self.issuer,
            aud: token.client_id,
            iat: now.as_seconds(),
            exp: (now + LOGOUT_TOKEN_TTL).as_seconds(),
            jti: lightning_mesh::id::generate(),
            events: json!({LOGOUT_EVENT: {}}),
            sub: token.subject,
            sid: token.browser_session_id,
        };
        self.signer(token.algorithm, now)?.token(Kind::Logout, &claims)
    }

    /// Reads an access token of ours that has not expired. Whether it was revoked is another question.
    pub(crate) fn read_access_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Option<Arc<AccessClaims>> {
        let name = secrets::sha256(token.as_bytes());
        let read = match self.read.get(&name) {
            Some(read) => read,
            None => {
                let (key, claims) = self.read(Kind::Access, token, now)?;
                let read = Read { kid: key.kid.as_str().into(), claims: Arc::new(claims) };
                self.read.insert(name, read.clone());
                read
            }
        };
        // What depends on the time is asked each time.
        self.verifier(&read.kid, now)?;
        let (claims, seconds) = (read.claims, now.as_seconds());
        let is_now = claims.nbf <= seconds && seconds < claims.exp;
        (claims.iss == self.issuer && is_now).then_some(claims)
    }

    /// Reads an ID token of ours that came as a hint, which may have expired as long as its key verifies.
    pub(crate) fn read_id_hint(&self, token: &str, now: Timestamp) -> Option<IdHint> {
        let (_, hint): (_, IdHint) = self.read(Kind::Id, token, now)?;
        (hint.iss == self.issuer).then_some(hint)
    }

    fn read<T: DeserializeOwned>(
        &self,
        kind: Kind,
        token: &str,
        now: Timestamp,
    ) -> Option<(Arc<Material>, T)> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (head, claims) = message.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        let key = self.verifier(&header.kid, now)?;
        let fits = header.alg == key.algorithm.name() && header.typ == kind.typ();
        let signature = URL_SAFE_NO_PAD.decode(signature).ok().filter(|_| fits)?;
        if !key.signed(message.as_bytes(), &signature) {
            return None;
        }
        let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        Some((key, claims))
    }

    /// The key that signs at `now`.
    fn signer(&self, algorithm: Algorithm, now: Timestamp) -> Result<Arc<Material>, Error> {
        let ring = self.ring();
        let active = ring
            .times
            .iter()
            .zip(&ring.keys)
            .filter(|(times, _)| times.algorithm == algorithm && times.active_at <= now)
            .max_by(|(a, _), (b, _)| (a.active_at, &a.kid).cmp(&(b.active_at, &b.kid)));
        active.map(|(_, key)| key.clone()).ok_or(Error::Signing)
    }

    /// The key with this id, if it verifies at `now`. A published one does: the clock of whoever signed
    /// may be ahead of ours.
    fn verifier(&self, kid: &str, now: Timestamp) -> Option<Arc<Material>> {
        let ring = self.ring();
        let place = ring.times.iter().position(|times| times.kid == kid)?;
        self.schedule.state(&ring.times[place], &ring.times, now)?;
        ring.keys.get(place).cloned()
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The left half of the SHA-256 (OpenID Connect Core section 3.1.3.6): both algorithms have that hash.
fn half_hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&secrets::sha256(text.as_bytes())[..16])
}

#[cfg(test)]
mod tests;

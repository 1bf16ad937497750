//! Mesh tokens: how services prove themselves to each other.
//!
//! A token is a JWT of type `mesh+jwt`, signed with the mesh key, good for one target service and one
//! minute. It names the service that calls and, unless that service acts for itself, the caller it acts
//! for. A token for `agents` is useless at `models`, and an old one anywhere.

use std::sync::Arc;

use http::HeaderValue;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use super::{Caller, MeshKey, fingerprint, minted::Minted};
use crate::clock::Clock;

/// The `typ` of a mesh token.
pub(crate) const TYPE: &str = "mesh+jwt";
/// What every token of ours begins with, so that most are told from others at a glance: the header
/// `{"typ":"mesh+jwt","alg":"HS256"}`.
pub(crate) const HEADER: &str = "eyJ0eXAiOiJtZXNoK2p3dCIsImFsZyI6IkhTMjU2In0.";
/// Seconds that a token is good for.
const LIFETIME: i64 = 60;
/// Seconds that the clocks of two machines may differ.
const SKEW: i64 = 30;
/// How many tokens that were read are remembered, under their fingerprints.
const READ_ENTRIES: u64 = 4_096;

/// Mints and reads mesh tokens. Clones share what they remember.
#[derive(Clone)]
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    clock: Clock,
    minted: Arc<Minted>,
    read: Cache<[u8; 32], Arc<Claims>>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    /// The word of the service that calls.
    service: String,
    /// The word of the service that is called.
    aud: String,
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<Caller>,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Expired,
    Invalid,
}

impl Tokens {
    pub(crate) fn new(key: &MeshKey, clock: Clock) -> Self {
        Self {
            encoding: EncodingKey::from_secret(key.bytes()),
            decoding: DecodingKey::from_secret(key.bytes()),
            clock,
            minted: Arc::new(Minted::new()),
            read: Cache::new(READ_ENTRIES),
        }
    }

    /// The `authorization` header with a token by which `service` calls `audience`, for `caller` or for
    /// itself. Calls that follow each other closely get the same one.
    pub(crate) fn bearer(
        &self,
        service: &str,
        audience: &str,
        caller: Option<&Caller>,
    ) -> Result<HeaderValue, jsonwebtoken::errors::Error> {
        let now = self.clock.now().as_seconds();
        self.minted.get_or_mint((service, audience, caller), now, || {
            let token = self.mint(service, audience, caller)?;
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .expect("a token is base64url and dots");
            value.set_sensitive(true);
            Ok(value)
        })
    }

    /// A token by which `service` calls `audience`, for `caller` or for itself.
    pub(crate) fn mint(
        &self,
        service: &str,
        audience: &str,
        caller: Option<&Caller>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = self.clock.now().as_seconds();
        let claims = Claims {
            service: service.to_owned(),
            aud: audience.to_owned(),
            iat: now,
            exp: now + LIFETIME,
            caller: caller.cloned(),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        jsonwebtoken::encode(&header, &claims, &self.encoding)
    }

    /// Whom a token that came to `audience` speaks for. `via` names the service that sent it.
    pub(crate) fn verify(&self, token: &str, audience: &str) -> Result<Caller, Refusal> {
        let name = fingerprint(token);
        let claims = match self.read.get(&name) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.read(token, audience)?);
                self.read.insert(name, claims.clone());
                claims
            }
        };
        // What depends on the time and on who reads is checked each time.
        let now = self.clock.now().as_seconds();
        if claims.aud != audience || claims.iat > now + SKEW {
            return Err(Refusal::Invalid);
        }
        if now >= claims.exp {
            return Err(Refusal::Expired);
        }
        let caller = claims.caller.clone();
        let mut caller = caller.unwrap_or_else(|| Caller::service(&claims.service));
        caller.via = Some(claims.service.clone());
        Ok(caller)
    }

    /// Reads a token that the mesh key has signed, whatever the time is.
    fn read(&self, token: &str, audience: &str) -> Result<Claims, Refusal> {
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked below against our own clock, which tests can move.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.set_audience(&[audience]);
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation)
            .map_err(|_| Refusal::Invalid)?;
        let claims = data.claims;
        let honest = claims.exp.saturating_sub(claims.iat) <= LIFETIME;
        if data.header.typ.as_deref() != Some(TYPE) || !honest {
            return Err(Refusal::Invalid);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;

    fn tokens() -> (Tokens, crate::clock::ManualClock) {
        let (clock, hand) = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        (Tokens::new(&MeshKey::random(), clock), hand)
    }

    #[test]
    fn a_token_speaks_for_the_caller_it_was_minted_for() {
        let (tokens, _) = tokens();
        let user = Caller::new("user:1", "ada", ["agents.read"]);
        let token = tokens.mint("workflows", "agents", Some(&user)).unwrap();
        assert!(token.starts_with(HEADER));
        let caller = tokens.verify(&token, "agents").unwrap();
        assert_eq!((caller.subject.as_str(), caller.via.as_deref()), ("user:1", Some("workflows")));
        assert!(caller.permits("agents.read") && !caller.permits("agents.write"));
        let own = tokens.mint("workflows", "agents", None).unwrap();
        let caller = tokens.verify(&own, "agents").unwrap();
        assert_eq!((caller.subject.as_str(), caller.permits("x.y")), ("service:workflows", true));
    }

    #[test]
    fn a_token_is_sent_again_by_the_same_caller_only_and_not_for_long() {
        let (tokens, hand) = tokens();
        let user = Caller::new("user:1", "ada", ["agents.read"]);
        let first = tokens.bearer("workflows", "agents", Some(&user)).unwrap();
        hand.advance(Duration::from_secs(19));
        assert_eq!(tokens.bearer("workflows", "agents", Some(&user)).unwrap(), first);
        let other = Caller::new("user:1", "ada", ["agents.write"]);
        for (service, audience, caller) in [
            ("workflows", "agents", Some(&other)),
            ("workflows", "agents", None),
            ("workflows", "models", Some(&user)),
            ("gateway", "agents", Some(&user)),
        ] {
            assert_ne!(tokens.bearer(service, audience, caller).unwrap(), first);
        }
        hand.advance(Duration::from_secs(1));
        assert_ne!(tokens.bearer("workflows", "agents", Some(&user)).unwrap(), first);
    }

    #[test]
    fn a_token_is_useless_elsewhere_later_or_under_another_key() {
        let (tokens, hand) = tokens();
        let (others, _) = self::tokens();
        let token = tokens.mint("gateway", "agents", None).unwrap();
        assert!(tokens.verify(&token, "agents").is_ok(), "and is remembered");
        assert_eq!(tokens.verify(&token, "models"), Err(Refusal::Invalid));
        assert_eq!(others.verify(&token, "agents"), Err(Refusal::Invalid));
        assert_eq!(tokens.verify("a.b.c", "agents"), Err(Refusal::Invalid));
        hand.advance(Duration::from_secs(60));
        assert_eq!(tokens.verify(&token, "agents"), Err(Refusal::Expired));
    }
}

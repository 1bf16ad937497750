//! Checks credentials: mesh tokens against the mesh key, access tokens against auth's published keys,
//! API keys by asking auth.
//!
//! Answers about keys and access tokens are kept for a short while under a hash of the credential,
//! never under the credential itself. What can change meanwhile (the time, the keys, what was revoked
//! or stopped, for whom a token is) is looked at each time, in the present access state: a revocation
//! counts from the moment in which the state arrives, whatever is kept.

use std::{sync::Arc, time::Duration};

use http::request::Parts;
use lightning_proto::mesh::v1::ErrorReason;
use moka::sync::Cache;

use self::{access_token::AccessToken, api_key::ApiKey};
use super::{
    Caller, Tokens,
    access::{Access, AccessWatch},
    dpop::ReplayCache,
    fingerprint, jose, origin, resource, token,
};
use crate::{
    channel::Channel,
    clock::{Clock, Timestamp},
    fault::Fault,
};

mod access_token;
mod api_key;

/// What an API key begins with.
const API_KEY_PREFIX: &str = "lk_";
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
    known: Cache<[u8; 32], Arc<Known>>,
    proofs: ReplayCache,
}

/// A credential that was verified before.
enum Known {
    Token(AccessToken),
    Key(ApiKey),
}

/// A credential as somebody showed it.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) text: &'a str,
    /// Whether its scheme was `DPoP`, so that a proof must come with it.
    pub(super) with_proof: bool,
}

impl Verifier {
    pub(crate) fn new(tokens: Tokens, access: AccessWatch, auth: Channel, clock: Clock) -> Self {
        let known = Cache::builder().max_capacity(CACHE_ENTRIES).time_to_live(CACHE_TIME).build();
        Self { tokens, access, auth, clock, known, proofs: ReplayCache::new() }
    }

    /// Whom a credential that came with a request to `service` speaks for.
    pub(super) async fn verify(
        &self,
        shown: Shown<'_>,
        service: &str,
        parts: &Parts,
    ) -> Result<Caller, Fault> {
        let credential = shown.text;
        if credential.len() > MAX_CREDENTIAL {
            return Err(invalid_token());
        }
        if credential.starts_with(token::HEADER) {
            return self.mesh_token(shown, service);
        }
        let name = fingerprint(credential);
        let known = match self.known.get(&name) {
            Some(known) => known,
            None if credential.starts_with(API_KEY_PREFIX) => {
                self.learn_key(name, credential).await?
            }
            None => match jose::type_of(credential).as_deref() {
                Some(token::TYPE) => return self.mesh_token(shown, service),
                Some(access_token::TYPE) => {
                    let access = self.state().await?;
                    let read = AccessToken::read(credential, &access).ok_or_else(invalid_token)?;
                    let known = Arc::new(Known::Token(read));
                    // What does not hold now is not worth keeping, but costs nothing either: it is held
                    // against the present each time.
                    self.known.insert(name, known.clone());
                    known
                }
                Some(_) | None => return Err(invalid_token()),
            },
        };
        match &*known {
            Known::Token(token) => {
                let access = self.state().await?;
                token.check(&access, self.clock.now(), service)?;
                self.check_possession(shown, token, &access, service, parts)?;
                Ok(token.caller.clone())
            }
            Known::Key(key) => self.use_key(name, credential, key, shown, parts).await,
        }
    }

    /// Whether no user exists yet; fails closed if auth cannot say.
    pub(super) async fn is_open(&self) -> Result<bool, Fault> {
        Ok(self.access.get_live().await.ok_or_else(auth_unreachable)?.open)
    }

    /// The access state; fails if there is none yet.
    pub(super) async fn state(&self) -> Result<Arc<Access>, Fault> {
        self.access.get().await.ok_or_else(auth_unreachable)
    }

    /// The time by the clock of the process.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The access state, if there is one already.
    pub(super) fn last_state(&self) -> Option<Arc<Access>> {
        self.access.last()
    }

    /// Services vouch for each other's callers, but nobody works for one who was stopped. Before the
    /// first state has arrived, which is when auth itself must be reached, nobody is known to be.
    fn mesh_token(&self, shown: Shown<'_>, service: &str) -> Result<Caller, Fault> {
        if shown.with_proof {
            return Err(invalid_token());
        }
        let caller = self.tokens.verify(shown.text, service).map_err(|refusal| match refusal {
            token::Refusal::Expired => expired_token(),
            token::Refusal::Invalid => invalid_token(),
        })?;
        if let Some(access) = self.access.last()
            && let Some(stopped) = access.stopped(&caller)
        {
            return Err(Fault::denied(ErrorReason::SubjectStopped)
                .message(format!("{stopped} was stopped; nothing is done for it any more"))
                .with("subject", stopped));
        }
        Ok(caller)
    }

    /// A bound token needs a proof of its key, and a proof a bound token.
    fn check_possession(
        &self,
        shown: Shown<'_>,
        token: &AccessToken,
        access: &Access,
        service: &str,
        parts: &Parts,
    ) -> Result<(), Fault> {
        match (&token.jkt, shown.with_proof) {
            (None, false) => Ok(()),
            (None, true) => Err(invalid_token()),
            (Some(_), false) => Err(Fault::unauthenticated(ErrorReason::TokenBound).message(
                "the token is bound to a key; send it as authorization: DPoP TOKEN, with a proof",
            )),
            (Some(jkt), true) => {
                let urls = resource::urls(parts, access, service);
                let now = self.clock.now();
                resource::check_proof(parts, &urls, shown.text, jkt, now, &self.proofs)
            }
        }
    }
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

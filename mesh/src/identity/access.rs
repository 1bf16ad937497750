//! The access state: what auth tells every service, so that each can verify callers by itself.
//!
//! One task per process keeps a `WatchAccess` stream open. Before the first state has arrived, whoever
//! needs it waits a little and then fails closed. When auth is gone, tokens are still verified against
//! the last keys (they live for minutes), but open mode ends: whether a user exists is no longer known.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use lightning_proto::auth::v1::{
    AccessState, WatchAccessRequest, access_service_client::AccessServiceClient,
};
use serde_json::Value;
use tokio::sync::watch;

use super::{Caller, jose::PublicKey};
use crate::{
    authorization::{self, Sets},
    channel::Channel,
    shutdown::Shutdown,
    task,
};

/// How long a call waits for the first state.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest state, in bytes: the policies of 200 organisations that use all that they may.
const MAX_STATE: usize = 64 * 1024 * 1024;
/// Pauses between attempts to reach auth: from, to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What auth said last.
pub(super) struct Access {
    pub(super) revision: i64,
    pub(super) open: bool,
    pub(super) issuer: String,
    /// The keys of access tokens by their ids. What auth signs other tokens with is not among them.
    pub(super) keys: HashMap<String, Arc<PublicKey>>,
    /// Sessions and single tokens that ended early.
    revoked_sessions: HashSet<String>,
    revoked_tokens: HashSet<String>,
    /// Whose calls are refused, whoever signed for them.
    stopped: HashSet<String>,
    /// Resource indicators (RFC 8707) and the words of their services.
    resources: HashMap<String, String>,
    /// The published policies, by organisation.
    pub(super) policies: Sets,
}

#[derive(Clone, Default)]
struct Seen {
    access: Option<Arc<Access>>,
    connected: bool,
}

/// Follows the access state.
#[derive(Clone)]
pub(crate) struct AccessWatch(watch::Receiver<Seen>);

impl Access {
    /// Reads what auth said; what it said before spares compiling the same policies again.
    fn from_proto(state: AccessState, before: Option<&Self>) -> Result<Self, serde_json::Error> {
        let set: Value = match state.jwks.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text)?,
        };
        let listed = set.get("keys").and_then(Value::as_array);
        let keys = listed.into_iter().flatten().filter_map(access_key).collect();
        let none = Sets::new();
        let known = before.map_or(&none, |before| &before.policies);
        let policies = authorization::learn(known, &state.policy_sets);
        Ok(Self {
            revision: state.revision,
            open: state.open,
            issuer: state.issuer,
            keys,
            revoked_sessions: state.revoked_session_ids.into_iter().collect(),
            revoked_tokens: state.revoked_token_ids.into_iter().collect(),
            stopped: state.stopped_subjects.into_iter().collect(),
            resources: state.resources,
            policies,
        })
    }

    /// Whether an access token ended before its time.
    pub(super) fn has_revoked(&self, session: Option<&str>, token: Option<&str>) -> bool {
        session.is_some_and(|session| self.revoked_sessions.contains(session))
            || token.is_some_and(|token| self.revoked_tokens.contains(token))
    }

    /// The first of those behind a call who was stopped: the subject, its organisation, the owner of its
    /// key, its client or anybody who acts for it.
    pub(super) fn stopped<'a>(&'a self, caller: &'a Caller) -> Option<&'a str> {
        if self.stopped.is_empty() {
            return None;
        }
        let known = |subject: &str| self.stopped.get(subject).map(String::as_str);
        let owned = |kind: &str, id: &Option<String>| {
            let id = id.as_deref()?;
            if id.contains(':') { known(id) } else { known(&format!("{kind}:{id}")) }
        };
        known(&caller.subject)
            .or_else(|| caller.actors.iter().find_map(|actor| known(actor)))
            .or_else(|| owned("user", &caller.owner_id))
            .or_else(|| owned("client", &caller.client_id))
            .or_else(|| known(&format!("organization:{}", caller.organization_id)))
    }

    /// Whether a resource indicator is the one of this service.
    pub(super) fn is_resource_of(&self, resource: &str, word: &str) -> bool {
        self.resources.get(resource).is_some_and(|known| known == word)
    }

    /// The resource indicators of a service, in a fixed order.
    pub(super) fn resources_of(&self, word: &str) -> Vec<&str> {
        let of_word = self.resources.iter().filter(|(_, known)| *known == word);
        let mut resources: Vec<_> = of_word.map(|(resource, _)| resource.as_str()).collect();
        resources.sort_unstable();
        resources
    }
}

/// A published key, if access tokens may be signed with it: ES256 and nothing else, so that no key that
/// auth has for another purpose makes an access token.
fn access_key(jwk: &Value) -> Option<(String, Arc<PublicKey>)> {
    let jwk = jwk.as_object()?;
    let is = |name: &str, wanted: &str| jwk.get(name).is_none_or(|value| value == wanted);
    if !is("use", "sig") || !is("alg", "ES256") {
        return None;
    }
    let kid = jwk.get("kid")?.as_str()?;
    let key = PublicKey::parse(jwk).filter(PublicKey::is_p256)?;
    Some((kid.to_owned(), Arc::new(key)))
}

impl AccessWatch {
    /// Never changes; for tests and for processes that need no auth.
    pub(crate) fn fixed(state: AccessState) -> Result<Self, serde_json::Error> {
        let access = Arc::new(Access::from_proto(state, None)?);
        let seen = Seen { access: Some(access), connected: true };
        Ok(Self(watch::channel(seen).1))
    }

    /// Keeps asking auth through `channel` until the shutdown.
    pub(crate) fn follow(channel: Channel, shutdown: Shutdown) -> Self {
        let (sender, receiver) = watch::channel(Seen::default());
        task::spawn("access-watch", async move {
            tokio::select! {
                // Until the last listener is quiet, callers must still be verified.
                () = async { shutdown.requested().await; shutdown.quiet().await } => {}
                () = keep_watching(channel, &sender) => {}
            }
        });
        Self(receiver)
    }

    /// The last state, if there was any yet.
    pub(super) fn last(&self) -> Option<Arc<Access>> {
        self.0.borrow().access.clone()
    }

    /// The last state, waiting for the first one. `None` if it does not come in time.
    pub(super) async fn get(&self) -> Option<Arc<Access>> {
        self.wait(|seen| seen.access.is_some()).await
    }

    /// The state as of now, from an auth that is still there. `None` if it cannot be had in time.
    pub(super) async fn get_live(&self) -> Option<Arc<Access>> {
        self.wait(|seen| seen.access.is_some() && seen.connected).await
    }

    async fn wait(&self, mut ready: impl FnMut(&Seen) -> bool) -> Option<Arc<Access>> {
        // Nearly always it is there, and nothing needs a timer.
        if let Some(access) = Some(self.0.borrow()).filter(|seen| ready(seen)) {
            return access.access.clone();
        }
        let mut receiver = self.0.clone();
        let seen = tokio::time::timeout(PATIENCE, receiver.wait_for(ready)).await.ok()?.ok()?;
        seen.access.clone()
    }
}

async fn keep_watching(channel: Channel, sender: &watch::Sender<Seen>) {
    let mut pause = BACKOFF.0;
    loop {
        match watch_once(channel.clone(), sender).await {
            // The stream ended after at least one state: ask again, and believe the last one meanwhile.
            Ok(true) => {
                pause = BACKOFF.0;
                tokio::time::sleep(pause).await;
            }
            Ok(false) | Err(_) => {
                if sender.borrow().connected {
                    tracing::warn!("lost the access state of auth; open mode is suspended");
                }
                sender.send_modify(|seen| seen.connected = false);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }
}

/// Takes states as they come; tells whether any came before the stream ended.
async fn watch_once(channel: Channel, sender: &watch::Sender<Seen>) -> Result<bool, tonic::Status> {
    let mut client = AccessServiceClient::new(channel).max_decoding_message_size(MAX_STATE);
    let mut states = client.watch_access(WatchAccessRequest {}).await?.into_inner();
    let mut any = false;
    while let Ok(Some(state)) = states.message().await {
        let before = sender.borrow().access.clone();
        // Compiling a thousand policies takes a tenth of a second, which a runtime worker has not.
        let read = move || Access::from_proto(state, before.as_deref());
        let Ok(read) = tokio::task::spawn_blocking(read).await else { return Ok(any) };
        match read {
            Ok(access) => {
                any = true;
                sender.send_replace(Seen { access: Some(Arc::new(access)), connected: true });
            }
            Err(error) => {
                tracing::error!(error = %error, "auth sent keys that cannot be used");
                return Ok(false);
            }
        }
    }
    Ok(any)
}

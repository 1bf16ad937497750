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

use jsonwebtoken::{DecodingKey, jwk::JwkSet};
use lightning_proto::auth::v1::{
    AccessState, WatchAccessRequest, access_service_client::AccessServiceClient,
};
use tokio::sync::watch;

use crate::{channel::Channel, shutdown::Shutdown, task};

/// How long a call waits for the first state.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pauses between attempts to reach auth: from, to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What auth said last.
pub(super) struct Access {
    pub(super) revision: i64,
    pub(super) open: bool,
    pub(super) issuer: String,
    pub(super) keys: HashMap<String, DecodingKey>,
    pub(super) revoked: HashSet<String>,
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
    fn from_proto(state: AccessState) -> Result<Self, jsonwebtoken::errors::Error> {
        let set: JwkSet = match state.jwks.as_str() {
            "" => JwkSet { keys: Vec::new() },
            text => serde_json::from_str(text)?,
        };
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            if let Some(kid) = &jwk.common.key_id {
                keys.insert(kid.clone(), DecodingKey::from_jwk(jwk)?);
            }
        }
        Ok(Self {
            revision: state.revision,
            open: state.open,
            issuer: state.issuer,
            keys,
            revoked: state.revoked_session_ids.into_iter().collect(),
        })
    }
}

impl AccessWatch {
    /// Never changes; for tests and for processes that need no auth.
    pub(crate) fn fixed(state: AccessState) -> Result<Self, jsonwebtoken::errors::Error> {
        let seen = Seen { access: Some(Arc::new(Access::from_proto(state)?)), connected: true };
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

    /// The last state, waiting for the first one. `None` if it does not come in time.
    pub(super) async fn get(&self) -> Option<Arc<Access>> {
        self.wait(|seen| seen.access.is_some()).await
    }

    /// The state as of now, from an auth that is still there. `None` if it cannot be had in time.
    pub(super) async fn get_live(&self) -> Option<Arc<Access>> {
        self.wait(|seen| seen.access.is_some() && seen.connected).await
    }

    async fn wait(&self, ready: impl FnMut(&Seen) -> bool) -> Option<Arc<Access>> {
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
    let mut client = AccessServiceClient::new(channel);
    let mut states = client.watch_access(WatchAccessRequest {}).await?.into_inner();
    let mut any = false;
    while let Ok(Some(state)) = states.message().await {
        match Access::from_proto(state) {
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

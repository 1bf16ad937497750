//! The access state: what every service needs in order to check callers by itself.
//!
//! It is read from the database after each change that decides about callers, and every few seconds in
//! case another instance made one, and pushed to whoever watches. Services drop what they remember of
//! keys and tokens when the revision moves, so an ended session and a deleted key are refused
//! everywhere as soon as the message has arrived.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use lightning_mesh::clock::Clock;
use tokio::sync::{Mutex, watch};

use crate::{
    Error,
    domain::directory::Directory,
    domain::policies::PolicySet,
    signing::Signing,
    store::{Snapshot, Store},
};

/// Clocks of the services may differ by this much: so much longer than access tokens live are ended
/// sessions told of.
const MARGIN: Duration = Duration::from_mins(1);

/// Follows what decides about callers.
pub(crate) struct Access {
    store: Store,
    clock: Clock,
    signing: Arc<Signing>,
    /// How long an ended session is told of.
    told: Duration,
    state: watch::Sender<Snapshot>,
    directory: RwLock<Arc<Directory>>,
    /// Readings follow one another, so that an older one never replaces a newer one.
    reading: Mutex<()>,
}

// === impl Access ===

impl Access {
    /// Reads the first state. `ttl` is how long an access token lives.
    pub(crate) async fn open(
        store: Store,
        clock: Clock,
        signing: Arc<Signing>,
        ttl: Duration,
    ) -> Result<Self, Error> {
        let told = ttl + MARGIN;
        let state = watch::channel(Snapshot::default()).0;
        let directory = RwLock::default();
        let access =
            Self { store, clock, signing, told, state, directory, reading: Mutex::new(()) };
        access.refresh().await?;
        Ok(access)
    }

    /// The directory as it was read last.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The state as of now, and whatever follows.
    pub(crate) fn watch(&self) -> watch::Receiver<Snapshot> {
        self.state.subscribe()
    }

    /// Whether a session or a single token was revoked, as far as is known.
    pub(crate) fn is_revoked(&self, session: Option<&str>, token: &str) -> bool {
        let state = self.state.borrow();
        let has = |list: &[String], id: &str| {
            list.binary_search_by(|known| known.as_str().cmp(id)).is_ok()
        };
        session.is_some_and(|session| has(&state.revoked, session))
            || has(&state.revoked_tokens, token)
    }

    /// The revision of what is known.
    /// Waits until something changed after `seen`; for tests and for whoever keeps what it derived.
    pub(crate) fn revision(&self) -> i64 {
        self.state.borrow().revision
    }

    /// Whether one of these subjects was stopped, as far as is known.
    pub(crate) fn is_stopped(&self, subjects: &[String]) -> bool {
        let state = self.state.borrow();
        subjects.iter().any(|subject| state.stopped.contains(subject))
    }

    /// How many users there are, as far as is known.
    pub(crate) fn users(&self) -> i64 {
        self.state.borrow().users
    }

    /// The published policies of an organisation.
    pub(crate) fn policy_set(&self, organization: &str) -> Option<Arc<PolicySet>> {
        let state = self.state.borrow();
        state.policy_sets.iter().find(|set| set.organization_id == organization).cloned()
    }

    /// Reads the state again and tells it if it changed.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let _one_at_a_time = self.reading.lock().await;
        let now = self.clock.now();
        let known = self.state.borrow().policy_sets.clone();
        let mut snapshot = self.store.snapshot(now, now.before(self.told), &known).await?;
        // A part of the state, so that keys that come and go with the time are told like a change.
        snapshot.jwks = self.signing.access_jwks(now);
        let mut directory = self.directory();
        if directory.number != snapshot.directory {
            directory = Arc::new(self.store.directory().await?);
            let mut kept = self.directory.write().unwrap_or_else(PoisonError::into_inner);
            *kept = directory.clone();
        }
        snapshot.stopped = directory.refused();
        self.state.send_if_modified(|state| {
            let changed = *state != snapshot;
            *state = snapshot;
            changed
        });
        Ok(())
    }

    /// Tells a change that is already kept. If it cannot be read just now, the regular reading will
    /// find it: the change itself must not look as if it had failed.
    pub(crate) async fn changed(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(error = %error, "a change is kept but not told yet");
        }
    }
}

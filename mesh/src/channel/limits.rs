//! What all callers of one process share about a target: its retry budget and its places.
//!
//! Every service of a process has ways of its own to its peers, and in the all-in-one process there are
//! eight of them; a target that is in trouble is in trouble for all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
};

use tokio::sync::Semaphore;

use super::{ChannelConfig, budget::Budget};

/// The limits of all targets of a process, by name. Names come from the configuration and from the
/// contract, so there are few.
#[derive(Clone, Default)]
pub(crate) struct Limits(Arc<Mutex<HashMap<String, Arc<Limit>>>>);

/// What is shared about one target.
pub(super) struct Limit {
    pub(super) budget: Budget,
    /// A permit for each call under way, until its last frame.
    pub(super) in_flight: Arc<Semaphore>,
    /// Calls that wait for a permit or for the target to be ready.
    pub(super) waiting: AtomicUsize,
}

impl Limits {
    /// The limits of one target; the first who asks brings the configuration.
    pub(super) fn of(&self, peer: &str, config: &ChannelConfig) -> Arc<Limit> {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = limits.entry(peer.to_owned());
        limit.or_insert_with(|| Arc::new(Limit::new(config))).clone()
    }
}

impl Limit {
    pub(super) fn new(config: &ChannelConfig) -> Self {
        let places = config.queue.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            budget: Budget::new(&config.retry),
            in_flight: Arc::new(Semaphore::new(places)),
            waiting: AtomicUsize::new(0),
        }
    }
}

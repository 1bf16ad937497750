//! What a connection is doing: answering, idle, or reading the head of an HTTP/1 request.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// See the module.
pub(super) struct Activity {
    state: Mutex<State>,
    /// Wakes whoever waits for a state when it changes.
    changed: Notify,
}

#[derive(Clone, Copy)]
struct State {
    /// Requests under way.
    busy: usize,
    /// Since when there are none.
    idle_since: Instant,
    /// When the head that is being read began.
    head_since: Option<Instant>,
}

/// A request under way, until it is dropped.
pub(super) struct Busy(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Self {
        let state = State { busy: 0, idle_since: Instant::now(), head_since: None };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// A request was read whole and is under way.
    pub(super) fn begin(this: &Arc<Self>) -> Busy {
        let mut state = this.lock();
        state.busy += 1;
        state.head_since = None;
        Busy(this.clone())
    }

    /// Bytes came in. Between requests they begin a head.
    pub(super) fn bytes_came(&self) {
        let mut state = self.lock();
        if state.busy == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// Resolves when no request was under way for so long; never without a limit.
    pub(super) async fn idle_for(&self, limit: Option<Duration>) {
        let Some(limit) = limit else {
            return std::future::pending().await;
        };
        self.reached(limit, |state| (state.busy == 0).then_some(state.idle_since)).await;
    }

    /// Resolves when the head of a request takes longer than that to come in.
    pub(super) async fn head_overdue(&self, limit: Duration) {
        self.reached(limit, |state| state.head_since).await;
    }

    /// Resolves when what `since` tells lies `limit` back.
    async fn reached(&self, limit: Duration, since: impl Fn(&State) -> Option<Instant>) {
        loop {
            // Registered before looking, so that a change in between is not missed.
            let changed = self.changed.notified();
            let began = since(&self.lock());
            match began {
                Some(began) if began + limit <= Instant::now() => return,
                Some(began) => tokio::select! {
                    () = tokio::time::sleep_until(began + limit) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy -= 1;
        state.idle_since = Instant::now();
        drop(state);
        self.0.changed.notify_waiters();
    }
}

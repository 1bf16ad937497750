//! Shutting down: one signal that everybody hears, and a count of those who still have work.
//!
//! Listeners stop accepting and loops stop taking work when it is requested; whoever must finish
//! something first holds a [`Guard`]. Waiting for the guards is bounded by whoever waits: a guard
//! delays the end, it cannot prevent it.

use std::time::Duration;

use tokio::sync::watch;

/// Requests the shutdown and waits for the guards. One per process.
#[derive(Debug, Clone)]
pub struct Trigger {
    requested: watch::Sender<bool>,
    guards: watch::Sender<usize>,
}

/// Hears the shutdown. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
    guards: watch::Sender<usize>,
}

/// Delays the end of the drain until it is dropped.
#[derive(Debug)]
pub struct Guard(watch::Sender<usize>);

// === impl Trigger ===

impl Trigger {
    /// Asks everybody to stop. Asking twice changes nothing.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }

    /// Waits until every guard is dropped, at most `bound`; tells whether they all were.
    pub async fn drained(&self, bound: Duration) -> bool {
        tokio::time::timeout(bound, no_guards(&self.guards)).await.is_ok()
    }
}

// === impl Shutdown ===

impl Shutdown {
    /// A trigger and the ear that belongs to it.
    pub fn new() -> (Trigger, Self) {
        let (requested, hears) = watch::channel(false);
        let (guards, _) = watch::channel(0);
        (Trigger { requested, guards: guards.clone() }, Self { requested: hears, guards })
    }

    /// Resolves when the shutdown is requested, at once if it already was. A dropped trigger counts as
    /// a request, so that nothing runs on unowned.
    pub async fn requested(&self) {
        let mut requested = self.requested.clone();
        // An error means that the trigger is gone.
        let _ = requested.wait_for(|requested| *requested).await;
    }

    /// Whether the shutdown was requested.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow() || self.requested.has_changed().is_err()
    }

    /// Delays the end of the drain until the guard is dropped.
    pub fn guard(&self) -> Guard {
        self.guards.send_modify(|count| *count += 1);
        Guard(self.guards.clone())
    }

    /// Resolves when nobody holds a guard (any more).
    pub async fn quiet(&self) {
        no_guards(&self.guards).await;
    }
}

async fn no_guards(guards: &watch::Sender<usize>) {
    let mut count = guards.subscribe();
    // The sender is borrowed from `guards`, so it cannot be gone.
    let _ = count.wait_for(|count| *count == 0).await;
}

// === impl Guard ===

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests;

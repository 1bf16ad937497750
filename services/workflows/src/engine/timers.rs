//! Waiting for a time of the clock, for many at once.
//!
//! One task watches the earliest time. It looks at the clock at least twice a second while somebody
//! waits, so that a clock that is set, or moved by a test, is noticed in both directions.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lightning_mesh::{
    clock::{Clock, Timestamp},
    shutdown::Shutdown,
    task,
};
use tokio::sync::{Notify, oneshot};

/// How long the clock goes unwatched at most.
const GLANCE: Duration = Duration::from_millis(500);

/// Everybody who waits.
pub(super) struct Timers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    heap: BinaryHeap<Reverse<Timer>>,
}

struct Timer {
    due: Timestamp,
    number: u64,
    wake: oneshot::Sender<()>,
}

// === impl Timers ===

impl Timers {
    /// Starts the task; it ends with the shutdown.
    pub(super) fn start(clock: Clock, shutdown: Shutdown) -> Self {
        let inner = Arc::new(Inner::default());
        let watched = inner.clone();
        task::spawn("workflow timers", async move {
            loop {
                let pause = watched.wake_due(clock.now());
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = watched.changed.notified() => {}
                    () = sleep(pause) => {}
                }
            }
        });
        Self(inner)
    }

    /// Returns when the clock shows `due`. After the shutdown it never returns.
    pub(super) async fn until(&self, due: Timestamp) {
        let (wake, woken) = oneshot::channel();
        {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.next += 1;
            let number = waiting.next;
            waiting.heap.push(Reverse(Timer { due, number, wake }));
        }
        self.0.changed.notify_one();
        if woken.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Inner {
    /// Wakes whose time has come; tells how long nothing is due.
    fn wake_due(&self, now: Timestamp) -> Option<Duration> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let due = waiting.heap.peek()?.0.due;
            if due > now {
                return Some(due.since(now).min(GLANCE));
            }
            if let Some(Reverse(timer)) = waiting.heap.pop() {
                // Whoever no longer waits is not missed.
                let _ = timer.wake.send(());
            }
        }
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

// === impl Timer ===

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Timer {}

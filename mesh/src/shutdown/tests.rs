//! The signal and the guards.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_guards_but_not_for_ever() {
    let (trigger, shutdown) = Shutdown::new();
    assert!(!shutdown.is_requested());
    let guard = shutdown.guard();
    trigger.request();
    shutdown.requested().await;
    assert!(shutdown.is_requested());
    assert!(!trigger.drained(Duration::from_secs(1)).await);
    drop(guard);
    assert!(trigger.drained(Duration::from_secs(1)).await);
}

#[tokio::test]
async fn a_lost_trigger_is_a_request() {
    let (trigger, shutdown) = Shutdown::new();
    drop(trigger);
    shutdown.requested().await;
    assert!(shutdown.is_requested());
}

//! Counting and waiting, with the clock in hand.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::{FREE, Lockout, WINDOW};

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn fail(lockout: &Lockout, name: &str, now: Timestamp) {
    lockout.begin(name, now).map_err(|locked| locked.retry_after).ok().unwrap().failed(now);
}

fn wait(lockout: &Lockout, name: &str, now: Timestamp) -> Option<Duration> {
    lockout.begin(name, now).err().map(|locked| locked.retry_after)
}

#[test]
fn ten_failures_are_free_and_then_each_doubles_the_wait() {
    let lockout = Lockout::default();
    for _ in 0..FREE {
        fail(&lockout, "ada", NOW);
    }
    assert_eq!(wait(&lockout, "ada", NOW), Some(Duration::from_secs(30)));
    assert_eq!(wait(&lockout, "eve", NOW), None);
    let later = NOW + Duration::from_secs(30);
    fail(&lockout, "ada", later);
    assert_eq!(wait(&lockout, "ada", later), Some(Duration::from_mins(1)));
    let mut now = later;
    for _ in 0..20 {
        now = now + WINDOW;
        lockout.begin("ada", now).ok().unwrap().failed(now);
        assert!(wait(&lockout, "ada", now).is_none_or(|wait| wait <= WINDOW));
    }
}

#[test]
fn a_success_or_a_quiet_quarter_of_an_hour_forgets() {
    let lockout = Lockout::default();
    for _ in 1..FREE {
        fail(&lockout, "ada", NOW);
    }
    lockout.begin("ada", NOW).ok().unwrap().succeeded();
    for _ in 1..FREE {
        fail(&lockout, "ada", NOW);
    }
    let later = NOW + WINDOW;
    for _ in 1..FREE {
        fail(&lockout, "ada", later);
    }
    assert_eq!(wait(&lockout, "ada", later), None);
}

#[test]
fn after_the_free_ones_only_one_attempt_runs_at_a_time() {
    let lockout = Lockout::default();
    for _ in 0..FREE {
        fail(&lockout, "ada", NOW);
    }
    let later = NOW + Duration::from_secs(30);
    let running = lockout.begin("ada", later).ok().unwrap();
    assert_eq!(wait(&lockout, "ada", later), Some(Duration::from_secs(1)));
    drop(running);
    assert_eq!(wait(&lockout, "ada", later), None);
}

//! Counting and waiting, with the clock in hand.

use std::{net::IpAddr, time::Duration};

use lightning_mesh::{clock::Timestamp, config::Secret};

use super::{Axis, LONGEST, Lockout, MOST_IN_A_ROW, WINDOW};
use crate::domain::UserId;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn fail(lockout: &Lockout, axes: &[Axis<'_>], now: Timestamp) {
    lockout.begin(axes, now).map_err(|locked| locked.retry_after).ok().unwrap().failed(now);
}

fn wait(lockout: &Lockout, axes: &[Axis<'_>], now: Timestamp) -> Option<Duration> {
    lockout.begin(axes, now).err().map(|locked| locked.retry_after)
}

fn ada() -> [Axis<'static>; 1] {
    [Axis::Name("ada")]
}

#[test]
fn ten_failures_are_free_and_then_each_doubles_the_wait() {
    let lockout = Lockout::default();
    for _ in 0..10 {
        fail(&lockout, &ada(), NOW);
    }
    assert_eq!(wait(&lockout, &ada(), NOW), Some(Duration::from_secs(30)));
    assert_eq!(wait(&lockout, &[Axis::Name("eve")], NOW), None);
    let later = NOW + Duration::from_secs(30);
    fail(&lockout, &ada(), later);
    assert_eq!(wait(&lockout, &ada(), later), Some(Duration::from_mins(1)));
    let mut now = later;
    for _ in 0..20 {
        now = now + WINDOW;
        fail(&lockout, &ada(), now);
        assert!(wait(&lockout, &ada(), now).is_none_or(|wait| wait <= WINDOW));
    }
}

#[test]
fn a_success_or_a_quiet_quarter_of_an_hour_forgets() {
    let lockout = Lockout::default();
    for _ in 1..10 {
        fail(&lockout, &ada(), NOW);
    }
    lockout.begin(&ada(), NOW).ok().unwrap().succeeded();
    for _ in 1..10 {
        fail(&lockout, &ada(), NOW);
    }
    let later = NOW + WINDOW;
    for _ in 1..10 {
        fail(&lockout, &ada(), later);
    }
    assert_eq!(wait(&lockout, &ada(), later), None);
}

#[test]
fn after_the_free_ones_only_one_attempt_runs_at_a_time() {
    let lockout = Lockout::default();
    for _ in 0..10 {
        fail(&lockout, &ada(), NOW);
    }
    let later = NOW + Duration::from_secs(30);
    let running = lockout.begin(&ada(), later).ok().unwrap();
    assert_eq!(wait(&lockout, &ada(), later), Some(Duration::from_secs(1)));
    drop(running);
    assert_eq!(wait(&lockout, &ada(), later), None);
}

#[test]
fn a_hundred_failures_in_a_row_leave_one_attempt_a_day_and_never_none() {
    let lockout = Lockout::default();
    let id = UserId::generate();
    let account = [Axis::Account(&id)];
    let mut now = NOW;
    for _ in 0..MOST_IN_A_ROW {
        // So slowly that the window forgets each of them.
        now = now + 2 * WINDOW;
        fail(&lockout, &account, now);
    }
    assert_eq!(wait(&lockout, &account, now), Some(LONGEST));
    now = now + LONGEST;
    fail(&lockout, &account, now);
    assert_eq!(wait(&lockout, &account, now), Some(LONGEST));
    lockout.clear(&account[0]);
    assert_eq!(wait(&lockout, &account, now), None);
    fail(&lockout, &account, now);
    assert_eq!(wait(&lockout, &account, now), None);
}

#[test]
fn one_password_for_many_names_is_slowed_down_wherever_it_comes_from() {
    let lockout = Lockout::default();
    let password = Secret::new("Sommer2026!");
    for n in 0..30 {
        let name = format!("user-{n}");
        let address = IpAddr::from([192, 0, 2, n]);
        let axes = [Axis::Name(&name), Axis::Password(&password), Axis::Address(address)];
        fail(&lockout, &axes, NOW);
    }
    let fresh = [Axis::Name("user-31"), Axis::Password(&password)];
    assert_eq!(wait(&lockout, &fresh, NOW), Some(Duration::from_secs(30)));
    let other = Secret::new("another");
    assert_eq!(wait(&lockout, &[Axis::Name("user-31"), Axis::Password(&other)], NOW), None);
}

#[test]
fn one_network_is_slowed_down_whatever_it_tries() {
    let address = |text: &str| Axis::Address(text.parse().unwrap());
    let lockout = Lockout::default();
    for n in 0..50 {
        let name = format!("user-{n}");
        let from = format!("2001:db8:1:2::{n:x}");
        fail(&lockout, &[Axis::Name(&name), address(&from)], NOW);
    }
    assert!(wait(&lockout, &[address("2001:db8:1:2:ffff::1")], NOW).is_some());
    assert_eq!(wait(&lockout, &[address("2001:db8:1:3::1")], NOW), None);
    // A login that works does not clear the network.
    let later = NOW + Duration::from_secs(5);
    lockout.begin(&[address("2001:db8:1:2::1")], later).ok().unwrap().succeeded();
    fail(&lockout, &[address("2001:db8:1:2::1")], later);
    assert!(wait(&lockout, &[address("2001:db8:1:2::1")], later).is_some());
    // The same machine over either family.
    for _ in 0..50 {
        fail(&lockout, &[address("::ffff:192.0.2.7")], NOW);
    }
    assert!(wait(&lockout, &[address("192.0.2.7")], NOW).is_some());
}

#[test]
fn five_wrong_codes_are_free() {
    let lockout = Lockout::default();
    let id = UserId::generate();
    let axes = [Axis::Account(&id), Axis::Factor(&id)];
    for _ in 0..5 {
        fail(&lockout, &axes, NOW);
    }
    assert_eq!(wait(&lockout, &axes, NOW), Some(Duration::from_secs(30)));
    assert_eq!(wait(&lockout, &[Axis::Client("app", None)], NOW), None);
}

//! Keys change in time: never one that signs unpublished, never one that verifies for ever.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::{Algorithm, KeyState, KeyTimes, Schedule};

const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_hours(24),
    lead: Duration::from_hours(1),
    life: Duration::from_mins(6),
};

fn key(kid: &str, created_at: Timestamp, active_at: Timestamp) -> KeyTimes {
    KeyTimes { kid: kid.to_owned(), algorithm: Algorithm::Es256, created_at, active_at }
}

fn hours(hours: u64) -> Timestamp {
    START + Duration::from_hours(hours)
}

#[test]
fn a_key_is_published_then_signs_then_verifies_then_is_gone() {
    let keys = [key("a", START, START), key("b", hours(23), hours(24))];
    let check = |key: usize, at: Timestamp, state: Option<KeyState>| {
        assert_eq!(SCHEDULE.state(&keys[key], &keys, at), state, "{key} {at:?}");
    };
    let micro = Duration::from_micros(1);
    check(0, START, Some(KeyState::Active));
    check(1, hours(23), Some(KeyState::Published));
    check(1, hours(24).before(micro), Some(KeyState::Published));
    check(0, hours(24).before(micro), Some(KeyState::Active));
    check(0, hours(24), Some(KeyState::Retired));
    check(1, hours(24), Some(KeyState::Active));
    check(0, (hours(24) + SCHEDULE.life).before(micro), Some(KeyState::Retired));
    check(0, hours(24) + SCHEDULE.life, None);
    check(1, hours(9_000), Some(KeyState::Active));
    assert_eq!(SCHEDULE.end_of(&keys[0], &keys), Some(hours(24) + SCHEDULE.life));
    assert_eq!(SCHEDULE.end_of(&keys[1], &keys), None);
}

#[test]
fn the_next_key_is_due_one_lead_before_it_signs() {
    let due = |keys: &[KeyTimes], now| SCHEDULE.due(Algorithm::Es256, keys, now);
    let first = key("a", START, START);
    assert_eq!(due(&[], START), Some(START));
    assert_eq!(due(std::slice::from_ref(&first), hours(22)), None);
    assert_eq!(due(std::slice::from_ref(&first), hours(23)), Some(hours(24)));
    // The server was off when it was due: the lead is kept all the same.
    assert_eq!(due(std::slice::from_ref(&first), hours(100)), Some(hours(101)));
    let both = [first, key("b", hours(23), hours(24))];
    assert_eq!(due(&both, hours(23)), None);
    assert_eq!(SCHEDULE.due(Algorithm::Rs256, &both, hours(5)), Some(hours(5)));
}

#[test]
fn asking_twice_makes_one_key() {
    let first = key("a", START, START);
    let asked = |keys: &[KeyTimes], now| SCHEDULE.asked(Algorithm::Es256, keys, now);
    assert_eq!(asked(std::slice::from_ref(&first), hours(2)), Some(hours(3)));
    assert_eq!(asked(&[first, key("b", hours(2), hours(3))], hours(2)), None);
}

#[test]
fn a_key_taken_over_late_verifies_for_a_whole_life() {
    let keys = [key("old", hours(5), START), key("new", hours(1), hours(1))];
    assert_eq!(SCHEDULE.state(&keys[0], &keys, hours(5)), Some(KeyState::Retired));
    assert_eq!(SCHEDULE.state(&keys[0], &keys, hours(5) + SCHEDULE.life), None);
}

//! The estimate of an endpoint's load.

use super::*;

const DECAY: Duration = Duration::from_secs(10);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn measured(now: Instant, took: u64) -> Load {
    let load = Load::new(DECAY, now);
    load.succeeded(now, ms(took));
    load
}

#[test]
fn a_slower_call_counts_at_once_and_a_faster_one_gradually() {
    let now = Instant::now();
    let load = measured(now, 10);
    load.succeeded(now, ms(200));
    assert_eq!(load.round_trip(now), ms(200));
    let later = now + ms(1_000);
    load.succeeded(later, ms(10));
    let estimate = load.round_trip(later);
    assert!(estimate > ms(170) && estimate < ms(195), "{estimate:?}");
    let much_later = later + DECAY * 10;
    load.succeeded(much_later, ms(10));
    let estimate = load.round_trip(much_later);
    assert!(estimate >= ms(10) && estimate < ms(11), "{estimate:?}");
}

#[test]
fn calls_under_way_and_failures_cost() {
    let now = Instant::now();
    let (busy, free) = (measured(now, 10), measured(now, 10));
    assert_eq!(busy.cost(now).compare(free.cost(now)), Ordering::Equal);
    busy.begin();
    assert_eq!(busy.cost(now).compare(free.cost(now)), Ordering::Greater);
    busy.end();
    // It fails much faster than the other one answers, and still looks worse.
    let failing = measured(now, 10);
    failing.failed(now, ms(0), None);
    assert_eq!(failing.cost(now).compare(free.cost(now)), Ordering::Greater);
    assert!(failing.round_trip(now) >= ms(10));
    let later = now + DECAY * 10;
    free.succeeded(later, ms(10));
    assert_eq!(failing.cost(later).compare(free.cost(later)), Ordering::Less);
}

#[test]
fn an_unmeasured_endpoint_is_compared_by_what_is_known() {
    let now = Instant::now();
    let (fresh, slow) = (Load::new(DECAY, now), measured(now, 5_000));
    assert_eq!(fresh.cost(now).compare(slow.cost(now)), Ordering::Equal);
    fresh.begin();
    assert_eq!(fresh.cost(now).compare(slow.cost(now)), Ordering::Greater);
}

#[test]
fn pushback_keeps_calls_away_for_as_long_as_it_says() {
    let now = Instant::now();
    let (pushing, other) = (measured(now, 1), measured(now, 50));
    pushing.failed(now, ms(1), Some(ms(3_000)));
    let soon = now + ms(2_900);
    assert_eq!(pushing.cost(soon).compare(other.cost(soon)), Ordering::Greater);
    let later = now + ms(3_100);
    assert_eq!(pushing.cost(later).compare(other.cost(later)), Ordering::Less);
    // Nobody can ask to be left alone for ever.
    pushing.failed(later, ms(1), Some(Duration::MAX));
    let after = later + MAX_PUSHBACK + ms(1);
    assert_eq!(pushing.cost(after).compare(other.cost(after)), Ordering::Less);
}

#[test]
fn a_call_given_up_is_at_least_as_slow_as_it_was_waited_for() {
    let now = Instant::now();
    let load = measured(now, 10);
    load.given_up(now, ms(5));
    assert_eq!(load.round_trip(now), ms(10));
    load.given_up(now, ms(900));
    assert_eq!(load.round_trip(now), ms(900));
}

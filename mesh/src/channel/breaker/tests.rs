//! The states of a breaker.

use super::*;

const CLASS: usize = 0;

fn config() -> BreakerConfig {
    BreakerConfig::default()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn fail(breakers: &Breakers, times: u32, now: Instant) {
    for _ in 0..times {
        breakers.report(CLASS, false, Verdict::Failure, now);
    }
}

#[test]
fn three_failures_in_a_row_open_it_and_one_good_probe_closes_it() {
    let now = Instant::now();
    let breakers = Breakers::new(&config());
    fail(&breakers, 2, now);
    breakers.report(CLASS, false, Verdict::Success, now);
    fail(&breakers, 2, now);
    assert_eq!(breakers.admission(CLASS, now), Admission::Yes);
    fail(&breakers, 1, now);
    assert_eq!(breakers.admission(CLASS, now), Admission::No);
    assert_eq!((breakers.open(), breakers.ejections()), (1, 1));

    let later = now + seconds(1);
    assert_eq!(breakers.admission(CLASS, later), Admission::Probe);
    breakers.report(CLASS, true, Verdict::Nothing, later);
    assert!(breakers.claim(CLASS, later));
    breakers.report(CLASS, true, Verdict::Success, later);
    assert_eq!(breakers.admission(CLASS, later), Admission::Yes);
    assert_eq!(breakers.open(), 0);
}

#[test]
fn there_is_one_probe_at_a_time() {
    let now = Instant::now();
    let breakers = Breakers::new(&config());
    fail(&breakers, 3, now);
    assert!(!breakers.claim(CLASS, now));
    let later = now + seconds(1);
    assert!(breakers.claim(CLASS, later));
    assert_eq!(breakers.admission(CLASS, later), Admission::No);
    assert!(!breakers.claim(CLASS, later));
    // Whoever claimed it went away.
    breakers.report(CLASS, true, Verdict::Nothing, later);
    assert!(breakers.claim(CLASS, later));
    // Whoever claimed it never comes back.
    let much_later = later + config().max_ejection;
    assert!(breakers.claim(CLASS, much_later));
}

#[test]
fn each_failed_probe_doubles_the_time_up_to_a_bound() {
    let mut now = Instant::now();
    let breakers = Breakers::new(&config());
    fail(&breakers, 3, now);
    for expected in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let wait = seconds(expected);
        let early = now + wait.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(breakers.admission(CLASS, early), Admission::No, "{expected}");
        now += wait;
        assert!(breakers.claim(CLASS, now), "{expected}");
        breakers.report(CLASS, true, Verdict::Failure, now);
    }
    assert_eq!(breakers.ejections(), 1);
}

#[test]
fn the_time_starts_anew_after_a_calm() {
    let start = Instant::now();
    let breakers = Breakers::new(&config());
    fail(&breakers, 3, start);
    let first = start + seconds(1);
    assert!(breakers.claim(CLASS, first));
    breakers.report(CLASS, true, Verdict::Success, first);
    // At once again: it is left out for longer.
    fail(&breakers, 3, first);
    assert_eq!(breakers.admission(CLASS, first + seconds(1)), Admission::No);
    let second = first + seconds(2);
    assert!(breakers.claim(CLASS, second));
    breakers.report(CLASS, true, Verdict::Success, second);
    let calm = second + seconds(100);
    fail(&breakers, 3, calm);
    assert_eq!(breakers.admission(CLASS, calm + seconds(1)), Admission::Probe);
}

#[test]
fn too_few_successes_in_a_window_open_it() {
    let now = Instant::now();
    let breakers = Breakers::new(&config());
    // Never three in a row, two of three fail.
    for call in 0..19 {
        let verdict = if call % 3 == 0 { Verdict::Success } else { Verdict::Failure };
        assert_eq!(breakers.open(), 0, "{call}");
        breakers.report(CLASS, false, verdict, now);
    }
    breakers.report(CLASS, false, Verdict::Failure, now);
    assert_eq!(breakers.open(), 1);

    // The same calls, spread over time, never fill a window.
    let breakers = Breakers::new(&config());
    for call in 0..60 {
        let verdict = if call % 3 == 0 { Verdict::Success } else { Verdict::Failure };
        breakers.report(CLASS, false, verdict, now + seconds(call));
    }
    assert_eq!(breakers.open(), 0);
}

#[test]
fn classes_are_judged_apart() {
    let now = Instant::now();
    let breakers = Breakers::new(&config());
    fail(&breakers, 3, now);
    let get = class::of("/lightning.agents.v1.AgentService/GetAgent");
    assert_eq!(breakers.admission(get, now), Admission::Yes);
    assert_eq!(breakers.admission(CLASS, now), Admission::No);
}

#[test]
fn late_answers_do_not_change_an_open_breaker() {
    let now = Instant::now();
    let breakers = Breakers::new(&config());
    fail(&breakers, 3, now);
    breakers.report(CLASS, false, Verdict::Success, now);
    fail(&breakers, 30, now);
    assert_eq!(breakers.admission(CLASS, now), Admission::No);
    assert_eq!(breakers.admission(CLASS, now + seconds(1)), Admission::Probe);
}

#[test]
fn rules_can_be_turned_off() {
    let now = Instant::now();
    let off = BreakerConfig { consecutive_failures: 0, success_rate: 0, ..config() };
    let breakers = Breakers::new(&off);
    fail(&breakers, 1_000, now);
    assert_eq!(breakers.open(), 0);
}

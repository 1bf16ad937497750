//! Rates and history.

use super::*;

const START: i64 = 1_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(START + seconds * 1_000_000)
}

fn reading(requests: i64, errors: i64) -> Reading {
    Reading { serving: true, requests, errors, started_at: Some(at(0)), ..Reading::default() }
}

#[test]
fn rates_are_counted_between_two_readings() {
    let mut service = Service::new("agents", 10);
    service.record(at(5), Ok(reading(100, 1)));
    assert_eq!(service.newest().map(|sample| sample.request_rate), Some(0.0));
    service.record(at(15), Ok(reading(150, 6)));
    let newest = service.newest().unwrap();
    assert_eq!((newest.request_rate, newest.error_rate), (5.0, 0.5));
}

#[test]
fn a_restart_does_not_make_a_negative_rate() {
    let mut service = Service::new("agents", 10);
    service.record(at(5), Ok(reading(100, 1)));
    let after = Reading { started_at: Some(at(7)), ..reading(3, 0) };
    service.record(at(10), Ok(after));
    assert_eq!(service.newest().map(|sample| sample.request_rate), Some(0.0));
}

#[test]
fn an_unreachable_service_says_why_and_keeps_its_history() {
    let mut service = Service::new("agents", 10);
    service.record(at(5), Ok(reading(1, 0)));
    service.record(at(10), Err("connection refused".to_owned()));
    assert_eq!(service.health, Health::Unreachable("connection refused".to_owned()));
    assert_eq!(service.samples().map(|sample| sample.reachable).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn history_is_bounded() {
    let mut service = Service::new("agents", 3);
    for second in 1..=5 {
        service.record(at(second), Ok(reading(second, 0)));
    }
    let kept: Vec<i64> = service.samples().map(|sample| sample.reading.requests).collect();
    assert_eq!(kept, [3, 4, 5]);
}

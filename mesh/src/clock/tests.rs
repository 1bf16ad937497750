//! What the clock and its times promise.

use super::*;

#[test]
fn a_manual_clock_moves_only_when_told() {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(5));
    assert_eq!(clock.now().as_micros(), 5);
    hand.advance(Duration::from_secs(2));
    assert_eq!(clock.now().as_micros(), 2_000_005);
    assert_eq!(clock.now().since(Timestamp::from_micros(5)), Duration::from_secs(2));
}

#[test]
fn times_survive_the_protobuf_form() {
    for micros in [0, 1, -1, -1_000_001, 1_700_000_000_123_456] {
        let time = Timestamp::from_micros(micros);
        assert_eq!(Timestamp::from_proto(&time.to_proto()), Some(time));
    }
}

#[test]
fn an_impossible_protobuf_time_is_refused() {
    let check = |seconds, nanos| {
        assert_eq!(Timestamp::from_proto(&prost_types::Timestamp { seconds, nanos }), None);
    };
    check(0, -1);
    check(0, 1_000_000_000);
    check(i64::MAX, 0);
    check(i64::MIN, 0);
}

#[test]
fn a_time_displays_as_rfc_3339() {
    assert_eq!(Timestamp::from_micros(1_500_000).to_string(), "1970-01-01T00:00:01.5Z");
    assert_eq!(Timestamp::parse("1970-01-01T01:00:01.5+01:00"), Some(Timestamp(1_500_000)));
    assert_eq!(Timestamp::parse("yesterday"), None);
}

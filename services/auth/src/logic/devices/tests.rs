//! How many user codes may be guessed.

use std::{net::IpAddr, time::Duration};

use lightning_mesh::clock::Timestamp;

use super::{Guesses, OVERALL, PER_ADDRESS, WINDOW};

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn an_address_may_guess_ten_times_in_ten_minutes() {
    let (guesses, now) = (Guesses::default(), Timestamp::from_micros(1_000_000_000_000));
    let one = address("2001:db8::1");
    for _ in 0..PER_ADDRESS {
        assert!(guesses.is_open(one, now));
        guesses.wrong(one);
    }
    assert!(!guesses.is_open(one, now));
    assert!(!guesses.is_open(address("2001:db8::2"), now), "the same network");
    assert!(guesses.is_open(address("192.0.2.1"), now));
    assert!(!guesses.is_open(one, (now + WINDOW).before(Duration::from_secs(1))));
    assert!(guesses.is_open(one, now + WINDOW));
}

#[test]
fn all_addresses_together_have_a_limit() {
    let (guesses, now) = (Guesses::default(), Timestamp::from_micros(1_000_000_000_000));
    assert!(guesses.is_open(None, now));
    for n in 0..OVERALL {
        guesses.wrong(Some(std::net::Ipv4Addr::from(n).into()));
    }
    assert!(!guesses.is_open(address("192.0.2.1"), now));
}

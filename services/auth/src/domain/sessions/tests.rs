//! What a refresh token is worth, and when.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::{Lifetime, RefreshToken, Session, Terms, Worth};
use crate::domain::UserId;

const LIFETIME: Lifetime =
    Lifetime { absolute: Duration::from_hours(30 * 24), idle: Duration::from_hours(7 * 24) };
const START: Timestamp = Timestamp::from_micros(1_000_000_000);

fn begin() -> (Session, RefreshToken) {
    Session::begin(UserId::generate(), String::new(), Vec::new(), Terms::default(), LIFETIME, START)
}

#[test]
fn a_token_reads_back_and_damaged_ones_do_not() {
    let (session, token) = begin();
    let text = token.expose();
    let read = RefreshToken::parse(&text).unwrap();
    assert!(read == token);
    assert_eq!(read.session_id(), session.id);
    assert_eq!(text.len(), 95);
    for bad in ["", "lrt_", "lrt_AAAA", &text[4..], &text[..94], &format!("{text}AAAA")] {
        assert!(RefreshToken::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn only_the_newest_token_is_good_and_older_ones_are_replays() {
    let (session, first) = begin();
    assert_eq!(session.worth(&first, START), Worth::Good);
    let (session, second) = session.refreshed(&first, LIFETIME, START).unwrap();
    assert_eq!(session.worth(&second, START), Worth::Good);
    assert_eq!(session.worth(&first, START), Worth::Replayed);
}

#[test]
fn knowing_the_session_is_not_enough_for_a_replay() {
    let (session, first) = begin();
    let (session, second) = session.refreshed(&first, LIFETIME, START).unwrap();
    let forged = RefreshToken { family: [0; 16], ..first };
    assert_eq!(session.worth(&forged, START), Worth::Nothing);
    let guessed = RefreshToken { own: [0; 32], ..second };
    assert_eq!(session.worth(&guessed, START), Worth::Nothing);
    let ahead = RefreshToken { generation: 9, ..second };
    assert_eq!(session.worth(&ahead, START), Worth::Nothing);
}

#[test]
fn a_session_ends_when_idle_and_at_its_full_age() {
    let (session, token) = begin();
    let idle = START + LIFETIME.idle;
    assert_eq!(session.worth(&token, idle), Worth::Nothing);
    let late = START + Duration::from_hours(29 * 24);
    let (session, token) = session.refreshed(&token, LIFETIME, late).unwrap();
    assert_eq!(session.expires_at, START + LIFETIME.absolute);
    assert_eq!(session.worth(&token, START + LIFETIME.absolute), Worth::Nothing);
}

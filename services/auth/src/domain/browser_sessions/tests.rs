//! Sessions of browsers.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::{BrowserSession, CookieSecret, HALF_LIFETIME, Lifetime, Origin};
use crate::domain::{UserId, principals::Authentication};

const LIFE: Lifetime =
    Lifetime { absolute: Duration::from_hours(10), idle: Duration::from_hours(1) };

fn begin(user: &UserId, half: bool, before: Option<&BrowserSession>) -> BrowserSession {
    let now = Timestamp::from_micros(1_000_000);
    let how = Authentication::new(&["pwd"], now);
    BrowserSession::begin(user.clone(), how, half, before, Origin::default(), LIFE, now).0
}

#[test]
fn a_session_ends_when_it_is_idle_and_when_it_is_old() {
    let mut session = begin(&UserId::generate(), false, None);
    let born = session.created_at;
    assert!(session.is_alive(LIFE, born + Duration::from_mins(59)));
    assert!(!session.is_alive(LIFE, born + Duration::from_mins(60)));
    session.seen_at = born + Duration::from_hours(10);
    assert!(session.is_alive(LIFE, born + Duration::from_mins(599)));
    assert!(!session.is_alive(LIFE, born + Duration::from_hours(10)));
    session.ended_at = Some(born);
    assert!(!session.is_alive(LIFE, born));
}

#[test]
fn a_successor_has_another_id_and_secret_and_the_chain_of_its_user() {
    let (ada, bob) = (UserId::generate(), UserId::generate());
    let first = begin(&ada, false, None);
    let again = begin(&ada, false, Some(&first));
    assert!(first.id != again.id && first.secret_hash != again.secret_hash);
    assert_eq!(first.chain_id, again.chain_id);
    assert_ne!(begin(&bob, false, Some(&first)).chain_id, first.chain_id);
}

#[test]
fn half_a_login_is_short() {
    let half = begin(&UserId::generate(), true, None);
    assert!(!half.is_alive(LIFE, half.created_at + HALF_LIFETIME));
}

#[test]
fn the_token_of_forms_is_neither_the_cookie_nor_what_is_kept() {
    let secret = CookieSecret::generate();
    let texts = [secret.expose().to_owned(), secret.hash(), secret.form_token()];
    assert!(texts[0] != texts[1] && texts[1] != texts[2] && texts[0] != texts[2]);
    assert!(CookieSecret::parse(secret.expose()).is_some_and(|read| read == secret));
    for wrong in ["", "short", &"é".repeat(22), &"-".repeat(43)] {
        assert!(CookieSecret::parse(wrong).is_none(), "{wrong}");
    }
}

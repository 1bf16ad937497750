//! Codes by the book, and the clock beside them.

use lightning_mesh::clock::Timestamp;

use super::{App, RECOVERY_CODES, recovery_codes, recovery_hash, typed_code};
use crate::domain::{
    UserId,
    users::{Draft, User},
};

fn ada() -> User {
    let draft = Draft::try_new("ada", "", "", Vec::new()).unwrap();
    draft.into_user(
        UserId::generate(),
        "default".to_owned(),
        Vec::<String>::new(),
        Timestamp::from_micros(0),
    )
}

#[test]
fn codes_are_those_of_rfc_6238() {
    let app = App::new(b"12345678901234567890", "localhost", &ada()).unwrap();
    // Appendix B, the last six of eight digits.
    let check = |seconds: i64, code: &str, step: Option<i64>| {
        let now = Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!(app.step_of(code, now, -1), step, "{seconds} {code}");
    };
    check(59, "287082", Some(1));
    check(1_111_111_109, "081804", Some(37_037_036));
    check(1_234_567_890, "005924", Some(41_152_263));
    check(20_000_000_000, "353130", Some(666_666_666));
    check(59, "287083", None);
    check(59, "94287082", None);
    check(59, "28708", None);
    check(59, "28708٢", None);
    check(59, "", None);
}

#[test]
fn a_code_is_good_for_one_step_around_and_once() {
    let app = App::new(b"12345678901234567890", "localhost", &ada()).unwrap();
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    assert_eq!(app.step_of("287082", at(89), -1), Some(1));
    assert_eq!(app.step_of("287082", at(29), -1), Some(1));
    assert_eq!(app.step_of("287082", at(90), -1), None);
    assert_eq!(app.step_of("287082", at(59), 1), None, "used");
    assert_eq!(app.step_of("287082", at(59), 2), None, "older than a used one");
}

#[test]
fn the_address_names_issuer_and_account() {
    let app = App::new(&App::secret(), "localhost:8006", &ada()).unwrap();
    let address = app.address().unwrap();
    assert!(address.starts_with("otpauth://totp/localhost%208006:ada?secret="), "{address}");
    assert!(App::new(b"short", "localhost", &ada()).is_none());
}

#[test]
fn recovery_codes_differ_and_are_read_however_they_are_typed() {
    let codes = recovery_codes();
    assert_eq!(codes.len(), RECOVERY_CODES);
    let (ada, bob) = (UserId::generate(), UserId::generate());
    let kept = recovery_hash(&ada, &codes[0]).unwrap();
    let typed = format!("  {} ", codes[0].replace('-', " ").to_uppercase());
    assert_eq!(recovery_hash(&ada, &typed), Some(kept.clone()));
    assert_ne!(recovery_hash(&ada, &codes[1]), Some(kept.clone()));
    assert_ne!(recovery_hash(&bob, &codes[0]), Some(kept));
    assert_eq!(recovery_hash(&ada, "123456"), None);
    assert_eq!(recovery_hash(&ada, &"a".repeat(100_000)), None);
    assert_eq!(typed_code(" 123 456 "), "123456");
}

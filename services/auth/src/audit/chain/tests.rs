//! Links that hold, and texts that give nothing away.

use lightning_mesh::clock::Timestamp;

use super::{Entry, Link, clean};
use crate::audit::{Event, Outcome};

fn entry(action: &'static str) -> Entry {
    let event = Event::new(action, Outcome::Success, "user:1").with("name", "x");
    Entry::of(&event, Timestamp::from_micros(7))
}

#[test]
fn a_link_holds_only_in_its_place_and_as_it_was() {
    let first = Link::forge(entry("a.b"), 1, String::new());
    let second = Link::forge(entry("c.d"), 2, first.hash.clone());
    assert!(first.follows(1, "") && second.follows(2, &first.hash));
    assert!(!second.follows(1, &first.hash), "another place");
    assert!(!second.follows(2, ""), "another link before it");
    let mut changed = second.clone();
    changed.entry.subject = "user:2".to_owned();
    assert!(!changed.follows(2, &first.hash), "a column was changed");
    let forged = Link::forge(changed.entry, 2, first.hash.clone());
    assert_ne!(forged.hash, second.hash);
    let mut changed = second;
    changed.content = changed.content.replace("user:1", "user:3");
    assert!(!changed.follows(2, &first.hash), "the content was changed");
}

#[test]
fn what_looks_like_a_secret_is_not_kept() {
    let check = |text: &str, expected: &str| assert_eq!(clean(text), expected);
    check("admin viewer", "admin viewer");
    check("lk_short", "lk_short");
    check("key lk_aaaaaaaa_0123456789012345678901234 used", "key [removed] used");
    check("Bearer:eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.x", "Bearer:[removed]");
    check("a\nb", "a b");
    assert_eq!(clean(&"é".repeat(2_000)).chars().count(), 1_000);
}

//! Rules of policies and of who may publish them.

use super::*;

fn policy(name: &str, text: &str) -> Result<Policy, Violations> {
    let change = PolicyChange {
        name: Some(name.to_owned()),
        text: Some(text.to_owned()),
        ..PolicyChange::default()
    };
    Policy::new("acme", change, Timestamp::default())
}

#[test]
fn a_policy_has_a_name_and_a_text_within_limits() {
    let check =
        |name: &str, text: &str, fits| assert_eq!(policy(name, text).is_ok(), fits, "{name}");
    check("no deploys", "forbid(principal, action, resource);", true);
    check("", "x", false);
    check("no text", "", false);
    check("two\nlines", "x", false);
    check("nul", "x\0", false);
    check("much", &"x".repeat(MAX_TEXT), true);
    check("too much", &"x".repeat(MAX_TEXT + 1), false);
}

#[test]
fn the_etag_of_the_draft_follows_every_change_and_no_order() {
    let (one, two) = (policy("one", "x").unwrap(), policy("two", "y").unwrap());
    let etag = draft_etag(&[one.clone(), two.clone()]);
    assert_eq!(draft_etag(&[two.clone(), one.clone()]), etag);
    assert_ne!(draft_etag(std::slice::from_ref(&one)), etag);
    let changed = one.changed(PolicyChange::default(), Timestamp::default()).unwrap();
    assert_ne!(draft_etag(&[changed, two]), etag);
}

#[test]
fn a_published_text_names_each_policy() {
    let one = policy("one", "// why\npermit(principal, action, resource);").unwrap();
    let two = policy("two", "forbid(principal, action, resource);").unwrap();
    let text = joined(&[one.published(), two.published()]);
    let set = PolicySet::new("acme".to_owned(), 1, text);
    assert_eq!(set.policies().broken(), None);
}

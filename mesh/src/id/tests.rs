//! What is an id and what is not.

crate::typed_id!(ThingId, "A thing's id.");

#[test]
fn fresh_ids_sort_by_time() {
    let first = ThingId::generate();
    let second = ThingId::generate();
    assert!(first < second);
    assert_eq!(ThingId::parse(first.as_str()), Ok(first));
}

#[test]
fn only_harmless_text_is_an_id() {
    let check =
        |text: &str, expected| assert_eq!(ThingId::parse(text).is_ok(), expected, "{text:?}");
    check("a", true);
    check("workflow-customer-support", true);
    check("v1.2_x", true);
    check(&"a".repeat(128), true);
    check(&"a".repeat(129), false);
    check("", false);
    check("..", false);
    check("a b", false);
    check("a/b", false);
    check("é", false);
    check("a\n", false);
}

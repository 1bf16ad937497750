//! The rules, without anything around them.

use serde_json::json;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_part_changes_only_what_it_names() {
    let current = json!({"a": 1, "b": {"c": 2, "d": 3}});
    let check = |part: Part, expected: Value| {
        assert_eq!(Value::Object(part.apply(object(current.clone()))), expected);
    };
    let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    check(Part::Keep, current.clone());
    check(Part::Replace(object(json!({"x": 1}))), json!({"x": 1}));
    check(
        Part::Merge(object(json!({"a": 9, "b": {"c": 8}})), paths(&["b.c"])),
        json!({"a": 1, "b": {"c": 8, "d": 3}}),
    );
    check(Part::Merge(Map::new(), paths(&["b.c", "a"])), json!({"b": {"d": 3}}));
    check(
        Part::Merge(object(json!({"a": {"z": 1}})), paths(&["a.z"])),
        json!({"a": {"z": 1}, "b": {"c": 2, "d": 3}}),
    );
}

#[test]
fn a_name_is_one_visible_line() {
    let check = |text: &str, expected| assert_eq!(is_name(text), expected, "{text:?}");
    check("Orders", true);
    check("", false);
    check("  ", false);
    check("a\nb", false);
    check(&"ä".repeat(200), true);
    check(&"ä".repeat(201), false);
}

#[test]
fn deep_json_is_told_apart() {
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    assert!(!is_too_deep(&nested(28)));
    assert!(is_too_deep(&nested(29)));
}

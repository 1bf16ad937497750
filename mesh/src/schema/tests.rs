//! Which schemas are taken.

use serde_json::{Map, json};

use super::*;

fn check(schema: &Value, expected: &str) {
    match bounded(schema) {
        Ok(()) => assert_eq!(expected, "", "{schema}"),
        Err(error) => {
            let message = error.to_string();
            assert!(!expected.is_empty() && message.contains(expected), "{message}: {schema}");
        }
    }
}

#[test]
fn ordinary_schemas_are_taken() {
    check(&json!({}), "");
    check(&json!(true), "");
    check(&json!({"type": "object", "properties": {"$ref": {"type": "string"}}}), "");
    check(&json!({"$ref": "#/$defs/a", "$defs": {"a": {"enum": [{"$ref": "#/nowhere"}]}}}), "");
    check(
        &json!({"$defs": {"a": {}}, "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}),
        "",
    );
}

#[test]
fn a_schema_that_doubles_at_each_level_is_refused() {
    let mut definitions = Map::new();
    for level in 0..60 {
        let next = json!({"$ref": format!("#/$defs/a{}", level + 1)});
        definitions.insert(format!("a{level}"), json!({"allOf": [next, next]}));
    }
    definitions.insert("a60".to_owned(), json!({"type": "object"}));
    // 60 references deep is too deep already; 12 are not, and are still 2^12 subschemas.
    check(&json!({"$ref": "#/$defs/a0", "$defs": definitions}), "the schema");
    // A property may have the name of a keyword.
    let hidden = json!({"properties": {"enum": {"$ref": "#/$defs/a48"}}, "$defs": definitions});
    check(&hidden, "too complex");
    check(&json!({"$ref": "#/$defs/a48", "$defs": definitions}), "too complex");
    check(&json!({"$ref": "#/$defs/a55", "$defs": definitions}), "");
}

#[test]
fn what_cannot_be_counted_is_refused() {
    check(&json!({"properties": {"next": {"$ref": "#"}}}), "recursive");
    check(&json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}), "recursive");
    check(&json!({"$ref": "other.json"}), "not of the form");
    check(&json!({"$ref": "#anchor"}), "not of the form");
    check(&json!({"$ref": "#/$defs/a"}), "leads nowhere");
    check(&json!({"$dynamicRef": "#a"}), "$dynamicRef");
    check(&json!({"properties": {"a": {"$id": "b"}}}), "$id");
}

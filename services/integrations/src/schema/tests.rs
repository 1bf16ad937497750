//! Paths and texts of violations.

use serde_json::json;

use super::*;

#[test]
fn violations_name_the_field_and_not_the_value() {
    let schema = Schema::compile(json!({
        "type": "object",
        "required": ["sql"],
        "additionalProperties": false,
        "properties": {
            "sql": {"type": "string", "minLength": 1},
            "rows": {"type": "array", "items": {"type": "object", "properties": {"a/b": {"type": "integer"}}}},
            "mode": {"enum": ["append", "replace"]},
        }
    }))
    .unwrap();
    let check = |value: Value, expected: &[&str]| {
        let found = schema.check("payload", &value);
        let paths: Vec<_> = found.iter().map(|violation| violation.path.as_str()).collect();
        assert_eq!(paths, expected, "{value}: {found:?}");
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    };
    check(json!({"sql": "x"}), &[]);
    check(json!({}), &["payload.sql"]);
    check(json!({"sql": 1}), &["payload.sql"]);
    check(json!({"sql": "x", "rows": [{}, {"a/b": "canary"}]}), &["payload.rows[1].a/b"]);
    check(json!({"sql": "x", "mode": "canary"}), &["payload.mode"]);
    check(json!({"sql": "x", "other": "canary"}), &["payload.other"]);
    check(json!("canary"), &["payload"]);
}

#[test]
fn a_schema_fetches_nothing() {
    let error = Schema::compile(json!({"$ref": "https://example.com/schema.json"}));
    assert!(error.is_err());
}

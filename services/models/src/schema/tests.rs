//! Schemas of callers, and the smallest values that fit them.

use serde_json::{Map, json};

use super::*;

#[test]
fn the_smallest_value_fits_its_schema() {
    let check = |schema: Value| {
        let value = instance::smallest(&schema, &|_, _| None);
        let compiled = Schema::compile(&schema).expect("a schema");
        assert!(compiled.fits(&value), "{schema} got {value}");
    };
    check(
        json!({"type": "object", "properties": {"intent": {"enum": ["a", "b"]}}, "required": ["intent"]}),
    );
    check(
        json!({"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}}),
    );
    check(json!({"type": "object", "minProperties": 2}));
    check(json!({"type": "array", "minItems": 2, "items": {"type": "boolean"}}));
    check(
        json!({"type": "array", "minItems": 3, "uniqueItems": true, "items": {"type": "string"}}),
    );
    check(
        json!({"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "minItems": 2}),
    );
    check(json!({"type": "array", "contains": {"const": 7}}));
    check(json!({"type": "integer", "minimum": 3, "multipleOf": 5}));
    check(json!({"type": "integer", "maximum": -3}));
    check(json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}));
    check(json!({"type": "number", "minimum": 0.5}));
    check(json!({"type": "string", "minLength": 5}));
    check(json!({"type": "string", "pattern": "^[A-Z]{3}-\\d{4}(x|y)+$"}));
    check(json!({"type": "string", "format": "date-time"}));
    check(json!({"type": ["null", "string"]}));
    check(json!({"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]}));
    check(json!({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 3}]}));
    check(
        json!({"allOf": [{"type": "object", "properties": {"a": {"const": 1}}}, {"required": ["a"]}]}),
    );
    check(json!({"$ref": "#/$defs/x", "$defs": {"x": {"type": "object", "required": ["y"],
        "properties": {"y": {"$ref": "#/$defs/y"}}}, "y": {"enum": [3]}}}));
    check(json!({"properties": {"a": {"type": "string"}}}));
    check(json!({}));
}

#[test]
fn a_schema_that_never_ends_is_given_up() {
    let schema = json!({"$ref": "#/$defs/x", "$defs": {"x": {"type": "object", "required": ["x"],
        "properties": {"x": {"$ref": "#/$defs/x"}}}}});
    instance::smallest(&schema, &|_, _| None);
    let wide: Value = (0..20).map(|n| (format!("p{n}"), json!({"$ref": "#"}))).collect();
    instance::smallest(&json!({"type": "object", "properties": wide}), &|_, _| None);
}

/// Each definition asks for the next one twice.
fn doubling(levels: usize) -> Value {
    let mut defs = Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        defs.insert(format!("d{level}"), json!({"allOf": [next, next]}));
    }
    defs.insert(format!("d{levels}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/d0", "$defs": defs})
}

#[test]
fn a_schema_that_doubles_at_each_level_is_refused() {
    assert!(Schema::compile(&doubling(4)).is_ok());
    let problem = Schema::compile(&doubling(15)).err().expect("a refusal");
    assert!(problem.contains("too complex"), "{problem}");
}

#[test]
fn smallest_values_are_bounded_however_large_the_schema_wants_them() {
    let check = |schema: Value| {
        let value = instance::smallest(&schema, &|_, _| None);
        assert!(value.to_string().len() < 8 << 20, "{schema}");
    };
    let long = "x".repeat(100_000);
    check(json!({"type": "array", "minItems": 9_000, "items": {"const": long}}));
    check(
        json!({"type": "array", "minItems": 9_000, "items": {"type": "string", "minLength": 9_000}}),
    );
    check(json!({"type": "string", "pattern": "(((a?){1000}){1000}){1000}"}));
    let branch = json!({"allOf": [{"anyOf": [{"const": 1}, {"const": 2}], "description": long}]});
    check(json!({"type": "array", "minItems": 9_000, "items": branch}));
}

#[test]
fn answers_are_read_with_and_without_fences() {
    let schema = Schema::compile(&json!({"type": "object", "required": ["a"]})).expect("a schema");
    let check = |answer: &str| assert_eq!(schema.read(answer), Ok(json!({"a": 1})), "{answer}");
    check(r#"{"a": 1}"#);
    check("```json\n{\"a\": 1}\n```");
    check(" ```\n{\"a\": 1}\n``` ");
    assert!(schema.read("{}").is_err_and(|problem| problem.contains("\"a\"")));
    assert!(schema.read("hello").is_err_and(|problem| problem.contains("not JSON")));
}

#[test]
fn schemas_that_are_none_are_refused() {
    let check = |schema: Value, words: &str| {
        let problem = Schema::compile(&schema).err().expect("a refusal");
        assert!(problem.contains(words), "{schema}: {problem}");
    };
    check(json!({"type": "text"}), "JSON Schema");
    check(json!({"$ref": "http://example.com/schema"}), "bounded work");
    check(json!({"pattern": "("}), "JSON Schema");
    check(json!({"description": "x".repeat(200_000)}), "128 KiB");
    check(json!({"pattern": "a".repeat(5_000)}), "4 KiB");
    check(json!({"allOf": vec![json!({"pattern": "\\p{L}{1,9}"}); 33]}), "32 patterns");
}

//! Which definitions are accepted, and what is said about the others.
//!
//! The rows stand in `tests/data/definitions.yaml`: a definition and the faults it has, each as
//! `pointer: a part of the message`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Finding, hash, locate, parse, read};

#[derive(Deserialize)]
struct Row {
    name: String,
    #[serde(default)]
    faults: Vec<(String, String)>,
    /// The tasks; the rest of the document is the same for all rows.
    #[serde(default, rename = "do")]
    tasks: Option<Value>,
    /// Further or other top-level keys.
    #[serde(default)]
    with: serde_json::Map<String, Value>,
}

fn rows() -> Vec<Row> {
    serde_saphyr::from_str(include_str!("../../tests/data/definitions.yaml"))
        .expect("the rows can be read")
}

fn whole(row: &Row) -> Value {
    let document = json!({"dsl": "1.0.0", "namespace": "test", "name": "row", "version": "1.0.0"});
    let mut value = json!({ "document": document });
    if let Some(tasks) = &row.tasks {
        value["do"] = tasks.clone();
    }
    for (key, part) in &row.with {
        value[key] = part.clone();
    }
    value
}

#[test]
fn every_fault_is_reported_at_its_place() {
    for row in rows() {
        let findings = read(&whole(&row)).err().unwrap_or_default();
        let shown: Vec<_> =
            findings.iter().map(|finding| format!("{}: {finding}", finding.pointer)).collect();
        assert_eq!(findings.len(), row.faults.len(), "{}: {shown:#?}", row.name);
        for (pointer, message) in &row.faults {
            let found = |finding: &Finding| {
                finding.pointer == *pointer && finding.message.contains(message)
            };
            assert!(
                findings.iter().any(found),
                "{}: {pointer}: {message} is not in {shown:#?}",
                row.name
            );
        }
    }
}

#[test]
fn faults_of_a_text_carry_line_and_column() {
    let source = "document: {dsl: 1.0.0, namespace: a, name: b, version: '1'}\ndo:\n  - first:\n      nonsense: 1\n  - second:\n      set: { x: '${ .a + }' }\n";
    let (value, positions) = parse(source).expect("the text is well-formed");
    let mut findings = read(&value).expect_err("it has faults");
    locate(&mut findings, &positions);
    let places: Vec<_> =
        findings.iter().map(|finding| (finding.pointer.as_str(), finding.position)).collect();
    assert_eq!(
        places,
        [
            ("/do/0/first", Some((3, 5))),
            ("/do/0/first/nonsense", Some((4, 7))),
            ("/do/1/second/set/x", Some((6, 14))),
        ]
    );
}

#[test]
fn malformed_texts_say_where() {
    for (source, part) in [
        ("a: [1, 2", "cannot be read"),
        ("{\"a\": 1, \"a\": 2}", "duplicate"),
        (&"[".repeat(500), "cannot be read"),
        (&"[".repeat(200_000), "cannot be read"),
        (&format!("{}1{}", "[".repeat(60), "]".repeat(60)), "cannot be read"),
        (&format!("{}1{}", "{a: ".repeat(60), "}".repeat(60)), "cannot be read"),
        (&format!("{}1", "- ".repeat(60)), "cannot be read"),
        (&format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100)), "cannot be read"),
        ("a: &x [1]\nb: .inf", "cannot be read"),
    ] {
        let finding = parse(source).expect_err(source);
        assert!(finding.message.to_lowercase().contains(part), "{source}: {finding}");
        assert!(finding.position.is_some(), "{source}: {finding:?}");
    }
}

#[test]
fn json_and_yaml_mean_the_same() {
    let json = "{\"do\": [{\"a\": {\"set\": {\"x\": 1, \"y\": [true, null, 1.5, \"t\", \"y\", \"no\"]}}}]}";
    let yaml = "do:\n  - a:\n      set:\n        y: [true, null, 1.5, t, y, no]\n        x: 1\n";
    let (json, yaml) = (parse(json).expect("json").0, parse(yaml).expect("yaml").0);
    assert_eq!(json, yaml);
    assert_eq!(hash(&json), hash(&yaml));
}

#[test]
fn too_many_and_too_deep_tasks_are_refused() {
    let task = |at: usize| json!({format!("t{at}"): {"set": {"a": at}}});
    let many: Vec<Value> = (0..1_001).map(task).collect();
    let mut deep = json!([{"leaf": {"set": {"a": 1}}}]);
    for _ in 0..10 {
        deep = json!([{"level": {"do": deep}}]);
    }
    for (tasks, part) in [(Value::Array(many), "more than 1000"), (deep, "deeper than 10")] {
        let row = Row {
            name: String::new(),
            faults: Vec::new(),
            tasks: Some(tasks),
            with: serde_json::Map::new(),
        };
        let findings = read(&whole(&row)).expect_err(part);
        assert!(findings.iter().any(|finding| finding.message.contains(part)), "{findings:?}");
    }
}

#[test]
fn what_the_api_cannot_carry_is_refused_at_its_place() {
    let deep = (0..40).fold(json!(1), |inner, _| json!({ "a": inner }));
    let row = Row {
        name: String::new(),
        faults: Vec::new(),
        tasks: Some(json!([{ "t": { "set": deep } }])),
        with: serde_json::Map::new(),
    };
    let findings = read(&whole(&row)).expect_err("it is too deep");
    assert!(findings[0].message.contains("nested too deep"), "{findings:?}");
    assert!(findings[0].pointer.starts_with("/do/0/t/set/a"), "{findings:?}");
}

/// A schema that asks for twice as much at each of its levels.
fn doubling(levels: usize) -> Value {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({ "$ref": format!("#/$defs/a{}", level + 1) });
        defs.insert(format!("a{level}"), json!({ "allOf": [next, next] }));
    }
    defs.insert(format!("a{levels}"), json!({ "type": "object" }));
    json!({ "$defs": defs, "$ref": "#/$defs/a0" })
}

#[test]
fn schemas_without_bounds_are_refused_wherever_they_stand() {
    let schema = json!({ "schema": { "document": doubling(15) } });
    let task = json!({ "set": { "x": 1 }, "input": schema, "output": schema, "export": schema });
    let row = Row {
        name: String::new(),
        faults: Vec::new(),
        tasks: Some(json!([{ "t": task }])),
        with: [("input".to_owned(), schema)].into_iter().collect(),
    };
    let findings = read(&whole(&row)).expect_err("the schemas double");
    let mut places: Vec<_> = findings.iter().map(|finding| finding.pointer.as_str()).collect();
    places.sort_unstable();
    let expected = ["/do/0/t/export", "/do/0/t/input", "/do/0/t/output", "/input"];
    assert_eq!(places, expected.map(|place| format!("{place}/schema/document")));
    assert!(findings[0].message.contains("too complex"), "{findings:?}");
}

#[test]
fn the_shipped_samples_are_sound() {
    for source in crate::samples::SAMPLES.iter().map(|sample| sample.source) {
        let (value, positions) = parse(source).expect("the sample is well-formed");
        if let Err(mut findings) = read(&value) {
            locate(&mut findings, &positions);
            panic!("{findings:#?}");
        }
    }
}

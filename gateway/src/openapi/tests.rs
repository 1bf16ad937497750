//! What generators rely on.

use std::collections::BTreeSet;

use serde_json::Value;

fn document() -> Value {
    crate::openapi().unwrap()
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some_and(|schema| !schema.is_null()), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                references.insert(reference.to_owned());
            }
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn operations_have_names_of_their_own_and_words_to_read() {
    let document = document();
    let mut names = BTreeSet::new();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for (verb, operation) in verbs.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name), "{verb} {path}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{verb} {path}");
        }
    }
}

#[test]
fn every_variable_of_a_path_is_a_parameter() {
    let document = document();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        let variables: BTreeSet<&str> =
            path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        for (verb, operation) in verbs.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().unwrap();
            let bound: BTreeSet<&str> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(bound, variables, "{verb} {path}");
        }
    }
}

#[test]
fn the_document_says_what_the_contract_says() {
    let document = document();
    let create = &document["paths"]["/api/v1/agents"]["post"];
    assert_eq!(create["x-permission"], "agents.write");
    assert!(create["responses"]["201"].is_object());
    let agent = &document["components"]["schemas"]["agents.Agent"];
    assert_eq!(agent["required"], serde_json::json!(["name", "agent_type"]));
    assert_eq!(agent["properties"]["id"]["readOnly"], true);
    let words = agent["properties"]["status"]["enum"].as_array().unwrap();
    assert!(words.contains(&Value::from("deployed")), "{words:?}");
    assert_eq!(document["paths"]["/api/v1/auth/login"]["post"]["security"], serde_json::json!([]));
    let deleted = &document["paths"]["/api/v1/agents/{id}"]["delete"]["responses"];
    assert!(deleted["204"]["content"].is_null());
}

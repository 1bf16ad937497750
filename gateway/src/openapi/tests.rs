//! What generators rely on.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use lightning_mesh::serve::{Mount, rest_options};
use lightning_transcode::RoutesBuilder;
use prost_reflect::DescriptorPool;
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

/// A pool in which each of many messages holds the next, with one route to the first.
fn deep(levels: usize) -> DescriptorPool {
    let next = |level: usize| match level + 1 < levels {
        true => format!("M{} next = 1;", level + 1),
        false => String::new(),
    };
    let messages: String =
        (0..levels).map(|level| format!("message M{level} {{ {} }}\n", next(level))).collect();
    let proto = format!(
        "syntax = \"proto3\"; package deep.v1; import \"google/api/annotations.proto\";
        service Deep {{ rpc Get(M0) returns (M0) {{
            option (google.api.http) = {{post: \"/deep\" body: \"*\"}}; }} }}\n{messages}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deep.proto"), proto).unwrap();
    let contract = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let mut compiler = protox::Compiler::new([folder.path(), &contract]).unwrap();
    compiler.include_imports(true).open_file("deep.proto").unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

#[test]
fn messages_of_an_upstream_may_nest_as_deep_as_they_like() {
    let mut builder = RoutesBuilder::new(deep(20_000), rest_options());
    let routes = builder.add_service("deep.v1.Deep").build().unwrap();
    let answer = |_| async { Ok(http::Response::new(tonic::body::Body::empty())) };
    let service = tower::service_fn(answer);
    let (services, methods) = (vec!["deep.v1.Deep".to_owned()], HashMap::new());
    let mount = Mount::new("deep", services, methods, routes.clone(), Vec::new(), service);
    let document = super::document(&routes, &[Arc::new(mount)], "1");
    assert!(document["components"]["schemas"]["deep.deep.v1.M19999"].is_object());
}

//! The tables in `tests/data`: each row is one request, what the service must be sent, and what the
//! caller must get.

use std::{collections::BTreeMap, fmt::Write};

use serde::Deserialize;
use serde_json::Value;

use super::support::{Answer, Reply, World, bytes_of, message, options, request};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    fact: String,
    call: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    body_hex: String,
    #[serde(default)]
    reply: Reply,
    #[serde(default = "ok")]
    status: u16,
    rpc: Option<String>,
    template: Option<String>,
    sent: Option<Value>,
    #[serde(default)]
    metadata: BTreeMap<String, Option<String>>,
    answer: Option<Value>,
    text: Option<String>,
    #[serde(default)]
    broken: bool,
    #[serde(default)]
    answer_headers: BTreeMap<String, Option<String>>,
    reason: Option<String>,
    field: Option<String>,
    says: Option<String>,
    grpc: Option<i32>,
}

fn ok() -> u16 {
    200
}

async fn check(table: &str) {
    let path = format!("{}/tests/data/{table}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Row> = serde_json::from_str(&text).unwrap();
    let world = World::new(options());
    let mut failures = String::new();
    for row in &rows {
        for failure in run(&world, row).await {
            writeln!(failures, "{table}: {} ({}): {failure}", row.fact, row.call).unwrap();
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

async fn run(world: &World, row: &Row) -> Vec<String> {
    world.reply(row.reply.clone());
    let body = if row.body.is_null() {
        bytes_of(&row.body_hex)
    } else {
        let json = || row.body.to_string();
        row.body.as_str().map_or_else(json, str::to_owned).into_bytes()
    };
    let headers: Vec<(&str, &str)> =
        row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = world.call(request(&row.call, &headers, body)).await;
    let mut failures = Vec::new();
    let mut expect = |what: &str, holds: bool, got: String| {
        if !holds {
            failures.push(format!("{what}, got {got}"));
        }
    };
    expect(
        &format!("status {}", row.status),
        answer.status == row.status,
        format!("{} {}", answer.status, answer.text()),
    );
    expect("the stated end", answer.broken == row.broken, format!("broken: {}", answer.broken));
    check_sent(world, row, &mut expect);
    check_answer(row, &answer, &mut expect);
    failures
}

fn check_sent(world: &World, row: &Row, expect: &mut dyn FnMut(&str, bool, String)) {
    let wanted = row.rpc.is_some() || row.sent.is_some() || row.template.is_some();
    let Some(sent) = world.sent() else {
        return expect("a call", !wanted && row.metadata.is_empty(), "none".to_owned());
    };
    if row.status >= 400
        && row.reply.code == 0
        && row.reply.http.is_none()
        && !wanted
        && !row.reply.cut
    {
        let unasked = row.reason.as_deref().is_some_and(|it| it.starts_with("MALFORMED_RES"));
        expect("no call", unasked, format!("{} {}", sent.path, sent.message));
    }
    if let Some(rpc) = &row.rpc {
        expect(rpc, sent.path == *rpc, sent.path.clone());
    }
    if let Some(template) = &row.template {
        expect(template, sent.template.as_ref() == Some(template), format!("{:?}", sent.template));
    }
    if let Some(json) = &row.sent {
        let wanted = message(&prost_reflect::ReflectMessage::descriptor(&sent.message), json);
        expect(&json.to_string(), same(&wanted, &sent.message), sent.message.to_string());
    }
    for (name, value) in &row.metadata {
        let got = sent.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        expect(&format!("metadata {name} {value:?}"), got == *value, format!("{got:?}"));
    }
}

/// Equal as texts too: `-0` and `0` differ, and so does NaN from nothing.
fn same(left: &prost_reflect::DynamicMessage, right: &prost_reflect::DynamicMessage) -> bool {
    let json = |message| serde_json::to_value(message).unwrap();
    json(left) == json(right)
}

fn check_answer(row: &Row, answer: &Answer, expect: &mut dyn FnMut(&str, bool, String)) {
    if let Some(json) = &row.answer {
        expect(&json.to_string(), answer.json() == *json, answer.text());
    }
    if let Some(text) = &row.text {
        expect(text, answer.text() == *text, answer.text());
    }
    for (name, value) in &row.answer_headers {
        let got = answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        expect(&format!("header {name} {value:?}"), got == *value, format!("{got:?}"));
    }
    if let Some(reason) = &row.reason {
        expect(reason, answer.reason().as_ref() == Some(reason), answer.text());
    }
    if let Some(field) = &row.field {
        expect(&format!("field {field}"), answer.field().as_ref() == Some(field), answer.text());
    }
    if let Some(says) = &row.says {
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        expect(says, message.contains(says.as_str()), message);
    }
    if let Some(grpc) = row.grpc {
        expect(
            &format!("gRPC status {grpc}"),
            answer.grpc == Some(grpc),
            format!("{:?}", answer.grpc),
        );
    }
    if row.status >= 400 && row.text.is_none() {
        let code = answer.json()["error"]["code"].as_u64();
        expect("the error shape", code == Some(row.status.into()), answer.text());
    }
}

#[tokio::test]
async fn paths_are_matched_and_bound() {
    check("paths").await;
}

#[tokio::test]
async fn each_field_comes_from_one_place() {
    check("sources").await;
}

#[tokio::test]
async fn query_values_are_read_strictly() {
    check("query").await;
}

#[tokio::test]
async fn json_bodies_are_read_strictly() {
    check("bodies").await;
}

#[tokio::test]
async fn answers_have_the_products_json() {
    check("answers").await;
}

#[tokio::test]
async fn errors_have_one_shape_and_the_right_status() {
    check("errors").await;
}

#[tokio::test]
async fn conventions_go_by_field_name() {
    check("conventions").await;
}

#[tokio::test(start_paused = true)]
async fn streams_are_framed_by_accept() {
    check("streams").await;
}

//! Which fields are refused, and how they are named.

use lightning_mesh::json;
use serde_json::json;

use super::*;
use crate::domain::Role;

fn user(content: &str) -> pb::Message {
    pb::Message { role: "user".to_owned(), content: content.to_owned(), ..Default::default() }
}

fn fields(fault: &Fault) -> Vec<String> {
    // The fields of a fault show in its debug form, which is meant for tests and logs.
    let text = format!("{fault:?}");
    let start = text.find("fields: ").expect("fields") + "fields: ".len();
    let end = text[start..].find(", source").expect("source") + start;
    text[start..end]
        .split("(\"")
        .skip(1)
        .filter_map(|part| part.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn violations_name_their_fields() {
    let check = |request: pb::InferRequest, expected: &[&str]| {
        let fault = inferences::ask("inference.", request.clone()).expect_err("a refusal");
        assert_eq!(fields(&fault), expected, "{request:?}");
    };
    let base = || pb::InferRequest { prompt: "hi".to_owned(), ..Default::default() };
    let tool = |name: &str, parameters| pb::Tool {
        name: name.to_owned(),
        parameters: Some(json::to_struct(parameters)),
        ..Default::default()
    };
    check(pb::InferRequest::default(), &["inference.messages"]);
    check(pb::InferRequest { messages: vec![user("a")], ..base() }, &["inference.prompt"]);
    check(pb::InferRequest { model: "a b".to_owned(), ..base() }, &["inference.model"]);
    check(pb::InferRequest { temperature: Some(2.1), ..base() }, &["inference.temperature"]);
    check(
        pb::InferRequest { temperature: Some(f64::NAN), top_p: Some(0.0), ..base() },
        &["inference.temperature", "inference.top_p"],
    );
    check(
        pb::InferRequest { max_output_tokens: Some(-1), ..base() },
        &["inference.max_output_tokens"],
    );
    check(pb::InferRequest { stop: vec![String::new()], ..base() }, &["inference.stop"]);
    check(pb::InferRequest { stop: vec!["a".to_owned(); 9], ..base() }, &["inference.stop"]);
    check(
        pb::InferRequest { tools: vec![tool("a b", json!({}))], ..base() },
        &["inference.tools[0].name"],
    );
    check(
        pb::InferRequest { tools: vec![tool("a", json!({})), tool("a", json!({}))], ..base() },
        &["inference.tools[1].name"],
    );
    check(
        pb::InferRequest { tools: vec![tool("a", json!({"type": 3}))], ..base() },
        &["inference.tools[0].parameters"],
    );
    check(
        pb::InferRequest {
            response_schema: Some(json::to_struct(json!({"type": "nope"}))),
            ..base()
        },
        &["inference.response_schema"],
    );
    let message = |role: &str, id: &str| pb::Message {
        role: role.to_owned(),
        tool_call_id: id.to_owned(),
        ..Default::default()
    };
    let messages = |messages| pb::InferRequest { messages, ..Default::default() };
    check(messages(vec![user("a"), message("boss", "")]), &["inference.messages[1].role"]);
    check(messages(vec![message("tool", "")]), &["inference.messages[0].tool_call_id"]);
    check(messages(vec![message("user", "1")]), &["inference.messages[0].tool_call_id"]);
    check(messages(vec![user("a"); 1_001]), &["inference.messages"]);
}

#[test]
fn a_prompt_is_one_user_message() {
    let request = pb::InferRequest { prompt: "hi".to_owned(), ..Default::default() };
    let ask = inferences::ask("", request).expect("a question");
    assert_eq!(ask.request.messages.len(), 1);
    assert_eq!(ask.request.messages[0].role, Role::User);
}

#[test]
fn registrations_are_checked() {
    let check = |request: pb::RegisterModelRequest, expected: &[&str]| {
        let fault = models::registration(request.clone()).expect_err("a refusal");
        assert_eq!(fields(&fault), expected, "{request:?}");
    };
    let base = || pb::RegisterModelRequest {
        id: "m".to_owned(),
        provider: "p".to_owned(),
        ..Default::default()
    };
    check(pb::RegisterModelRequest::default(), &["id", "provider"]);
    check(
        pb::RegisterModelRequest { capabilities: vec!["chat".into(), "sing".into()], ..base() },
        &["capabilities[1]"],
    );
    check(pb::RegisterModelRequest { context_window: -1, ..base() }, &["context_window"]);
    check(
        pb::RegisterModelRequest { input_price_per_million: -1.0, ..base() },
        &["input_price_per_million"],
    );
    let model = models::registration(base()).expect("a model");
    assert_eq!((model.name.as_str(), model.upstream.as_str()), ("m", "m"));
}

#[test]
fn spans_have_defaults_and_an_order() {
    let now = Timestamp::parse("2026-11-22T12:00:00Z").expect("a time");
    let span_of = |request: pb::GetCostsRequest| span(&request, now);
    let defaults = span_of(pb::GetCostsRequest::default()).expect("a span");
    assert_eq!((defaults.end, defaults.group_by), (now, GroupBy::Model));
    assert_eq!(defaults.start.to_string(), "2026-10-23T12:00:00Z");
    let check = |request: pb::GetCostsRequest, expected: &str| {
        assert_eq!(fields(&span_of(request).expect_err("a refusal")), [expected]);
    };
    check(
        pb::GetCostsRequest { start_time: Some(now.to_proto()), ..Default::default() },
        "start_time",
    );
    check(pb::GetCostsRequest { group_by: "week".to_owned(), ..Default::default() }, "group_by");
    let broken = Some(prost_types::Timestamp { seconds: 0, nanos: -1 });
    check(pb::GetCostsRequest { end_time: broken, ..Default::default() }, "end_time");
}

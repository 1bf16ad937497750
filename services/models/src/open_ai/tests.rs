//! Which bodies are read, and which are refused with which parameter.

use serde_json::{Value, json};

use super::*;
use crate::domain::{Format, Role, ToolChoice};

fn bytes(value: &Value) -> Bytes {
    value.to_string().into_bytes().into()
}

#[test]
fn bodies_of_sdks_are_read() {
    let body = json!({
        "model": "scripted-1",
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "x"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "done"},
        ],
        "max_completion_tokens": 5,
        "stop": "x",
        "seed": 7,
        "store": false,
        "surprise": {"a": 1},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": true}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let asked = match chat::read(&bytes(&body)) {
        Ok(asked) => asked,
        Err(Failure::Refused(refusal)) => panic!("{refusal:?}"),
        Err(Failure::Failed(error)) => panic!("{error:?}"),
    };
    let request = asked.ask.request;
    assert!(asked.stream && asked.include_usage);
    assert_eq!(request.messages[0].role, Role::System);
    assert_eq!(request.messages[1].content, "ab");
    assert_eq!(request.sampling.max_output_tokens, Some(5));
    assert_eq!(request.sampling.stop, ["x"]);
    assert_eq!(Value::Object(request.extra), json!({"seed": 7}));
    assert_eq!(request.tool_choice, ToolChoice::Named("f".to_owned()));
    assert!(matches!(request.format, Format::Schema { .. }));
}

#[test]
fn chat_bodies_that_cannot_be_answered_are_refused() {
    let check = |more: Value, param: &str| {
        let mut body = json!({"messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        let status = match chat::read(&bytes(&body)) {
            Ok(_) => panic!("{body} was accepted"),
            Err(failure) => refuse(failure),
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{body}");
        assert!(
            status.message().contains(param) || format!("{status:?}").contains(param),
            "{body}: {status:?}"
        );
    };
    check(json!({"messages": []}), "messages");
    check(json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), "content");
    check(json!({"messages": [{"role": "function", "content": ""}]}), "role");
    check(json!({"messages": [{"role": "tool", "content": "x"}]}), "tool_call_id");
    check(json!({"n": 2}), "n");
    check(json!({"temperature": 3}), "temperature");
    check(json!({"temperature": "hot"}), "\\\"param\\\":\\\"temperature\\\"");
    check(json!({"max_tokens": 0}), "max_output_tokens");
    check(json!({"tools": [{"type": "code"}]}), "tools[0].type");
    check(json!({"tool_choice": "required"}), "tool_choice");
    check(json!({"response_format": {"type": "xml"}}), "response_format");
    check(
        json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 1}}}}),
        "schema",
    );
}

#[test]
fn embedding_bodies_are_read_or_refused() {
    let check = |body: Value, param: Option<&str>| {
        let refused = match embeddings::read(&bytes(&body)) {
            Ok(_) => None,
            Err(Failure::Refused(refusal)) => refusal.param,
            Err(Failure::Failed(error)) => panic!("{error:?}"),
        };
        assert_eq!(refused.as_deref(), param, "{body}");
    };
    check(json!({"model": "m", "input": "a"}), None);
    check(
        json!({"model": "m", "input": ["a", "b"], "encoding_format": "base64", "user": "x"}),
        None,
    );
    check(json!({"input": "a"}), Some("model"));
    check(json!({"model": "m"}), Some("input"));
    check(json!({"model": "m", "input": []}), Some("input"));
    check(json!({"model": "m", "input": [1, 2]}), Some("input"));
    check(json!({"model": "m", "input": "a", "encoding_format": "hex"}), Some("encoding_format"));
    check(json!({"model": "m", "input": "a", "dimensions": 0}), Some("dimensions"));
}

//! OpenAI's surface, as its SDKs see it.

use serde_json::{Value, json};

use crate::rig::Rig;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

/// The JSON of each event, without `[DONE]`, and whether that came last.
fn events(text: &str) -> (Vec<Value>, bool) {
    let data: Vec<&str> =
        text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let done = data.last() == Some(&"[DONE]");
    let chunks = data.iter().filter(|data| **data != "[DONE]").map(|data| parsed(data)).collect();
    (chunks, done)
}

fn question(model: &str, more: &Value) -> Value {
    let mut body =
        json!({"model": model, "messages": [{"role": "user", "content": "say: hello big world"}]});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

#[tokio::test]
async fn a_chat_completion_is_one_json_body() {
    let rig = Rig::start().await;
    let (status, kind, text) =
        rig.post("/v1/chat/completions", &question("scripted-1", &json!({"unknown": 1}))).await;
    let answer = parsed(&text);
    assert_eq!((status, kind.as_str()), (200, "application/json"), "{text}");
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(
        answer["choices"][0]["message"],
        json!({"role": "assistant", "content": "hello big world", "refusal": null})
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    );
    assert_eq!(answer["model"], "scripted-1");
    assert!(answer["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
}

#[tokio::test]
async fn a_streamed_completion_is_events_with_usage_and_an_end() {
    let rig = Rig::start().await;
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let (status, kind, text) =
        rig.post("/v1/chat/completions", &question("scripted-1", &more)).await;
    assert_eq!((status, kind.as_str()), (200, "text/event-stream"), "{text}");
    let (chunks, done) = events(&text);
    assert!(done, "{text}");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let words: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(words, "hello big world");
    let ends: Vec<&Value> =
        chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"] == "stop").collect();
    assert_eq!(ends.len(), 1);
    let last = chunks.last().expect("chunks");
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(8)));

    let (_, _, text) =
        rig.post("/v1/chat/completions", &question("scripted-1", &json!({"stream": true}))).await;
    assert!(!text.contains("usage") && events(&text).1, "{text}");
}

#[tokio::test]
async fn tool_calls_come_whole_and_in_pieces() {
    let rig = Rig::start().await;
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f", "parameters":
        {"type": "object", "required": ["q"], "properties": {"q": {"type": "string"}}}}}],
        "tool_choice": "required"});
    let (_, _, text) = rig.post("/v1/chat/completions", &question("scripted-1", &tools)).await;
    let choice = &parsed(&text)["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &Value::Null)
    );
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("f")));
    let whole = call["function"]["arguments"].as_str().expect("a text").to_owned();

    let mut streamed = tools;
    streamed["stream"] = json!(true);
    let (_, _, text) = rig.post("/v1/chat/completions", &question("scripted-1", &streamed)).await;
    let (chunks, done) = events(&text);
    let pieces: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0))
        .collect();
    assert!(done && pieces[0]["id"] == "call_1" && pieces[0]["function"]["name"] == "f", "{text}");
    let arguments: String =
        pieces.iter().filter_map(|piece| piece["function"]["arguments"].as_str()).collect();
    assert_eq!(arguments, whole);
}

#[tokio::test]
async fn json_modes_are_obeyed() {
    let rig = Rig::start().await;
    let object = json!({"response_format": {"type": "json_object"}});
    let (_, _, text) = rig.post("/v1/chat/completions", &question("scripted-1", &object)).await;
    let content =
        parsed(&text)["choices"][0]["message"]["content"].as_str().expect("a text").to_owned();
    assert!(parsed(&content).is_object());
    let schema = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true,
        "schema": {"type": "object", "required": ["size"], "properties": {"size": {"enum": ["small", "big"]}}}}}});
    let (_, _, text) = rig.post("/v1/chat/completions", &question("scripted-1", &schema)).await;
    assert_eq!(parsed(&text)["choices"][0]["message"]["content"], r#"{"size":"big"}"#);
}

#[tokio::test]
async fn errors_have_openais_shape() {
    let rig = Rig::start().await;
    let check = async |body: Value, status: u16, kind: &str, code: &str, param: Value| {
        let (found, content, text) = rig.post("/v1/chat/completions", &body).await;
        let error = &parsed(&text)["error"];
        assert_eq!((found, content.as_str()), (status, "application/json"), "{text}");
        assert_eq!((&error["type"], &error["code"]), (&json!(kind), &json!(code)), "{text}");
        assert_eq!(error["param"], param, "{text}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    };
    let invalid = "invalid_request_error";
    check(question("nobody", &json!({})), 404, invalid, "model_not_found", Value::Null).await;
    check(question("scripted-1", &json!({"n": 3})), 400, invalid, "request_invalid", json!("n"))
        .await;
    check(
        question("scripted-1", &json!({"stream": "yes"})),
        400,
        invalid,
        "request_invalid",
        json!("stream"),
    )
    .await;
    check(json!([]), 400, invalid, "request_invalid", Value::Null).await;
    check(
        question("up/limited", &json!({})),
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        Value::Null,
    )
    .await;
    check(
        question("up/limited", &json!({"stream": true})),
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        Value::Null,
    )
    .await;
    check(question("up/short", &json!({})), 400, invalid, "context_length_exceeded", Value::Null)
        .await;
    check(
        question("up/failing", &json!({})),
        503,
        "server_error",
        "provider_unavailable",
        Value::Null,
    )
    .await;
}

#[tokio::test]
async fn an_error_in_the_middle_is_an_event_without_an_end() {
    let rig = Rig::start().await;
    let (status, _, text) =
        rig.post("/v1/chat/completions", &question("up/cut", &json!({"stream": true}))).await;
    let (chunks, done) = events(&text);
    assert_eq!((status, done), (200, false), "{text}");
    assert_eq!(chunks.last().expect("chunks")["error"]["code"], "stream_cut");
}

#[tokio::test]
async fn embeddings_come_as_numbers_or_as_bytes() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let rig = Rig::start().await;
    let ask = |more: Value| {
        let mut body = json!({"model": "scripted-embed-1", "input": ["hello world", "bye"]});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    let (status, _, text) = rig.post("/v1/embeddings", &ask(json!({}))).await;
    let answer = parsed(&text);
    assert_eq!(status, 200, "{text}");
    let first: Vec<f64> =
        serde_json::from_value(answer["data"][0]["embedding"].clone()).expect("numbers");
    assert_eq!((first.len(), &answer["data"][1]["index"]), (256, &json!(1)));
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));

    let (_, _, text) = rig
        .post("/v1/embeddings", &ask(json!({"encoding_format": "base64", "dimensions": 8})))
        .await;
    let bytes = STANDARD
        .decode(parsed(&text)["data"][0]["embedding"].as_str().expect("a text"))
        .expect("Base64");
    assert_eq!(bytes.len(), 8 * 4);

    let upstream = json!({"model": "priced", "input": ["four", "x"]});
    let (_, _, text) = rig.post("/v1/embeddings", &upstream).await;
    assert_eq!(
        parsed(&text)["data"][0]["embedding"],
        json!([4.0, 0.5]),
        "the order is that of the texts"
    );
    let (status, _, text) =
        rig.post("/v1/embeddings", &json!({"model": "scripted-1", "input": "a"})).await;
    assert_eq!((status, &parsed(&text)["error"]["code"]), (400, &json!("capability_missing")));
    assert_eq!(rig.costs("model").await.request_count, 3);
}

#[tokio::test]
async fn models_are_listed_in_openais_shape() {
    let rig = Rig::start().await;
    let (status, _, text) = rig.get("/v1/models").await;
    let answer = parsed(&text);
    assert_eq!((status, &answer["object"]), (200, &json!("list")));
    let ids: Vec<&str> = answer["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|m| m["id"].as_str())
        .collect();
    assert_eq!(ids, ["priced", "scripted-1", "scripted-embed-1"]);
    assert_eq!(
        answer["data"][1],
        json!({"id": "scripted-1", "object": "model", "created": 0, "owned_by": "scripted"})
    );
}

#[tokio::test]
async fn a_model_is_retrieved_in_openais_shape_also_with_a_slash() {
    let rig = Rig::start().await;
    let check = async |id: &str, owner: &str| {
        let (status, _, text) = rig.get(&format!("/v1/models/{id}")).await;
        let model = parsed(&text);
        assert_eq!((status, &model["object"]), (200, &json!("model")), "{text}");
        assert_eq!(model["owned_by"], owner, "{text}");
    };
    check("scripted-1", "scripted").await;
    check("up/echo", "up").await;
    check("up%2Fecho", "up").await;
    for id in ["nobody", "no/body"] {
        let (status, _, text) = rig.get(&format!("/v1/models/{id}")).await;
        let error = &parsed(&text)["error"];
        let expected = (404, &json!("model_not_found"), &json!("invalid_request_error"));
        assert_eq!((status, &error["code"], &error["type"]), expected, "{text}");
    }
}

#[tokio::test]
async fn a_schema_without_bounded_work_is_refused_by_both_surfaces() {
    let rig = Rig::start().await;
    let mut defs = json!({"d40": {"type": "string"}});
    for level in 0..40 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        defs[format!("d{level}")] = json!({"anyOf": [next, next]});
    }
    let schema = json!({"$ref": "#/$defs/d0", "$defs": defs});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let body = question("scripted-1", &json!({"response_format": format}));
    let (status, _, text) = rig.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &parsed(&text)["error"]["param"]), (400, &json!("response_format")));
    let body = json!({"prompt": "hi", "response_schema": schema});
    let (status, _, text) = rig.post("/api/v1/inference", &body).await;
    assert!(status == 400 && text.contains("\"response_schema\""), "{text}");
    let tool = json!({"name": "f", "parameters": schema});
    let body = json!({"prompt": "hi", "tools": [tool]});
    let (status, _, text) = rig.post("/api/v1/inference", &body).await;
    assert!(status == 400 && text.contains("\"tools[0].parameters\""), "{text}");
}

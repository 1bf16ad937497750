//! Models: the product's own surface, OpenAI's, and an upstream that speaks OpenAI's protocol.

use std::net::SocketAddr;

use axum::{Json, Router, response::IntoResponse, routing::post};
use serde_json::{Value, json};

use crate::support::Mesh;

#[tokio::test]
async fn inference_is_answered_counted_and_priced() {
    let mesh = Mesh::start().await;
    let body = json!({ "messages": [{ "role": "user", "content": "Hello there" }] });
    let answered = mesh.documented("POST /api/v1/inference", &[], body.clone()).await;
    assert_eq!(answered.is(200).body["model"], "scripted-1");
    assert!(answered.body["usage"]["output_tokens"].as_i64().unwrap() > 0);
    let bad = json!({ "model": "no-such-model", "prompt": "Hello" });
    let batch = json!({ "requests": [body, bad] });
    let batch = mesh.documented("POST /api/v1/inference/batch", &[], batch).await;
    let results = batch.is(200).body["results"].as_array().unwrap();
    assert!(results[0]["inference"]["output"].is_string());
    assert_eq!(results[1]["error"]["code"], 5, "{:#}", results[1]);
    let costs = mesh.documented("GET /api/v1/costs", &[], Value::Null).await;
    assert!(costs.is(200).body["request_count"].as_i64().unwrap() >= 2);
}

#[tokio::test]
async fn models_are_registered_and_removed() {
    let mesh = Mesh::start().await;
    mesh.documented("GET /api/v1/models", &[], Value::Null).await.is(200);
    let body = json!({ "id": "mine", "provider": "scripted", "upstream_model": "scripted-1" });
    let registered = mesh.documented("POST /api/v1/models/register", &[], body).await;
    assert_eq!(registered.is(201).id(), "mine");
    let asked = json!({ "model": "mine", "prompt": "Hello" });
    assert_eq!(mesh.call("POST /api/v1/inference", asked).await.is(200).body["model"], "mine");
    mesh.documented("DELETE /api/v1/models/{id}", &["mine"], Value::Null).await.is(204);
    let refused = mesh.documented("DELETE /api/v1/models/{id}", &["scripted-1"], Value::Null).await;
    assert_eq!(refused.is(400).reason(), "MODEL_CONFIGURED");
}

#[tokio::test]
async fn the_openai_surface_speaks_openai() {
    let mesh = Mesh::start().await;
    let listed = mesh.documented("GET /v1/models", &[], Value::Null).await;
    assert_eq!(listed.is(200).body["object"], "list");
    let messages = json!([{ "role": "user", "content": "Hello there" }]);
    let body = json!({ "model": "scripted-1", "messages": messages });
    let completed = mesh.documented("POST /v1/chat/completions", &[], body).await;
    assert_eq!(completed.is(200).body["object"], "chat.completion");
    let whole = completed.body["choices"][0]["message"]["content"].as_str().unwrap().to_owned();

    let body = json!({
        "model": "scripted-1", "messages": messages, "stream": true,
        "stream_options": { "include_usage": true },
    });
    let response =
        mesh.request("gateway", "POST /v1/chat/completions").json(&body).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    let chunks: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let pieces: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(pieces, whole);
    assert!(chunks.last().unwrap()["usage"]["total_tokens"].as_i64().unwrap() > 0);

    let body = json!({ "model": "scripted-embed-1", "input": ["one", "two"] });
    let embedded = mesh.documented("POST /v1/embeddings", &[], body).await;
    assert_eq!(embedded.is(200).body["data"].as_array().unwrap().len(), 2);

    let wrong = json!({ "model": "nothing", "messages": messages });
    let wrong = mesh.call("POST /v1/chat/completions", wrong).await;
    assert_eq!(wrong.is(404).body["error"]["code"], "model_not_found", "{:#}", wrong.body);
    assert!(wrong.body["error"]["message"].is_string() && wrong.body["error"]["type"].is_string());
}

/// An upstream that speaks OpenAI's protocol; the model name says how it behaves.
async fn upstream() -> SocketAddr {
    let app = Router::new().route("/v1/chat/completions", post(complete));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    lightning_mesh::task::spawn("test", async move { axum::serve(listener, app).await });
    address
}

async fn complete(Json(body): Json<Value>) -> axum::response::Response {
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 });
    match (body["model"].as_str().unwrap(), body["stream"] == true) {
        ("busy", _) => {
            let error = json!({ "error": { "message": "slow down", "type": "rate_limit_error" } });
            (axum::http::StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], Json(error)).into_response()
        }
        ("cut", true) => {
            let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": "half" } }] });
            ([("content-type", "text/event-stream")], format!("data: {chunk}\n\n")).into_response()
        }
        (_, true) => {
            let mut text = String::new();
            for piece in ["from ", "upstream"] {
                let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": piece } }] });
                text.push_str(&format!("data: {chunk}\n\n"));
            }
            let last = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
            let count = json!({ "choices": [], "usage": usage });
            text.push_str(&format!("data: {last}\n\ndata: {count}\n\ndata: [DONE]\n\n"));
            ([("content-type", "text/event-stream")], text).into_response()
        }
        _ => Json(json!({
            "id": "1", "object": "chat.completion", "model": body["model"],
            "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "from upstream" } }],
            "usage": usage,
        }))
        .into_response(),
    }
}

#[tokio::test]
async fn calls_go_to_a_configured_upstream() {
    let upstream = upstream().await;
    let config = format!(
        r#"
        [[models.provider]]
        name = "local"
        kind = "openai"
        base_url = "http://{upstream}/v1"
        key = {{ value = "sk-test" }}
        models = [
            {{ id = "good", upstream_model = "good" }},
            {{ id = "busy", upstream_model = "busy" }},
            {{ id = "cut", upstream_model = "cut" }},
        ]

        [[models.provider]]
        name = "gone"
        kind = "openai"
        base_url = "http://127.0.0.1:9/v1"
        key = {{ value = "sk-test" }}
        models = [{{ id = "gone", upstream_model = "gone" }}]
        "#
    );
    let mesh = Mesh::start_with(&config).await;
    let ask = |model: &str| json!({ "model": model, "prompt": "Hello" });
    let answered = mesh.call("POST /api/v1/inference", ask("good")).await;
    assert_eq!(answered.is(200).body["output"], "from upstream");
    assert_eq!(answered.body["usage"]["total_tokens"], 5);
    let streamed = mesh
        .request("models", "POST /api/v1/inference:stream")
        .header("accept", "application/x-ndjson")
        .json(&ask("good"))
        .send()
        .await
        .unwrap();
    assert!(streamed.text().await.unwrap().contains("from upstream"));

    let busy = mesh.call("POST /api/v1/inference", ask("busy")).await;
    assert_eq!(busy.is(429).reason(), "PROVIDER_RATE_LIMITED");
    assert_eq!(busy.headers["retry-after"], "7");
    let gone = mesh.call("POST /api/v1/inference", ask("gone")).await;
    assert_eq!(gone.is(503).reason(), "PROVIDER_UNAVAILABLE");
    assert!(gone.body["error"]["message"].as_str().unwrap().contains("gone"));
    let cut = mesh
        .request("gateway", "POST /api/v1/inference:stream")
        .header("accept", "text/event-stream")
        .json(&ask("cut"))
        .send()
        .await
        .unwrap();
    let text = cut.text().await.unwrap();
    assert!(
        text.contains("half") && text.contains("event: error") && text.contains("STREAM_CUT"),
        "{text}"
    );
}

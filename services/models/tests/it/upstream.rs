//! A server with OpenAI's API, whose behaviour is chosen by the name of the model that it is asked for.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::{StreamExt as _, stream};
use lightning_mesh::task;
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) struct Upstream {
    address: String,
    seen: Arc<Seen>,
    server: tokio::task::JoinHandle<()>,
}

struct Seen {
    requests: Mutex<Vec<Value>>,
    keys: Mutex<Vec<String>>,
    /// How many streams that never end were dropped.
    dropped: watch::Sender<usize>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen = Arc::new(Seen {
            requests: Mutex::default(),
            keys: Mutex::default(),
            dropped: watch::channel(0).0,
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/embeddings", post(embeddings))
            .with_state(Arc::clone(&seen));
        let server = task::spawn("upstream", async move {
            axum::serve(listener, router).await.expect("the upstream serves");
        });
        Self { address, seen, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Value> {
        self.seen.requests.lock().expect("no panic").clone()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.seen.keys.lock().expect("no panic").clone()
    }

    /// Waits until a client has gone away from a stream or an answer that never ends.
    pub(crate) async fn left(&self) {
        let mut dropped = self.seen.dropped.subscribe();
        dropped.wait_for(|count| *count > 0).await.expect("the sender lives");
    }

    /// Stops listening.
    pub(crate) async fn stop(&mut self) {
        self.server.abort();
        // It was aborted, which is the error.
        let _ = (&mut self.server).await;
    }
}

/// Counts when it is dropped.
struct OnDrop(Arc<Seen>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.dropped.send_modify(|count| *count += 1);
    }
}

async fn chat(
    State(seen): State<Arc<Seen>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers.get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default();
    seen.keys.lock().expect("no panic").push(key.to_owned());
    seen.requests.lock().expect("no panic").push(body.clone());
    let streamed = body["stream"] == json!(true);
    match body["model"].as_str().unwrap_or_default() {
        "slow" => {
            let _here = OnDrop(seen);
            std::future::pending().await
        }
        "failing" => (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        "limited" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "{}").into_response(),
        "locked" => StatusCode::UNAUTHORIZED.into_response(),
        "picky" => refusal("tools are not supported here", "invalid"),
        "short" => refusal("too much", "context_length_exceeded"),
        "html" => "<html>".into_response(),
        "huge" => Body::from(vec![b' '; 17 << 20]).into_response(),
        "cut" => events(["{\"choices\":[{\"delta\":{\"content\":\"half an ans\"}}]}"]),
        "stalling" => stalling(seen),
        "late-error" => events([
            "{\"choices\":[{\"delta\":{\"content\":\"one\"}}]}",
            "{\"error\":{\"message\":\"overloaded\",\"code\":503}}",
        ]),
        "tools" if streamed => events([
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"add","arguments":"{\"x\""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"sub","arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":": 1}"}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
            "[DONE]",
        ]),
        "bad-arguments" => {
            let call = json!({"id": "a", "function": {"name": "add", "arguments": "{oops"}});
            completion(&json!({"content": null, "tool_calls": [call]}))
        }
        "misfit-once" => {
            let first = body["messages"].as_array().map_or(0, Vec::len) == 1;
            completion(&json!({"content": if first { "{\"n\": \"three\"}" } else { "{\"n\": 3}" }}))
        }
        "misfit" => completion(&json!({"content": "no"})),
        _ if streamed => events([
            ": keep-alive",
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"delta":{"content":"Hello "}}]}"#,
            r#"{"choices":[{"delta":{"content":"wörld"}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}"#,
            "[DONE]",
        ]),
        _ => completion(&json!({"content": "Hello wörld"})),
    }
}

fn refusal(message: &str, code: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": {"message": message, "code": code}})))
        .into_response()
}

fn completion(message: &Value) -> Response {
    Json(json!({
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }))
    .into_response()
}

/// A stream in awkward cuts: seven bytes at a time, lines ended by CRLF.
fn events<const N: usize>(data: [&str; N]) -> Response {
    let lines = data.map(|data| match data.strip_prefix(':') {
        Some(comment) => format!(":{comment}\r\n\r\n"),
        None => format!("data: {data}\r\n\r\n"),
    });
    let bytes = lines.concat().into_bytes();
    let chunks: Vec<_> =
        bytes.chunks(7).map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk))).collect();
    ([("content-type", "text/event-stream")], Body::from_stream(stream::iter(chunks)))
        .into_response()
}

/// One piece, then nothing more, until the client goes away.
fn stalling(seen: Arc<Seen>) -> Response {
    let guard = OnDrop(seen);
    let first =
        Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"one two\"}}]}\n\n");
    let rest = stream::once(async move {
        let _here = guard;
        std::future::pending::<Result<Bytes, Infallible>>().await
    });
    Body::from_stream(stream::iter([Ok(first)]).chain(rest)).into_response()
}

async fn embeddings(Json(body): Json<Value>) -> Response {
    let texts = body["input"].as_array().expect("a list of texts").iter().enumerate().rev();
    let data: Vec<Value> = texts
        .map(|(index, text)| json!({"index": index, "embedding": [text.as_str().map_or(0, str::len), 0.5]}))
        .collect();
    Json(json!({"data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}})).into_response()
}

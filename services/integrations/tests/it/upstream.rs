//! An HTTP server on loopback that does what the path tells it, and remembers what it saw.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use lightning_mesh::task;
use serde_json::{Value, json};

type Scripts = BTreeMap<String, Vec<(u16, Value)>>;

/// The server; it ends with its test.
#[derive(Clone, Default)]
pub(crate) struct Upstream {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Answers by path, in turn; the last one stays.
    scripts: Arc<Mutex<Scripts>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { port: listener.local_addr().unwrap().port(), ..Self::default() };
        let router = Router::new().fallback(answer).with_state(upstream.clone());
        task::spawn("upstream", async move { axum::serve(listener, router).await.unwrap() });
        upstream
    }

    /// Its address as an entry of the allow list.
    pub(crate) fn allowed(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers a path with these, in turn.
    pub(crate) fn script(&self, path: &str, answers: Vec<(u16, Value)>) {
        self.scripts.lock().unwrap().insert(path.to_owned(), answers);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How often a path was called.
    pub(crate) fn calls(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path == path).count()
    }
}

async fn answer(
    State(upstream): State<Upstream>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let query = uri.query().unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    let seen =
        Seen { method: method.to_string(), path: uri.path().to_owned(), query, headers, body };
    upstream.seen.lock().unwrap().push(seen.clone());
    let scripted = upstream
        .scripts
        .lock()
        .unwrap()
        .get_mut(uri.path())
        .map(|answers| if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() });
    if let Some((status, body)) = scripted {
        let headers = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "7")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        return (StatusCode::from_u16(status).unwrap(), headers, body).into_response();
    }
    match uri.path().split('/').nth(1).unwrap_or_default() {
        "slow" => std::future::pending().await,
        "big" => vec![b'x'; 11 << 20].into_response(),
        "bytes" => vec![0xff, 0x00].into_response(),
        // /redirect/<status>?<location>
        "redirect" => {
            let status = uri.path().rsplit('/').next().unwrap().parse().unwrap();
            (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, seen.query)])
                .into_response()
        }
        _ => axum::Json(json!({
            "method": seen.method, "path": seen.path, "query": seen.query, "headers": seen.headers,
            "body": seen.body,
        }))
        .into_response(),
    }
}

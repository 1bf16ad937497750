//! A service that somebody wrote in Python with grpcio, mounted as it is. Needs what
//! `make test-scaled` installs.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::Instant,
};

use crate::support::{Edge, upstream};

/// Starts the service on a port, 0 for a free one; tells the port when it serves.
async fn start(python: &str, port: u16) -> (Child, u16) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/server.py");
    let mut command = Command::new(python);
    command.arg(script).arg(port.to_string()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("the service starts");
    (child, line.parse().unwrap())
}

#[tokio::test]
async fn scaled_a_service_written_in_python_is_mounted() {
    let Ok(python) = std::env::var("LIGHTNING_TEST_PYTHON") else {
        println!("skipped: LIGHTNING_TEST_PYTHON is not set");
        return;
    };
    let (mut child, port) = start(&python, 0).await;
    let edge = Edge::mounted(vec![upstream("orchard", &format!("http://127.0.0.1:{port}"))]).await;

    let (status, tree) = edge.json("/orchard/v1/trees/7").await;
    assert_eq!(status, 200, "{tree}");
    assert_eq!(tree, json!({ "id": "7", "kind": "pear", "harvest": { "2025": 120 } }));
    let plant = json!({ "id": "8", "kind": "apple" }).to_string();
    let request = edge.client.post(edge.url("/orchard/v1/trees")).body(plant);
    let answer = request.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["kind"], "apple");

    let (status, error) = edge.json("/orchard/v1/trees/missing").await;
    assert_eq!(status, 404, "{error}");
    assert_eq!(error["error"]["details"][0]["reason"], "TREE_MISSING", "{error}");
    let request = edge.client.get(edge.url("/orchard/v1/trees/headers"));
    let answer = request.header("authorization", "Bearer local").send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["id"], "local: no credential");

    for (accept, expected) in [
        ("application/json", "[{\"id\":\"0\""),
        ("application/x-ndjson", "{\"id\":\"0\""),
        ("text/event-stream", "data:{\"id\":\"0\""),
    ] {
        let request = edge.client.get(edge.url("/orchard/v1/trees?count=3"));
        let text = request.header("accept", accept).send().await.unwrap().text().await.unwrap();
        let compact: String = text.split_whitespace().collect();
        assert!(compact.starts_with(expected), "{accept}: {text}");
        assert_eq!(compact.matches("apple").count(), 3, "{accept}: {text}");
    }

    child.kill().await.unwrap();
    for _ in 0..10 {
        let asked = Instant::now();
        let (status, error) = edge.json("/orchard/v1/trees/7").await;
        assert_eq!(status, 503, "{error}");
        assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
    }
    edge.until("orchard", |upstream| upstream["state"] == "unreachable").await;
    let (_child, _) = start(&python, port).await;
    edge.until("orchard", |upstream| upstream["state"] == "mounted").await;
    assert_eq!(edge.get("/orchard/v1/trees/7").await.status(), 200);
}

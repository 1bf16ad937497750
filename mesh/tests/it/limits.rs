//! Limits of connections.

use std::time::Duration;

use lightning_mesh::testing::Harness;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{echo, http1, rest_get, start};

async fn connect(base: &str) -> TcpStream {
    TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Whether the server closes the connection by itself.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let builder = Harness::builder(&["monitoring"])
        .mesh(|mesh| mesh.serve.first_byte_timeout = Duration::from_millis(50));
    let harness = start(builder).await;
    let mut silent = connect(&harness.rest("monitoring")).await;
    assert!(is_closed(&mut silent).await);
    // Part of the HTTP/2 preface is not enough either.
    let mut stalled = connect(&harness.rest("monitoring")).await;
    stalled.write_all(b"PRI * HT").await.unwrap();
    assert!(is_closed(&mut stalled).await);
}

#[tokio::test]
async fn a_slow_head_is_closed_but_a_quiet_connection_is_kept() {
    let builder = Harness::builder(&["monitoring"])
        .mesh(|mesh| mesh.serve.header_timeout = Duration::from_millis(100));
    let harness = start(builder).await;
    let mut slow = connect(&harness.rest("monitoring")).await;
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: loc").await.unwrap();
    assert!(is_closed(&mut slow).await);

    let mut kept = connect(&harness.rest("monitoring")).await;
    let request = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut buffer = [0; 1024];
    kept.write_all(request).await.unwrap();
    assert!(kept.read(&mut buffer).await.unwrap() > 0);
    // Longer than the header timeout passes: nothing may come from the server meanwhile.
    let quiet = tokio::time::timeout(Duration::from_millis(300), kept.read(&mut buffer)).await;
    assert!(quiet.is_err(), "the connection was closed between requests");
    kept.write_all(request).await.unwrap();
    assert!(kept.read(&mut buffer).await.unwrap() > 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let builder = Harness::builder(&["monitoring"])
        .mesh(|mesh| mesh.serve.idle_timeout = Duration::from_millis(100));
    let harness = start(builder).await;
    let mut stream = connect(&harness.rest("monitoring")).await;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let builder = Harness::builder(&["monitoring"]).mesh(|mesh| mesh.serve.max_connections = 1);
    let harness = start(builder).await;
    let base = harness.rest("monitoring");
    let mut first = connect(&base).await;
    first.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    assert!(first.read(&mut buffer).await.unwrap() > 0);

    let mut second = connect(&base).await;
    second.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(200), second.read(&mut buffer)).await;
    assert!(waits.is_err(), "the second connection was served beside the first");
    drop(first);
    assert!(second.read(&mut buffer).await.unwrap() > 0);
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let harness = echo().await;
    let header = format!("x-filler: {}\r\n", "a".repeat(20 * 1024));
    let answer = rest_get(&harness.rest("monitoring"), "/health", &header).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:.100}");
}

#[tokio::test]
async fn a_silent_request_body_is_ended() {
    let builder = Harness::builder(&["auth"])
        .mesh(|mesh| mesh.serve.body_timeout = Duration::from_millis(100));
    let harness = start(builder).await;
    let request = "GET /api/v1/monitoring/services/x HTTP/1.1\r\nhost: localhost\r\n\
                   content-length: 10\r\nconnection: close\r\n\r\n{";
    // A GET has no body that anybody reads; the connection just has to end.
    let answer = http1(&harness.rest("monitoring"), request).await;
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

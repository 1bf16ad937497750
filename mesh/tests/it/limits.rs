//! Limits of connections.

use std::time::Duration;

use lightning_mesh::testing::Harness;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{echo, get, http1, rest_get, start};

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
async fn a_silent_or_oversized_request_body_is_ended() {
    let builder = Harness::builder(&["monitoring"]).mesh(|mesh| {
        mesh.serve.body_timeout = Duration::from_millis(100);
        mesh.serve.max_body_bytes = 10;
    });
    let harness = start(builder).await;
    let base = harness.rest("monitoring");
    let post = async |body: &str, length: usize| {
        let head = "POST /dashboard/read HTTP/1.1\r\nhost: localhost\r\nconnection: close";
        http1(&base, &format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}")).await
    };
    assert!(post("0123456789", 10).await.ends_with("0123456789"));
    assert!(post("0123", 10).await.starts_with("HTTP/1.1 400"), "silent");
    assert!(post("0123456789x", 11).await.starts_with("HTTP/1.1 413"), "oversized");
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn a_client_that_only_resets_its_streams_is_sent_away() {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: u8 = 11;
    let harness = echo().await;
    let base = harness.rest("monitoring");
    let mut attacker = connect(&base).await;
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    flood.extend(frame(SETTINGS, 0, 0, &[]));
    for index in 0..1_000 {
        let stream = index * 2 + 1;
        // POST http localhost /, whole in one frame, and taken back at once.
        flood.extend(frame(HEADERS, 5, stream, b"\x83\x86\x84\x41\x09localhost"));
        flood.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    // The server may close while the flood is still being written.
    let _ = attacker.write_all(&flood).await;
    let mut answer = Vec::new();
    let read = attacker.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await.expect("the server closes");
    let calm = answer.windows(17).any(|bytes| {
        bytes[3] == GOAWAY && bytes[..3] == [0, 0, bytes[2]] && bytes[16] == ENHANCE_YOUR_CALM
    });
    assert!(calm, "{answer:?}");
    let mut other = crate::support::client(harness.channel("monitoring"));
    assert_eq!(other.get_service(get("x")).await.unwrap().into_inner().id, "x");
}

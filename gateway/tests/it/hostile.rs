//! Clients and services that mean harm, over raw sockets: each is answered or sent away, within bounds,
//! and others do not notice.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use http_body_util::Full;
use lightning_mesh::body::boxed;
use lightning_proto::agents::v1::{
    Agent, GetAgentRequest, agent_service_client::AgentServiceClient,
};
use reqwest::Client;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tonic::Code;

use crate::{
    odd::{Seen, framed, gateway, grpc},
    raw::{Plain, connect, http1, read_to_end},
};

pub(crate) const AGENT: &str = "/api/v1/agents/a1";

/// A gateway in front of an agent that is always there.
pub(crate) async fn peaceful() -> (lightning_mesh::testing::Harness, Seen) {
    let agent = Agent { id: "a1".into(), etag: "\"3\"".into(), ..Agent::default() };
    gateway(
        |_| {},
        move |_| {
            let answer = grpc(framed(&agent), &[("grpc-status", b"0")]);
            std::future::ready(answer).boxed()
        },
    )
    .await
}

pub(crate) fn request(line: &str, headers: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\n{headers}connection: close\r\n\r\n").into_bytes()
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default()
}

async fn still_serves(base: &str) {
    let answer = http1(base, &request(&format!("GET {AGENT}"), "host: localhost\r\n")).await;
    assert_eq!(status(&answer), 200, "{answer}");
}

#[tokio::test]
async fn a_request_that_could_be_read_twice_is_refused() {
    let (harness, seen) = peaceful().await;
    let base = harness.rest("gateway");
    let long = format!("GET {AGENT}");
    for (line, headers) in [
        (long.as_str(), "host: localhost\r\nhost: evil.example\r\n"),
        (long.as_str(), ""),
        ("GET http://evil.example/api/v1/agents/a1", "host: localhost\r\n"),
        ("GET /dashboard/../api/v1/agents/a1", "host: localhost\r\n"),
        ("GET /api/v1/%2e%2e/v1/agents/a1", "host: localhost\r\n"),
        (long.as_str(), "host: localhost\r\nx-data-bin: %%%\r\n"),
    ] {
        let answer = http1(&base, &request(line, headers)).await;
        assert_eq!(status(&answer), 400, "{line} {headers:?}: {answer}");
        assert!(answer.contains("INVALID_ARGUMENT"), "{answer}");
    }
    // What only looks like the path of a route is none, whoever reads it.
    for path in
        ["//api/v1/agents/a1", "/api%2fv1/agents/a1", "/API/v1/agents/a1", "/api/v1//agents/a1"]
    {
        let answer = http1(&base, &request(&format!("GET {path}"), "host: localhost\r\n")).await;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
    }
    assert_eq!(seen.lock().unwrap().len(), 0, "nothing of this reached a service");
    still_serves(&base).await;
}

#[tokio::test]
async fn bodies_of_two_lengths_are_refused_and_the_connection_ends() {
    let (harness, seen) = peaceful().await;
    let base = harness.rest("gateway");
    let smuggled = "GET /api/v1/agents/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let send = async |framing: &str| {
        let head =
            "POST /api/v1/agents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
        let bytes = format!("{head}\r\n{framing}\r\n0\r\n\r\n{smuggled}");
        let answer = http1(&base, bytes.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{framing:?}: {answer}");
        status(&answer)
    };
    for framing in [
        "content-length: 0\r\ncontent-length: 65\r\n",
        "content-length: +0\r\n",
        "content-length: 0x0\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    ] {
        assert_eq!(send(framing).await, 400, "{framing:?}");
    }
    // Here the standard lets chunks win, if nothing more is read from the connection.
    for framing in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
    ] {
        send(framing).await;
    }
    let hidden = |parts: &http::request::Parts| !parts.uri.path().ends_with("/CreateAgent");
    assert!(!seen.lock().unwrap().iter().any(hidden), "a request hid in another");
    still_serves(&base).await;
}

#[tokio::test]
async fn nobody_is_believed_about_who_they_are() {
    let (harness, seen) = peaceful().await;
    let base = harness.rest("gateway");
    let claims = "host: localhost\r\nx-forwarded-user: root\r\nX_Forwarded_User: root\r\n\
        x-lightning-caller: root\r\nforwarded: for=1.1.1.1\r\nx-secret: 1\r\n\
        x-user-id: root\r\nX-USER-ID: root\r\nX_User_Id: root\r\nx-user-role: admin\r\n\
        x-roles: admin\r\nx-agent-id: a1\r\nX_Agent_Owner: root\r\nx-real-ip: 1.1.1.1\r\n\
        x-lightning-address: 1.1.1.1\r\nX_Lightning_Address: 1.1.1.1\r\n\
        grpc-metadata-x-user-id: root\r\ngrpc-status: 0\r\ngrpc-timeout: 1n\r\n\
        connection: x-secret, x-user-id\r\nx-kept: yes\r\nx-request-id: r1\r\n";
    let head = format!("GET {AGENT} HTTP/1.1\r\n{claims}\r\n");
    let mut stream = connect(&base).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 4_096];
    let read = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
    let seen = seen.lock().unwrap();
    let headers = &seen[0].headers;
    let names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(
        (&headers["x-kept"], &headers["x-request-id"]),
        (&"yes".parse().unwrap(), &"r1".parse().unwrap())
    );
    // What the edge itself says is there once, and not what the client said.
    let told: Vec<_> = headers.get_all("x-lightning-address").iter().collect();
    assert_eq!(told, ["127.0.0.1"]);
    for name in names.into_iter().filter(|name| *name != "x-lightning-address") {
        let claimed = [
            "forwarded",
            "x-lightning",
            "x-secret",
            "x_",
            "connection",
            "x-user",
            "x-agent",
            "role",
            "x-real",
            "grpc-metadata",
            "grpc-status",
        ];
        assert!(!claimed.iter().any(|claim| name.contains(claim)), "{name}");
    }
}

#[tokio::test]
async fn slow_heads_are_cut_and_hold_nobody_up() {
    let (harness, _) = peaceful().await;
    let base = harness.rest("gateway");
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(&base).await;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: loc").await.unwrap();
        slow.push(stream);
    }
    still_serves(&base).await;
    for mut stream in slow {
        read_to_end(&mut stream).await;
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let (harness, _) = peaceful().await;
    let base = harness.rest("gateway");
    let filler = format!("host: localhost\r\nx-filler: {}\r\n", "a".repeat(64 * 1_024));
    assert_eq!(status(&http1(&base, &request("GET /", &filler)).await), 431);
    let many: String = (0..1_000).map(|index| format!("x-{index}: y\r\n")).collect();
    let many = format!("host: localhost\r\n{many}");
    assert_eq!(status(&http1(&base, &request("GET /", &many)).await), 431);
    let long = format!("GET /{}", "a".repeat(100_000));
    let refused = status(&http1(&base, &request(&long, "host: localhost\r\n")).await);
    assert!([414, 431].contains(&refused), "{refused}");
    still_serves(&base).await;
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The start of a connection and of a request: `POST http localhost /`.
fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes
}

const START: &[u8] = b"\x83\x86\x84\x41\x09localhost";

#[tokio::test]
async fn an_endless_head_ends_the_connection() {
    let (harness, _) = peaceful().await;
    let base = harness.rest("gateway");
    let mut stream = connect(&base).await;
    let mut bytes = preface();
    bytes.extend(frame(1, 0, 1, START));
    stream.write_all(&bytes).await.unwrap();
    // Never END_HEADERS: literal fields without indexing, 16 KiB a frame, 64 MiB if nobody stops it.
    let mut fields = Vec::new();
    while fields.len() < 16_000 {
        fields.extend_from_slice(b"\x00\x03abc\x03def");
    }
    let continuation = frame(9, 0, 1, &fields);
    let mut sent = 0;
    while sent < 4_096 && stream.write_all(&continuation).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 4_096, "the server read all of it");
    still_serves(&base).await;
}

#[tokio::test]
async fn a_head_that_unpacks_to_megabytes_is_refused() {
    let (harness, seen) = peaceful().await;
    let base = harness.rest("gateway");
    let mut stream = connect(&base).await;
    let mut fields = START.to_vec();
    // One field of 4,000 bytes enters the table, and is named 10,000 times by one byte each.
    fields.extend_from_slice(b"\x40\x01a\x7f\xa1\x1e");
    fields.extend(std::iter::repeat_n(b'b', 4_000));
    fields.extend(std::iter::repeat_n(0xbe, 10_000));
    let mut bytes = preface();
    bytes.extend(frame(1, 5, 1, &fields));
    // GOAWAY, so that the server closes once it is done with the stream.
    bytes.extend(frame(7, 0, 0, &[0; 8]));
    let _ = stream.write_all(&bytes).await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.len() < 4_096, "{}", answer.len());
    assert_eq!(seen.lock().unwrap().len(), 0);
    still_serves(&base).await;
}

#[tokio::test]
async fn a_timeout_of_nine_digits_is_an_error_of_the_caller() {
    let (harness, _) = peaceful().await;
    let mut client = AgentServiceClient::new(Plain::connect(&harness.rest("gateway")).await);
    for timeout in ["999999999S", "-1S", "1", "1X", ""] {
        let mut request = tonic::Request::new(GetAgentRequest { id: "a1".into() });
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let refused = client.get_agent(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{timeout}");
    }
}

#[tokio::test]
async fn metadata_that_is_not_base64_is_refused_in_grpc() {
    let (harness, seen) = peaceful().await;
    let base = harness.rest("gateway");
    let mut plain = Plain::connect(&base).await;
    let request = http::Request::post("/lightning.agents.v1.AgentService/GetAgent")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-status-details-bin", "%%%")
        .body(tonic::body::Body::new(Full::from(framed(&GetAgentRequest { id: "a1".into() }))))
        .unwrap();
    let answer = tower::Service::call(&mut plain, request).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["grpc-status"]),
        (200, &"3".parse().unwrap())
    );
    assert_eq!(seen.lock().unwrap().len(), 0);
}

/// What REST and gRPC make of an answer: the HTTP status, the name in the body, the gRPC code.
async fn outcome(
    answer: impl Fn() -> http::Response<lightning_mesh::body::Body> + Send + Sync + 'static,
) -> (u16, String, Code) {
    let (harness, _) = gateway(|_| {}, move |_| std::future::ready(answer()).boxed()).await;
    let base = harness.rest("gateway");
    let client = Client::builder().no_proxy().build().unwrap();
    let rest = client.get(format!("{base}{AGENT}")).send().await.unwrap();
    let status = rest.status().as_u16();
    let body: Value = serde_json::from_str(&rest.text().await.unwrap()).unwrap();
    let name = body["error"]["status"].as_str().unwrap_or_default().to_owned();
    let mut client = AgentServiceClient::new(Plain::connect(&base).await);
    let code = match client.get_agent(GetAgentRequest { id: "a1".into() }).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    };
    (status, name, code)
}

#[tokio::test]
async fn trailers_full_of_junk_are_an_error_and_no_panic() {
    let agent = || framed(&Agent { id: "a1".into(), ..Agent::default() });
    let damaged = outcome(move || {
        let junk: [(&str, &[u8]); 3] = [
            ("grpc-status", b"5"),
            ("grpc-message", b"%zz\xff\xfe%"),
            ("grpc-status-details-bin", b"%%%not base64%%%"),
        ];
        grpc(agent(), &junk)
    });
    let (status, name, code) = damaged.await;
    assert_eq!((status, name.as_str()), (404, "NOT_FOUND"));
    assert_ne!(code, Code::Ok);
    let unreadable = outcome(move || grpc(agent(), &[("grpc-status", b"five")]));
    assert_eq!(unreadable.await, (500, "UNKNOWN".to_owned(), Code::Unknown));
    let beyond = outcome(move || grpc(agent(), &[("grpc-status", b"99999")]));
    assert_eq!(beyond.await, (500, "UNKNOWN".to_owned(), Code::Unknown));
    let (status, _, code) = outcome(move || grpc(agent(), &[("x-else", b"1")])).await;
    assert!(status >= 500 && code != Code::Ok, "an answer without a status: {status} {code:?}");
    let (status, _, code) = outcome(|| {
        grpc(bytes::Bytes::from_static(b"\0\xff\xff\xff\xffx"), &[("grpc-status", b"0")])
    })
    .await;
    assert!(status >= 500 && code != Code::Ok, "a message of 4 GiB: {status} {code:?}");
}

#[tokio::test]
async fn a_page_instead_of_an_answer_is_an_error_of_its_status() {
    let page = |status: u16| {
        move || {
            let body = boxed(Full::from("<html>Bad gateway, call 555-0199</html>"));
            http::Response::builder()
                .status(status)
                .header("content-type", "text/html")
                .body(body)
                .unwrap()
        }
    };
    assert_eq!(outcome(page(502)).await, (503, "UNAVAILABLE".to_owned(), Code::Unavailable));
    assert_eq!(outcome(page(404)).await, (501, "UNIMPLEMENTED".to_owned(), Code::Unimplemented));
    let (status, _, code) = outcome(page(200)).await;
    assert!(status >= 500 && code != Code::Ok, "{status} {code:?}");
}

#[tokio::test]
async fn a_service_that_hangs_costs_its_callers_a_refusal_and_others_nothing() {
    let (harness, seen) = gateway(
        |config| {
            config.concurrency.initial = 4;
            config.concurrency.min = 4;
        },
        |_| std::future::pending().boxed(),
    )
    .await;
    let base = harness.rest("gateway");
    let client = Client::builder().no_proxy().build().unwrap();
    let hanging: Vec<_> = (0..4)
        .map(|_| {
            let call = client.get(format!("{base}{AGENT}")).send();
            lightning_mesh::task::spawn("hanging", call)
        })
        .collect();
    while seen.lock().unwrap().len() < 4 {
        tokio::task::yield_now().await;
    }
    let asked = Instant::now();
    let refused = client.get(format!("{base}{AGENT}")).send().await.unwrap();
    let took = asked.elapsed();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(refused.text().await.unwrap().contains("LIMIT_EXCEEDED"));
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(client.get(format!("{base}/health")).send().await.unwrap().status(), 200);
    let figures =
        async || client.get(format!("{base}/metrics")).send().await.unwrap().text().await.unwrap();
    let text = figures().await;
    for line in ["refused_total{upstream=\"agents\"} 1", "under_way{upstream=\"agents\"} 4"] {
        assert!(text.contains(&format!("gateway_concurrency_{line}")), "{line}: {text}");
    }
    // Callers that go away give their places back.
    for call in &hanging {
        call.abort();
    }
    while !figures().await.contains("gateway_concurrency_under_way{upstream=\"agents\"} 0") {}
}

#[tokio::test]
async fn calls_that_are_given_up_leave_nothing_behind() {
    let (harness, seen) = gateway(|_| {}, |_| std::future::pending().boxed()).await;
    let base = harness.rest("gateway");
    let grpc = AgentServiceClient::new(Plain::connect(&base).await);
    for round in 1..=20 {
        let calls = (0..50).map(|_| {
            let mut grpc = grpc.clone();
            async move { grpc.get_agent(GetAgentRequest { id: "a1".into() }).await }
        });
        // A client that takes calls back before they were looked at is sent away; this one waits.
        let arrived = async {
            while seen.lock().unwrap().len() < round * 50 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answers = futures_util::future::join_all(calls) => panic!("{answers:?}"),
            () = arrived => {}
        }
    }
    let client = Client::builder().no_proxy().build().unwrap();
    let figures =
        async || client.get(format!("{base}/metrics")).send().await.unwrap().text().await.unwrap();
    while !figures().await.contains("gateway_concurrency_under_way{upstream=\"agents\"} 0") {}
    let text = figures().await;
    assert!(text.contains("rpc_server_in_flight 0"), "{text}");
}

#[tokio::test]
async fn an_answer_is_not_sent_twice_to_who_has_it() {
    let (harness, _) = peaceful().await;
    let url = format!("{}{AGENT}", harness.rest("gateway"));
    let client = Client::builder().no_proxy().build().unwrap();
    let get = async |name: &str, tag: &str| {
        let answer = client.get(&url).header(name, tag).send().await.unwrap();
        (answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap().to_owned())
    };
    let tag = "\"3\"".to_owned();
    assert_eq!(get("if-none-match", "\"2\"").await, (200, tag.clone()));
    assert_eq!(get("if-none-match", "\"3\"").await, (304, tag.clone()));
    assert_eq!(get("if-none-match", "\"2\", W/\"3\"").await, (304, tag.clone()));
    assert_eq!(get("if-none-match", "*").await, (304, tag));
    let two = client.get(&url).header("if-none-match", "\"2\"").header("if-none-match", "\"3\"");
    assert_eq!(two.send().await.unwrap().status(), 304);
    let head = client.head(&url).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["etag"]), (200, &"\"3\"".parse().unwrap()));
}

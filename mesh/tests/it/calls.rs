//! Calling peers: pipes, addresses, and what happens when nobody is there.

use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lightning_mesh::{identity::Caller, testing::Harness};
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::{client, echo, get, reason, rest_get};

#[tokio::test]
async fn a_call_over_a_pipe_carries_the_caller() {
    let harness = echo().await;
    let user = Caller::new("user:1", "ada", ["monitoring.*"]);
    let mut client = client(harness.channel_as("monitoring", user));
    let answer = client.get_service(get("who")).await.unwrap().into_inner();
    assert_eq!((answer.id.as_str(), answer.health_message.as_str()), ("user:1", "testing"));
    assert_eq!(answer.version, "monitoring.*");
}

#[tokio::test]
async fn authority_never_grows_on_the_way() {
    let harness = echo().await;
    let user = Caller::new("user:1", "ada", ["monitoring.read"]);
    let mut client = client(harness.channel_as("monitoring", user));
    let answer = client.get_service(get("relay:relay:who")).await.unwrap().into_inner();
    assert_eq!((answer.id.as_str(), answer.health_message.as_str()), ("user:1", "monitoring"));
    assert_eq!(answer.version, "monitoring.read");
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_named() {
    let harness = echo().await;
    let status = client(harness.channel("agents")).get_service(get("x")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "PEER_UNAVAILABLE"));
    assert!(status.message().contains("the service agents cannot be reached"), "{status}");
}

#[tokio::test]
async fn an_address_reaches_a_peer_over_tcp() {
    let far = echo().await;
    let address = far.rest("monitoring");
    // The two meshes have different keys, so the far one does not believe the near one.
    let builder = Harness::builder(&[]).mesh(|mesh| {
        mesh.peers.insert("monitoring".into(), address.into());
        mesh.peers.insert("agents".into(), "http://127.0.0.1:1".into());
    });
    let near = builder.start();
    let status = client(near.channel("monitoring")).get_service(get("who")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "TOKEN_INVALID"));
    let status = client(near.channel("agents")).get_service(get("who")).await.unwrap_err();
    assert_eq!(reason(&status), "PEER_UNAVAILABLE", "{status}");
}

#[tokio::test]
async fn the_trace_goes_along() {
    let harness = echo().await;
    let mut client = client(harness.channel("monitoring"));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut request = tonic::Request::new(get("relay:trace"));
    // The channel tells its own trace: outside of a request that is a new one.
    let parent = format!("00-{trace}-00f067aa0ba902b7-01").parse().unwrap();
    request.metadata_mut().insert("traceparent", parent);
    let own = client.get_service(request).await.unwrap().into_inner().id;
    assert!(own.starts_with("00-") && !own.contains(trace), "{own}");
    let base = harness.rest("monitoring");
    let header = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let path = "/api/v1/monitoring/services/relay:trace";
    let answer = rest_get(&base, path, &header).await;
    assert!(answer.contains(trace) && !answer.contains("00f067aa0ba902b7"), "{answer}");
}

#[tokio::test]
async fn a_panicking_handler_answers_internal_and_the_service_lives() {
    let harness = echo().await;
    let mut client = client(harness.channel("monitoring"));
    let status = client.get_service(get("panic")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "INTERNAL"));
    assert!(!status.message().contains("purpose"));
    let mut request = tonic::Request::new(Default::default());
    request.metadata_mut().insert("x-panic", "1".parse().unwrap());
    let mut stream = client.watch_services(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Internal);
    assert_eq!(client.get_service(get("fine")).await.unwrap().into_inner().id, "fine");
}

/// Answers every HTTP/2 request on a port with these headers and, if any, trailers, closing after one
/// answer when told to.
async fn odd_peer(
    headers: &'static [(&'static str, &'static str)],
    trailers: Option<&'static [(&'static str, &'static str)]>,
) -> Harness {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    lightning_mesh::task::spawn("odd-peer", async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(move |_| async move {
                let map = |pairs: &[(&'static str, &'static str)]| -> http::HeaderMap {
                    pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
                };
                let trailers = trailers.map(|pairs| Frame::<Bytes>::trailers(map(pairs)));
                let frames = trailers.map(Ok::<_, std::convert::Infallible>);
                let body = StreamBody::new(tokio_stream::iter(frames));
                let mut response = http::Response::new(body);
                *response.headers_mut() = map(headers);
                Ok::<_, std::convert::Infallible>(response)
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            lightning_mesh::task::spawn("odd-connection", connection);
        }
    });
    let builder = Harness::builder(&[]).mesh(|mesh| {
        mesh.peers.insert("monitoring".into(), address.into());
    });
    builder.start()
}

#[tokio::test]
async fn odd_answers_of_a_peer_become_errors() {
    const GRPC: (&str, &str) = ("content-type", "application/grpc");
    let check = async |headers, trailers, expected: Code| {
        let harness = odd_peer(headers, trailers).await;
        let outcome = client(harness.channel("monitoring")).get_service(get("x")).await;
        assert_eq!(outcome.unwrap_err().code(), expected, "{headers:?} {trailers:?}");
    };
    // A connection that broke off must not look like a clean end.
    check(&[GRPC], None, Code::Unavailable).await;
    // tonic alone would panic on details that are not base64.
    const DAMAGED: &[(&str, &str)] = &[("grpc-status", "5"), ("grpc-status-details-bin", "%%%")];
    check(&[GRPC], Some(DAMAGED), Code::NotFound).await;
    const DAMAGED_HEAD: &[(&str, &str)] =
        &[GRPC, ("grpc-status", "5"), ("grpc-status-details-bin", "%%%")];
    check(DAMAGED_HEAD, None, Code::NotFound).await;
    check(&[GRPC], Some(&[("grpc-status", "nonsense")]), Code::Unknown).await;
    check(&[("content-type", "text/html")], None, Code::Unknown).await;
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_at_the_other_end() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    let mut client = client(harness.channel("monitoring"));
    let call = client.get_service(get("relay:slow"));
    let given_up = tokio::time::timeout(Duration::from_millis(100), call).await;
    assert!(given_up.is_err());
    // Both hops end; asking for the figures does not count as a call.
    let gone = async { while !rest_get(&base, "/metrics", "").await.contains("in_flight 0") {} };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the calls end");
}

#[tokio::test]
async fn a_peer_that_closes_after_each_answer_is_reached_each_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    lightning_mesh::task::spawn("restless-peer", async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answered = std::sync::Arc::new(tokio::sync::Notify::new());
            let noted = answered.clone();
            let service = hyper::service::service_fn(move |_| {
                noted.notify_one();
                let response = http::Response::builder()
                    .header("content-type", "application/grpc")
                    .header("grpc-status", "5");
                let response = response.body(http_body_util::Empty::<Bytes>::new()).unwrap();
                std::future::ready(Ok::<_, std::convert::Infallible>(response))
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            lightning_mesh::task::spawn("restless-connection", async move {
                tokio::pin!(connection);
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = answered.notified() => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
        }
    });
    let near = Harness::builder(&[]).mesh(|mesh| {
        mesh.peers.insert("monitoring".into(), address.into());
    });
    let mut client = client(near.start().channel("monitoring"));
    for _ in 0..50 {
        let status = client.get_service(get("x")).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{status}");
    }
}

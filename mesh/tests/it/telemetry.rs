//! Spans reach a collector, and nothing private goes with them.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lightning_mesh::telemetry::{self, TelemetryConfig, TelemetryError};
use tokio::net::TcpListener;

use crate::support::{echo, rest_get};

type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Takes every gRPC call and keeps its path and body.
async fn collector() -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let kept = seen.clone();
    lightning_mesh::task::spawn("collector", async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let kept = kept.clone();
            let service = hyper::service::service_fn(move |request: http::Request<_>| {
                let kept = kept.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body: hyper::body::Incoming = request.into_body();
                    let body = body.collect().await.unwrap().to_bytes().to_vec();
                    kept.lock().unwrap().push((path, body));
                    let response = http::Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", "0");
                    Ok::<_, Infallible>(response.body(Empty::<bytes::Bytes>::new()).unwrap())
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            lightning_mesh::task::spawn("collector-connection", connection);
        }
    });
    (url, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_exported_under_the_trace_of_the_request() {
    let (url, seen) = collector().await;
    let config = TelemetryConfig { otlp_endpoint: Some(url), ..TelemetryConfig::default() };
    let guard = telemetry::init(&config).unwrap();
    assert!(matches!(telemetry::init(&config), Err(TelemetryError::Twice(_))));
    let harness = echo().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let headers =
        format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\nx-api-key: hush-hush\r\n");
    let path = "/api/v1/monitoring/services/relay:secret-input";
    let answer = rest_get(&harness.rest("monitoring"), path, &headers).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let headers = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let answer = rest_get(&harness.rest("monitoring"), path, &headers).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    harness.stop().await;
    tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();

    let seen = seen.lock().unwrap();
    let contains = |wanted: &[u8]| {
        seen.iter().any(|(_, body)| body.windows(wanted.len()).any(|bytes| bytes == wanted))
    };
    assert!(seen.iter().any(|(path, _)| path.ends_with("TraceService/Export")), "{}", seen.len());
    let id: Vec<u8> =
        (0..16).map(|i| u8::from_str_radix(&trace[i * 2..i * 2 + 2], 16).unwrap()).collect();
    assert!(contains(&id), "the spans belong to another trace");
    assert!(contains(b"MonitoringService/GetService"));
    assert!(!contains(b"secret-input") && !contains(b"hush"), "a value went with the spans");
}

#[test]
fn a_filter_that_does_not_parse_is_told() {
    let config = TelemetryConfig { log: "a=b=c".to_owned(), ..TelemetryConfig::default() };
    assert!(matches!(telemetry::init(&config), Err(TelemetryError::Filter { .. })));
}

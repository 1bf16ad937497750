//! Services outside of the mesh: the same stack, and none of our credentials.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lightning_mesh::testing::Harness;
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::{client, get};

/// Answers NOT_FOUND and keeps the headers it was shown.
async fn nosy() -> (String, Arc<Mutex<Vec<HeaderMap>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::<Mutex<Vec<HeaderMap>>>::default();
    let keeps = seen.clone();
    lightning_mesh::task::spawn("nosy", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let keeps = keeps.clone();
            let service =
                hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    keeps.lock().unwrap().push(request.headers().clone());
                    let response = http::Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", "5");
                    let body = http_body_util::Empty::<Bytes>::new();
                    std::future::ready(response.body(body))
                });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            lightning_mesh::task::spawn("nosy-connection", connection);
        }
    });
    (address, seen)
}

#[tokio::test]
async fn an_upstream_sees_no_credentials_unless_it_may() {
    const SHOWN: [&str; 4] = ["authorization", "x-api-key", "cookie", "proxy-authorization"];
    let harness = Harness::new(&[]);
    let context = harness.context("gateway");
    let check = async |pass: bool| {
        let (address, seen) = nosy().await;
        let channel = context.peers().upstream("other", &[address], pass).unwrap();
        let mut request = tonic::Request::new(get("x"));
        for name in SHOWN {
            request.metadata_mut().insert(name, "secret".parse().unwrap());
        }
        let status = client(channel).get_service(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        for headers in seen.lock().unwrap().iter() {
            // The question for its health carries nothing in either case.
            let is_call = headers.contains_key("traceparent");
            for name in SHOWN {
                let value = headers.get(name).map(http::HeaderValue::as_bytes);
                assert_eq!(value, (pass && is_call).then_some(b"secret".as_slice()), "{name}");
            }
        }
    };
    check(false).await;
    check(true).await;
}

#[tokio::test]
async fn an_upstream_needs_addresses() {
    let harness = Harness::new(&[]);
    let context = harness.context("gateway");
    for wrong in [vec![], vec!["other:1".to_owned()], vec!["https://other:1".to_owned()]] {
        let error = context.peers().upstream("other", &wrong, false).err().unwrap();
        assert!(error.to_string().contains("of the upstream other"), "{error}");
    }
}

//! A service elsewhere that answers whatever a test wants, over HTTP/2 and nothing above it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lightning_gateway::Config;
use lightning_mesh::{
    body::{Body, boxed},
    testing::{Builder, Harness},
};
use prost::Message;
use tokio::net::TcpListener;

type Answer = Arc<dyn Fn(Parts) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// What a test learns of the requests that arrived.
pub(crate) type Seen = Arc<Mutex<Vec<Parts>>>;

/// A gateway whose agents service is this one.
pub(crate) async fn gateway(
    change: impl FnOnce(&mut Config),
    answer: impl Fn(Parts) -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static,
) -> (Harness, Seen) {
    gateway_on(|builder| builder, change, answer).await
}

/// The same on another mesh. Auth is the same stranger.
pub(crate) async fn gateway_on(
    build: impl FnOnce(Builder) -> Builder,
    change: impl FnOnce(&mut Config),
    answer: impl Fn(Parts) -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static,
) -> (Harness, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    lightning_mesh::task::spawn("upstream", serve(listener, Arc::new(answer), seen.clone()));
    let builder = Harness::builder(&["gateway"]).mesh(|mesh| {
        mesh.peers.insert("agents".to_owned(), address.clone().into());
        mesh.peers.insert("auth".to_owned(), address.into());
        mesh.serve.header_timeout = std::time::Duration::from_millis(500);
    });
    let mut harness = build(builder).start();
    let store = lightning_store::Settings::default();
    let context = harness.context("gateway");
    let mut config = Config::default();
    change(&mut config);
    let service = lightning_gateway::open(config, &store, context.clone()).await.unwrap();
    harness.serve(service, &context).await.unwrap();
    (harness, seen)
}

async fn serve(listener: TcpListener, answer: Answer, seen: Seen) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answer, seen) = (answer.clone(), seen.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (parts, body) = request.into_parts();
            // The mesh asks for the health of its peers; that is no call.
            if !parts.uri.path().starts_with("/grpc.health.v1.") {
                seen.lock().unwrap().push(parts.clone());
            }
            let answer = answer(parts);
            async move {
                // Dropping the body would reset the stream.
                let _ = body.collect().await;
                Ok::<_, Infallible>(answer.await)
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        lightning_mesh::task::spawn("upstream-connection", connection);
    }
}

/// One message as gRPC frames it.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    frame.into()
}

/// A gRPC answer with these trailers.
pub(crate) fn grpc(message: Bytes, trailers: &[(&'static str, &[u8])]) -> Response<Body> {
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        map.append(*name, http::HeaderValue::from_bytes(value).unwrap());
    }
    let frames = [Ok::<_, Infallible>(Frame::data(message)), Ok(Frame::trailers(map))];
    let body = boxed(StreamBody::new(futures_util::stream::iter(frames)));
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

//! Plain clients that add nothing of their own.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::body::Body;

/// A gRPC client over TCP.
#[derive(Clone)]
pub(crate) struct Plain {
    sender: http2::SendRequest<Body>,
    authority: String,
}

impl Plain {
    pub(crate) async fn connect(base: &str) -> Self {
        let authority = base.strip_prefix("http://").unwrap().to_owned();
        let stream = TcpStream::connect(&authority).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.unwrap();
        lightning_mesh::task::spawn("plain-client", connection);
        Self { sender, authority }
    }
}

impl tower::Service<Request<Body>> for Plain {
    type Response = Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path_and_query().unwrap().as_str();
        *request.uri_mut() = format!("http://{}{path}", self.authority).parse().unwrap();
        Box::pin(self.sender.send_request(request))
    }
}

/// Opens a connection to what a harness serves.
pub(crate) async fn connect(base: &str) -> TcpStream {
    TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Sends bytes as they are and reads until the server closes; what came, as text.
pub(crate) async fn http1(base: &str, request: &[u8]) -> String {
    let mut stream = connect(base).await;
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    String::from_utf8_lossy(&read_to_end(&mut stream).await).into_owned()
}

/// Reads until the server closes.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let ended = tokio::time::timeout(Duration::from_secs(20), read).await;
    let _ = ended.expect("the server closes the connection");
    answer
}

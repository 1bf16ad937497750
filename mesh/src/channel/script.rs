//! A peer that answers as a test tells it, for the layers above.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{Body, outcome::NotSent};

/// A method that may be repeated.
pub(super) const SAFE: &str = "/lightning.monitoring.v1.MonitoringService/GetService";
/// One whose answer is a stream.
pub(super) const STREAM: &str = "/lightning.monitoring.v1.MonitoringService/WatchServices";
/// One that may not be repeated.
pub(super) const UNSAFE: &str = "/lightning.agents.v1.DeploymentService/DeployAgent";

/// One answer of the script.
#[derive(Clone)]
pub(super) enum Reply {
    /// A message and OK in the trailers.
    Ok(&'static [u8]),
    /// The status in the headers.
    Head(Code, &'static [(&'static str, &'static str)]),
    /// A message and the status in the trailers.
    Trailers(Code, &'static [(&'static str, &'static str)]),
    /// So many bytes and UNAVAILABLE in the trailers.
    Large(usize),
    /// What something on the way says that does not speak gRPC.
    Http(StatusCode),
    /// Nothing was sent, for this reason.
    Unsent(&'static str),
    /// Nothing for so long, then a message.
    Slow(Duration),
    /// A message, and no end.
    Endless,
}

/// What the peer saw of an attempt.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) at: Instant,
}

/// The peer. The last answer repeats.
#[derive(Clone)]
pub(super) struct Peer {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Peer {
    pub(super) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies = Arc::new(Mutex::new(replies.into_iter().collect()));
        Self { replies, seen: Arc::default() }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn reply(&self) -> Reply {
        let mut replies = self.replies.lock().unwrap();
        let last = replies.len() == 1;
        if last { replies[0].clone() } else { replies.pop_front().unwrap() }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let reply = self.reply();
        let untouched = matches!(reply, Reply::Unsent(_));
        let body = match untouched {
            true => Bytes::new(),
            false => body.collect().await.map_or_else(|_| Bytes::new(), |body| body.to_bytes()),
        };
        self.seen.lock().unwrap().push(Seen { headers: parts.headers, body, at: Instant::now() });
        match reply {
            Reply::Ok(message) => message_and(message, &Status::ok("")),
            Reply::Head(code, further) => {
                let mut answer = Status::new(code, "scripted").into_http::<Body>();
                answer.headers_mut().extend(map(further));
                answer.map(|_| Body::empty())
            }
            Reply::Trailers(code, further) => {
                let mut trailers = crate::body::trailers(&Status::new(code, "scripted"));
                trailers.extend(map(further));
                framed(vec![Frame::data(Bytes::from_static(b"m")), Frame::trailers(trailers)])
            }
            Reply::Large(length) => {
                let trailers = crate::body::trailers(&Status::unavailable("scripted"));
                let frame = Bytes::from(vec![7; length.div_ceil(4)]);
                let data = (0..4).map(|_| Frame::data(frame.clone()));
                framed(data.chain([Frame::trailers(trailers)]).collect())
            }
            Reply::Http(status) => Response::builder().status(status).body(Body::empty()).unwrap(),
            Reply::Unsent(reason) => {
                let mut answer = Status::unavailable(reason).into_http::<Body>();
                answer.extensions_mut().insert(NotSent);
                answer.map(|_| Body::empty())
            }
            Reply::Slow(pause) => {
                tokio::time::sleep(pause).await;
                message_and(b"m", &Status::ok(""))
            }
            Reply::Endless => {
                let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"m")))]);
                let rest = futures_util::stream::pending::<Result<_, Status>>();
                grpc(Body::new(StreamBody::new(futures_util::StreamExt::chain(first, rest))))
            }
        }
    }
}

impl tower::Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.clone().answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// A request with a message of one frame.
pub(super) fn request(path: &str, message: &'static [u8]) -> Request<Body> {
    let body = Body::new(Full::from(message));
    Request::builder().method("POST").uri(path).body(body).unwrap()
}

/// Reads an answer to its end: what it says in data, and its code.
pub(super) async fn read(answer: Response<Body>) -> (Bytes, Option<Code>, HeaderMap) {
    let (parts, body) = answer.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or(parts.headers);
    let code = crate::telemetry::observe::grpc_status(&trailers);
    (collected.to_bytes(), code, trailers)
}

fn message_and(message: &'static [u8], status: &Status) -> Response<Body> {
    let trailers = crate::body::trailers(status);
    framed(vec![Frame::data(Bytes::from_static(message)), Frame::trailers(trailers)])
}

fn framed(frames: Vec<Frame<Bytes>>) -> Response<Body> {
    let frames = frames.into_iter().map(Ok::<_, Status>);
    grpc(Body::new(StreamBody::new(futures_util::stream::iter(frames))))
}

fn grpc(body: Body) -> Response<Body> {
    let answer = Response::builder().header("content-type", "application/grpc");
    answer.body(body).unwrap()
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

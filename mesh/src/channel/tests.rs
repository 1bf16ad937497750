//! Replicas in memory that answer as a test tells them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::{AbortHandle, JoinHandle},
};
use tonic::Code;

use super::{
    Body, ChannelConfig, PipeListener, Pipes,
    balance::{Balance, EndpointFigures},
    outcome::NotSent,
};
use crate::{task, telemetry::observe::grpc_status};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Code(Code),
    NotSent,
}

/// Answers the calls that come over one pipe.
pub(super) struct Replica {
    script: Arc<Mutex<Script>>,
    calls: Arc<AtomicUsize>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    listening: JoinHandle<()>,
}

/// Starts the connections of a replica.
#[derive(Clone)]
struct Starter {
    script: Arc<Mutex<Script>>,
    calls: Arc<AtomicUsize>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

#[derive(Clone)]
struct Script {
    code: Code,
    after: Duration,
    /// Pause between the message and the end.
    pause: Duration,
    pushback: Option<&'static str>,
    reset: Option<h2::Reason>,
}

pub(super) fn config() -> ChannelConfig {
    ChannelConfig::default()
}

/// A balance over so many replicas.
pub(super) fn replicas(count: usize, config: &ChannelConfig) -> (Balance, Vec<Replica>) {
    let names: Vec<_> = (0..count).map(|index| index.to_string()).collect();
    let pipes = Pipes::new(names.iter().map(String::as_str));
    let replicas = names.iter().map(|name| Replica::start(pipes.listen(name).unwrap())).collect();
    let ends = names.iter().map(|name| pipes.get(name).unwrap()).collect();
    (Balance::of_pipes(ends, config, &EndpointFigures::default()), replicas)
}

/// Calls a method and reads the answer to its end.
pub(super) async fn call(balance: &Balance, path: &str) -> Outcome {
    let response = send(balance, path).await;
    if response.extensions().get::<NotSent>().is_some() {
        return Outcome::NotSent;
    }
    let head = grpc_status(response.headers());
    let body = response.into_body().collect().await.unwrap();
    let tail = body.trailers().and_then(grpc_status);
    Outcome::Code(tail.or(head).unwrap())
}

/// Calls a method and gives its answer unread.
pub(super) async fn send(balance: &Balance, path: &str) -> http::Response<Body> {
    let mut request = Request::new(Body::new(http_body_util::Full::from("\0\0\0\0\0")));
    *request.uri_mut() = path.parse().unwrap();
    *request.method_mut() = http::Method::POST;
    tower::Service::call(&mut balance.clone(), request).await.unwrap()
}

impl Starter {
    fn with<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, io: T) {
        let serving = serve(io, self.script.clone(), self.calls.clone());
        let connection = task::spawn("replica-connection", serving);
        self.connections.lock().unwrap().push(connection.abort_handle());
    }
}

impl Replica {
    pub(super) fn start(mut listener: PipeListener) -> Self {
        Self::accepting(|start| async move {
            while let Some(io) = listener.accept().await {
                start.with(io);
            }
        })
    }

    /// On a free port of loopback.
    pub(super) async fn bind() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let replica = Self::accepting(|start| async move {
            while let Ok((io, _)) = listener.accept().await {
                start.with(io);
            }
        });
        (replica, address)
    }

    fn accepting<F>(accept: impl FnOnce(Starter) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let starter = Starter {
            script: Arc::new(Mutex::new(Script {
                code: Code::Ok,
                after: Duration::from_millis(1),
                pause: Duration::ZERO,
                pushback: None,
                reset: None,
            })),
            calls: Arc::default(),
            connections: Arc::default(),
        };
        let listening = task::spawn("replica", accept(starter.clone()));
        let Starter { script, calls, connections } = starter;
        Self { script, calls, connections, listening }
    }

    /// How many calls it was given.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn answers(&self, code: Code, after: Duration) {
        let pause = Duration::ZERO;
        *self.script.lock().unwrap() = Script { code, after, pause, pushback: None, reset: None };
    }

    /// Pauses between the message and the end of each answer.
    pub(super) fn answers_slowly(&self, pause: Duration) {
        self.script.lock().unwrap().pause = pause;
    }

    /// Is busy, and wants to be left alone.
    pub(super) fn pushes_back(&self, millis: &'static str) {
        let mut script = self.script.lock().unwrap();
        (script.code, script.pushback) = (Code::ResourceExhausted, Some(millis));
    }

    pub(super) fn resets(&self, reason: h2::Reason) {
        self.script.lock().unwrap().reset = Some(reason);
    }

    /// Cuts all connections; new ones can be made.
    pub(super) fn break_connections(&mut self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    /// Cuts all connections, and listens no more.
    pub(super) async fn die(&mut self) {
        self.listening.abort();
        // The listener goes with its task.
        let _ = (&mut self.listening).await;
        self.break_connections();
    }
}

/// Serves one connection with plain h2, so that a test can also break its rules.
async fn serve<T>(io: T, script: Arc<Mutex<Script>>, calls: Arc<AtomicUsize>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if request.uri().path().starts_with("/grpc.health.v1.") {
            let response = http::Response::builder().header("content-type", "application/grpc");
            let response = response.header("grpc-status", Code::Unimplemented as i32);
            let _ = respond.send_response(response.body(()).unwrap(), true);
            continue;
        }
        calls.fetch_add(1, Ordering::SeqCst);
        let script = script.lock().unwrap().clone();
        task::spawn("replica-answer", async move {
            if let Some(reason) = script.reset {
                respond.send_reset(reason);
                return;
            }
            tokio::time::sleep(script.after).await;
            let response = http::Response::builder().header("content-type", "application/grpc");
            let head = response.body(()).unwrap();
            let Ok(mut body) = respond.send_response(head, false) else { return };
            if script.code == Code::Ok {
                let _ = body.send_data(Bytes::from_static(b"\0\0\0\0\0"), false);
            }
            tokio::time::sleep(script.pause).await;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", (script.code as i32).into());
            if let Some(millis) = script.pushback {
                trailers.insert("grpc-retry-pushback-ms", HeaderValue::from_static(millis));
            }
            let _ = body.send_trailers(trailers);
        });
    }
}

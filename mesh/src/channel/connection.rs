//! Connections to one peer: made when first needed, shared by calls, remade when lost.
//!
//! A call that was never written to a connection (because it was closing under it) is sent once more on
//! a fresh one; that is safe for any method. Anything that was written is not repeated here. After a
//! failed attempt the peer is left alone for a moment, so that a dead one costs its callers nothing.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine as _, alphabet, engine};
use futures_util::future::BoxFuture;
use http::{
    HeaderMap, Request, Response, Uri, header,
    uri::{Authority, Scheme},
};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
    time::Instant,
};
use tonic::{Code, Status};

use super::{Body, ChannelConfig, deadline::CallBounds, outcome::NotSent, pipe::Pipe, unreachable};
use crate::{
    body::{Bounded, Bounds, BoxError},
    serve::Executor,
    task,
    tls::{self, Tls},
};

/// Pause after a failed attempt to connect: first, longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// HTTP/2 flow-control windows: per stream, per connection. Larger than the default 64 KiB, which would
/// make a batch of embeddings wait for round trips.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Most bytes of response headers that are read.
const MAX_HEADERS: u32 = 32 * 1024;
const DETAILS: &str = "grpc-status-details-bin";

type Sender = http2::SendRequest<Body>;

/// Where a peer is.
#[derive(Clone)]
pub(crate) enum Target {
    /// In this process.
    Pipe(Pipe),
    /// At `http://host:port`, or at `https://host:port`.
    Address { authority: Authority, secure: bool },
    /// Not configured.
    Nowhere,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Connection(Arc<Peer>);

struct Peer {
    name: String,
    target: Target,
    tls: Option<Tls>,
    config: ChannelConfig,
    lanes: Vec<Mutex<Lane>>,
    next: AtomicUsize,
}

#[derive(Default)]
struct Lane {
    sender: Option<Sender>,
    /// How long to pause after the next failure, and until when the last one counts.
    pause: Duration,
    not_before: Option<Instant>,
}

impl Target {
    /// From `http://host:port` or `https://host:port`; `None` for anything else.
    pub(crate) fn address(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return None,
        };
        let bare = uri.path() == "/" && uri.query().is_none();
        let authority = uri.into_parts().authority.filter(|_| bare)?;
        (!authority.as_str().contains('@')).then_some(Self::Address { authority, secure })
    }

    /// Whether the way there is encrypted or never leaves the process.
    pub(crate) fn is_secure(&self) -> bool {
        match self {
            Self::Address { secure, .. } => *secure,
            Self::Pipe(_) | Self::Nowhere => true,
        }
    }
}

impl Connection {
    pub(super) fn new(
        name: &str,
        target: Target,
        tls: Option<Tls>,
        config: &ChannelConfig,
    ) -> Self {
        let lanes = match &target {
            Target::Address { .. } => config.connections.clamp(1, 64),
            Target::Pipe(_) | Target::Nowhere => 1,
        };
        Self(Arc::new(Peer {
            name: name.to_owned(),
            target,
            tls,
            config: config.clone(),
            lanes: (0..lanes).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
        }))
    }
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = self.0.clone();
        Box::pin(async move { Ok(peer.call(request).await) })
    }
}

impl Peer {
    async fn call(&self, mut request: Request<Body>) -> Response<Body> {
        let bounds = request.extensions().get::<CallBounds>().map_or_else(Bounds::default, |b| b.0);
        self.address(&mut request);
        let lane = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        for last_attempt in [false, true] {
            let mut sender = match self.sender(lane).await {
                Ok(sender) => sender,
                Err(error) => {
                    tracing::debug!(peer = self.name, error = %error, "cannot connect");
                    return unreachable(&self.name, &error.to_string());
                }
            };
            match sender.try_send_request(request).await {
                Ok(response) => return checked(response, bounds),
                Err(mut failed) => match failed.take_message() {
                    // Nothing was sent: the connection was closing.
                    Some(unsent) if !last_attempt => request = unsent,
                    unsent => {
                        let error: BoxError = failed.into_error().into();
                        let mut answer = read_error(&error).into_http().map(|()| Body::empty());
                        if unsent.is_some() || was_refused(&error) {
                            answer.extensions_mut().insert(NotSent);
                        }
                        return answer;
                    }
                },
            }
        }
        unreachable(&self.name, "the connection closed")
    }

    fn address(&self, request: &mut Request<Body>) {
        let (authority, scheme) = match &self.target {
            Target::Address { authority, secure: true } => (authority.clone(), Scheme::HTTPS),
            Target::Address { authority, secure: false } => (authority.clone(), Scheme::HTTP),
            Target::Pipe(_) | Target::Nowhere => (Authority::from_static("pipe"), Scheme::HTTP),
        };
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(scheme);
        parts.authority = Some(authority);
        if parts.path_and_query.is_none() {
            parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        }
        *request.uri_mut() =
            Uri::from_parts(parts).expect("scheme, authority and path are all set");
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().remove(header::HOST);
    }

    /// An open connection of this lane; waits while another call is making it.
    async fn sender(&self, lane: usize) -> io::Result<Sender> {
        let mut lane = self.lanes[lane].lock().await;
        if let Some(sender) = lane.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        if lane.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return Err(io::Error::other("the last attempt just failed"));
        }
        let connect = tokio::time::timeout(self.config.connect_timeout, self.connect()).await;
        match connect.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(sender) => {
                *lane = Lane { sender: Some(sender.clone()), ..Lane::default() };
                Ok(sender)
            }
            Err(error) => {
                lane.pause = (lane.pause * 2).clamp(BACKOFF.0, BACKOFF.1);
                lane.not_before = Some(Instant::now() + lane.pause);
                Err(error)
            }
        }
    }

    async fn connect(&self) -> io::Result<Sender> {
        match &self.target {
            Target::Pipe(pipe) => self.handshake(pipe.connect().await?).await,
            Target::Address { authority, secure } => {
                let host = authority.host().trim_start_matches('[').trim_end_matches(']');
                let port = authority.port_u16().unwrap_or(if *secure { 443 } else { 80 });
                let stream = TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                match (secure, &self.tls) {
                    (false, _) => self.handshake(stream).await,
                    (true, Some(tls)) => {
                        self.handshake(tls.connect(stream, &self.name).await?).await
                    }
                    // A node whose TLS is off does not start with such an address.
                    (true, None) => Err(io::Error::other("https needs [mesh.tls]")),
                }
            }
            Target::Nowhere => {
                Err(io::Error::other("it is neither served here nor configured under [mesh.peers]"))
            }
        }
    }

    async fn handshake<T>(&self, io: T) -> io::Result<Sender>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(Executor);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS);
        if matches!(self.target, Target::Address { .. }) {
            builder
                .keep_alive_interval(self.config.keepalive_interval)
                .keep_alive_timeout(self.config.keepalive_timeout);
        }
        let (sender, connection) =
            builder.handshake(TokioIo::new(io)).await.map_err(io::Error::other)?;
        let name = self.name.clone();
        task::spawn("peer-connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(peer = name, error = %error, "connection to peer ended");
            }
        });
        Ok(sender)
    }
}

/// An answer that is safe to read: its details decode, and its body ends in time and with a status.
fn checked(response: Response<Incoming>, bounds: Bounds) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    drop_damaged_details(&mut parts.headers);
    // With the status in the headers there is no body to wait for.
    let trailers_only = parts.headers.contains_key("grpc-status");
    // An answer that is not gRPC (from something in between) has its own way to end.
    let speaks_grpc = crate::telemetry::observe::is_grpc(&parts.headers);
    let bounds = Bounds { wants_trailers: speaks_grpc && !trailers_only, ..bounds };
    let body = Bounded::new(SafeTrailers(body), bounds, read_error);
    Response::from_parts(parts, Body::new(body))
}

/// tonic 0.14 panics on details that are not base64, so a peer could kill whoever calls it.
fn drop_damaged_details(headers: &mut HeaderMap) {
    const LENIENT: engine::GeneralPurpose = engine::GeneralPurpose::new(
        &alphabet::STANDARD,
        engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
    );
    let damaged =
        headers.get(DETAILS).is_some_and(|value| LENIENT.decode(value.as_bytes()).is_err());
    if damaged {
        tracing::warn!("dropped damaged error details of a peer");
        headers.remove(DETAILS);
    }
}

/// What a failure of the connection means for a call that was written to it.
fn read_error(error: &BoxError) -> Status {
    let Some(reason) = h2_error(error).and_then(h2::Error::reason) else {
        // A server that refuses our certificate says so after the handshake is over for us.
        return match tls::explain(&**error) {
            Some(reason) => {
                Status::unavailable(format!("the connection to the peer was lost: {reason}"))
            }
            None => Status::unavailable("the connection to the peer was lost"),
        };
    };
    let code = match reason {
        h2::Reason::CANCEL => Code::Cancelled,
        h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        h2::Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Unavailable,
    };
    Status::new(code, format!("the peer ended the call: {reason}"))
}

/// Whether the peer did nothing with a call that was written to it (RFC 9113 section 8.7).
fn was_refused(error: &BoxError) -> bool {
    let refused = |error: &h2::Error| {
        error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
    };
    h2_error(error).is_some_and(refused)
}

fn h2_error(error: &BoxError) -> Option<&h2::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<h2::Error>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// A body whose trailers can be read without fear.
struct SafeTrailers(Incoming);

impl http_body::Body for SafeTrailers {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(std::pin::Pin::new(&mut self.0).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    drop_damaged_details(trailers);
                }
                frame
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

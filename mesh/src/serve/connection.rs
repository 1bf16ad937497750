//! One connection: which protocol it speaks, its limits, and the ways it can end.
//!
//! The protocol is told from the first bytes, by ourselves, because the usual sniffing waits for them
//! without limit. After that hyper speaks HTTP/1 or HTTP/2; here it is only driven, watched for
//! idleness, asked to finish and, in the end, dropped.

use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};

use futures_util::future::Either;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use self::{activity::Activity, rewound::Rewound};
use super::{Executor, Handler, Peer, Secured, ServeConfig, plain_error};
use crate::{
    body::{Body, Holding, boxed, grpc_answer},
    fault::Fault,
    telemetry::observe::is_grpc,
    tls::{Link, Tls},
};

mod activity;
mod rewound;

/// The first byte of TLS: a record of the handshake. No request begins with it.
const TLS_HANDSHAKE: u8 = 0x16;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// HTTP/2 flow-control windows: per stream, per connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// What a connection may do; see [`ServeConfig`].
pub(super) struct Limits {
    first_byte: Duration,
    header: Duration,
    idle: Option<Duration>,
    max_streams: u32,
    max_header_bytes: u32,
    max_reset_streams: usize,
    /// Interval and timeout of pings.
    keepalive: Option<(Duration, Duration)>,
}

impl Limits {
    pub(super) fn port(config: &ServeConfig) -> Self {
        Self {
            first_byte: config.first_byte_timeout,
            header: config.header_timeout,
            idle: Some(config.idle_timeout),
            max_streams: config.max_streams,
            max_header_bytes: config.max_header_bytes,
            max_reset_streams: config.max_reset_streams,
            keepalive: Some((config.keepalive_interval, config.keepalive_timeout)),
        }
    }

    /// A pipe cannot lose its other end, and its users cancel a lot.
    pub(super) fn pipe(config: &ServeConfig) -> Self {
        Self {
            idle: None,
            keepalive: None,
            max_streams: config.max_streams.saturating_mul(4),
            max_reset_streams: config.max_reset_streams.saturating_mul(50),
            ..Self::port(config)
        }
    }
}

/// A connection that was accepted.
pub(super) struct Connection {
    pub(super) handler: Handler,
    pub(super) limits: Arc<Limits>,
    /// Set on a port that speaks TLS.
    pub(super) tls: Option<Tls>,
    pub(super) peer: Peer,
    pub(super) drain: CancellationToken,
    pub(super) cut: CancellationToken,
}

/// What a client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
    Tls,
}

/// What every request of a connection has in common.
struct Desk {
    handler: Handler,
    peer: Peer,
    link: Link,
    tls: Option<Tls>,
    activity: Arc<Activity>,
}

impl Connection {
    /// Serves a pipe to its end, whichever comes first: the client's, the drain's or the cut.
    pub(super) async fn run_pipe<T>(self, mut stream: T)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Some((protocol, start)) = self.sniffed(&mut stream).await {
            self.serve(protocol, start, stream, Link::Pipe, None).await;
        }
    }

    /// The same for a TCP connection, which may speak TLS first.
    pub(super) async fn run_port(self, mut stream: TcpStream) {
        let Some((protocol, start)) = self.sniffed(&mut stream).await else { return };
        let Some(tls) = self.tls.clone().filter(|_| protocol == Protocol::Tls) else {
            return self.serve(protocol, start, stream, Link::Plain, None).await;
        };
        let stream = Rewound::new(start, stream, None);
        let secured = tokio::select! {
            () = self.drain.cancelled() => return,
            secured = tls.accept(stream, self.peer.addr) => secured,
        };
        let Some(mut secured) = secured else { return };
        let Some((protocol, start)) = self.sniffed(&mut secured.stream).await else { return };
        let (link, lifetime) = (Link::Tls(secured.identity), secured.lifetime);
        self.serve(protocol, start, secured.stream, link, lifetime).await;
    }

    /// What the client speaks and what was read to tell; `None` if it says nothing in time.
    async fn sniffed<T: AsyncRead + Unpin>(&self, stream: &mut T) -> Option<(Protocol, Vec<u8>)> {
        let sniffed = tokio::select! {
            // Nothing was asked yet, so nothing is lost.
            () = self.drain.cancelled() => return None,
            sniffed = tokio::time::timeout(self.limits.first_byte, sniff(stream)) => sniffed,
        };
        sniffed.ok()?.ok()
    }

    async fn serve<T>(
        self,
        protocol: Protocol,
        start: Vec<u8>,
        stream: T,
        link: Link,
        lifetime: Option<Duration>,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::new());
        let is_http2 = protocol == Protocol::Http2;
        // In HTTP/2, bytes between requests are pings and settings, not the start of a head.
        let heads = (!is_http2).then(|| activity.clone());
        let io = TokioIo::new(Rewound::new(start, stream, heads));
        let desk = Arc::new(Desk {
            handler: self.handler.clone(),
            peer: self.peer,
            link,
            tls: self.tls.clone(),
            activity: activity.clone(),
        });
        let service = service_fn(move |request| answer(&desk, request));
        let ended = if is_http2 {
            let connection = self.http2().serve_connection(io, service);
            self.drive(connection, |c| c.graceful_shutdown(), &activity, lifetime).await
        } else {
            // TLS inside of TLS, or on a port that does not speak it, is a malformed head.
            let connection = self.http1().serve_connection(io, service);
            self.drive(connection, |c| c.graceful_shutdown(), &activity, lifetime).await
        };
        if let Err(error) = ended {
            tracing::debug!(error = %error, "connection ended");
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        // hyper's own header timeout also runs between requests, where only the idle timeout should.
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_header_size(self.limits.max_header_bytes as usize);
        builder
    }

    fn http2(&self) -> http2::Builder<Executor> {
        let limits = &self.limits;
        let mut builder = http2::Builder::new(Executor);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(limits.max_streams.max(1))
            .max_header_list_size(limits.max_header_bytes)
            .max_pending_accept_reset_streams(limits.max_reset_streams)
            .max_local_error_reset_streams(limits.max_reset_streams.saturating_mul(8));
        if let Some((interval, timeout)) = limits.keepalive {
            builder.keep_alive_interval(interval).keep_alive_timeout(timeout);
        }
        builder
    }

    async fn drive<C>(
        &self,
        connection: C,
        finish: impl Fn(Pin<&mut C>),
        activity: &Activity,
        lifetime: Option<Duration>,
    ) -> hyper::Result<()>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let life_over = async {
            match lifetime {
                Some(lifetime) => tokio::time::sleep(lifetime).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(connection, life_over);
        let mut finishing = false;
        loop {
            tokio::select! {
                biased;
                () = self.cut.cancelled() => return Ok(()),
                ended = connection.as_mut() => return ended,
                () = activity.head_overdue(self.limits.header) => return Ok(()),
                () = self.drain.cancelled(), if !finishing => {}
                () = activity.idle_for(self.limits.idle), if !finishing => {}
                () = &mut life_over, if !finishing => {}
            }
            finish(connection.as_mut());
            finishing = true;
        }
    }
}

fn answer(
    desk: &Desk,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
    let busy = Activity::begin(&desk.activity);
    let admitted = desk.tls.as_ref().map_or(Ok(()), |tls| tls.admit(&desk.link, &request));
    let answer = match admitted {
        Ok(()) => {
            request.extensions_mut().insert(desk.peer);
            if let Link::Tls(identity) = &desk.link {
                request.extensions_mut().insert(Secured);
                if let Some(identity) = identity {
                    request.extensions_mut().insert(identity.clone());
                }
            }
            Either::Left(desk.handler.clone().call(request))
        }
        Err(fault) => Either::Right(std::future::ready(Ok(refusal(fault, &request)))),
    };
    async move {
        let response = answer.await?;
        // The connection counts as busy until the last byte of the answer.
        Ok(response.map(|body| boxed(Holding::new(body, busy))))
    }
}

/// Why a request is not answered over this connection, in the caller's tongue.
fn refusal(fault: Fault, request: &Request<Incoming>) -> Response<Body> {
    match is_grpc(request.headers()) {
        true => grpc_answer(fault),
        false => plain_error(fault),
    }
}

/// Reads until it is clear whether the client speaks HTTP/2 or TLS; tells so, and what was read.
async fn sniff<T: AsyncRead + Unpin>(stream: &mut T) -> io::Result<(Protocol, Vec<u8>)> {
    let mut start = Vec::with_capacity(PREFACE.len());
    let mut buffer = [0; PREFACE.len()];
    loop {
        let wanted = PREFACE.len() - start.len();
        let read = stream.read(&mut buffer[..wanted]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        start.extend_from_slice(&buffer[..read]);
        if !PREFACE.starts_with(&start) {
            let is_tls = start.first() == Some(&TLS_HANDSHAKE);
            return Ok((if is_tls { Protocol::Tls } else { Protocol::Http1 }, start));
        }
        if start.len() == PREFACE.len() {
            return Ok((Protocol::Http2, start));
        }
    }
}

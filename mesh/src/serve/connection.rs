//! One connection: which protocol it speaks, its limits, and the ways it can end.
//!
//! The protocol is told from the first bytes, by ourselves, because the usual sniffing waits for them
//! without limit. After that hyper speaks HTTP/1 or HTTP/2; here it is only driven, watched for
//! idleness, asked to finish and, in the end, dropped.

use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use self::{activity::Activity, rewound::Rewound};
use super::{Executor, Handler, Peer, ServeConfig};
use crate::body::{Body, Holding, boxed};

mod activity;
mod rewound;

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
    pub(super) peer: Peer,
    pub(super) drain: CancellationToken,
    pub(super) cut: CancellationToken,
}

impl Connection {
    /// Serves it to its end, whichever comes first: the client's, the drain's or the cut.
    pub(super) async fn run<T>(self, mut stream: T)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let sniffed = tokio::select! {
            // Nothing was asked yet, so nothing is lost.
            () = self.drain.cancelled() => return,
            sniffed = tokio::time::timeout(self.limits.first_byte, sniff(&mut stream)) => sniffed,
        };
        let Ok(Ok((is_http2, start))) = sniffed else {
            return;
        };
        let activity = Arc::new(Activity::new());
        // In HTTP/2, bytes between requests are pings and settings, not the start of a head.
        let heads = (!is_http2).then(|| activity.clone());
        let io = TokioIo::new(Rewound::new(start, stream, heads));
        let service = {
            let (handler, peer, activity) = (self.handler.clone(), self.peer, activity.clone());
            service_fn(move |request| answer(&handler, peer, &activity, request))
        };
        let ended = if is_http2 {
            let connection = self.http2().serve_connection(io, service);
            self.drive(connection, |c| c.graceful_shutdown(), &activity).await
        } else {
            let connection = self.http1().serve_connection(io, service);
            self.drive(connection, |c| c.graceful_shutdown(), &activity).await
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
    ) -> hyper::Result<()>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        tokio::pin!(connection);
        let mut finishing = false;
        loop {
            tokio::select! {
                biased;
                () = self.cut.cancelled() => return Ok(()),
                ended = connection.as_mut() => return ended,
                () = activity.head_overdue(self.limits.header) => return Ok(()),
                () = self.drain.cancelled(), if !finishing => {}
                () = activity.idle_for(self.limits.idle), if !finishing => {}
            }
            finish(connection.as_mut());
            finishing = true;
        }
    }
}

fn answer(
    handler: &Handler,
    peer: Peer,
    activity: &Arc<Activity>,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
    let busy = Activity::begin(activity);
    request.extensions_mut().insert(peer);
    let answer = handler.clone().call(request);
    async move {
        let response = answer.await?;
        // The connection counts as busy until the last byte of the answer.
        Ok(response.map(|body| boxed(Holding::new(body, busy))))
    }
}

/// Reads until it is clear whether the client speaks HTTP/2; tells so, and what was read.
async fn sniff<T: AsyncRead + Unpin>(stream: &mut T) -> io::Result<(bool, Vec<u8>)> {
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
            return Ok((false, start));
        }
        if start.len() == PREFACE.len() {
            return Ok((true, start));
        }
    }
}

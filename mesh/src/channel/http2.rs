//! The HTTP/2 client: `h2` spoken to directly, without a task or a queue per call in between.
//!
//! hyper's client hands each request to the task of the connection through a queue and spawns another
//! task for it; a call to a peer is too frequent for that. Here the task that makes the call opens the
//! stream and writes the request itself; the task of the connection only moves frames. A request whose
//! stream was never opened comes back as it was. What is left of a request body when the answer begins
//! (only of streams) goes on in a task of its own, since nobody may be polling the call any more.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Body;
use crate::task;

/// HTTP/2 flow-control windows: per stream, per connection. Larger than the default 64 KiB, which would
/// make a batch of embeddings wait for round trips.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Most bytes of response headers that are read.
const MAX_HEADERS: u32 = 32 * 1024;
/// Headers of HTTP/1.1 connections, which HTTP/2 forbids (RFC 9113 section 8.2.2).
const FORBIDDEN: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::HOST];
const FORBIDDEN_NAMES: [&str; 2] = ["keep-alive", "proxy-connection"];

/// Runs a connection; ends when the connection does.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>;

/// How often a connection in use is pinged, and how long the answer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keepalive {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// The sending end of a connection. Clones share it.
#[derive(Clone)]
pub(super) struct Sender {
    requests: Arc<SendRequest<Bytes>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// No further stream can be opened: the connection has ended, or the peer said GOAWAY.
    closed: AtomicBool,
    /// Calls that have not ended.
    calls: AtomicUsize,
}

/// Counts a call until its answer has been read or given up.
struct Call(Arc<State>);

/// Why there is no answer.
pub(super) enum SendError {
    /// The stream was not opened: the request, as it was.
    Unsent(Box<Request<Body>>),
    /// The request may have been looked at.
    Failed(h2::Error),
}

/// The body of an answer.
pub(super) struct Incoming {
    stream: RecvStream,
    data_ended: bool,
    size: SizeHint,
    _call: Call,
}

/// Makes a connection over `io`. Nothing happens on it unless its driver is polled.
pub(super) async fn handshake<T>(
    io: T,
    keepalive: Option<Keepalive>,
) -> io::Result<(Sender, Driver)>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS);
    let (requests, mut connection) = builder.handshake(io).await.map_err(io::Error::other)?;
    let state = Arc::new(State::default());
    let pings = keepalive.and_then(|keepalive| Some((connection.ping_pong()?, keepalive)));
    let of_driver = state.clone();
    let requests = Arc::new(requests);
    // A sender that is kept would keep the connection open.
    let last = Arc::downgrade(&requests);
    let driver = async move {
        let result = match pings {
            Some((pings, keepalive)) => tokio::select! {
                result = connection => result,
                result = keep_alive(pings, keepalive, &of_driver) => result,
            },
            None => connection.await,
        };
        of_driver.closed.store(true, Ordering::Relaxed);
        result.and_then(|()| parting(&last))
    };
    Ok((Sender { requests, state }, Box::pin(driver)))
}

/// How a connection ended that did not fail: in peace, after GOAWAY without an error, or cut off. Only a
/// sender is told.
fn parting(last: &Weak<SendRequest<Bytes>>) -> Result<(), h2::Error> {
    let Some(last) = last.upgrade() else { return Ok(()) };
    let mut context = Context::from_waker(Waker::noop());
    match SendRequest::clone(&last).poll_ready(&mut context) {
        Poll::Ready(Err(error)) if error.reason() != Some(h2::Reason::NO_ERROR) => Err(error),
        Poll::Ready(Ok(()) | Err(_)) | Poll::Pending => Ok(()),
    }
}

/// Pings while calls are under way; ends when a ping stays unanswered.
async fn keep_alive(
    mut pings: PingPong,
    keepalive: Keepalive,
    state: &State,
) -> Result<(), h2::Error> {
    loop {
        tokio::time::sleep(keepalive.interval).await;
        if state.calls.load(Ordering::Relaxed) == 0 {
            continue;
        }
        pings.send_ping(Ping::opaque())?;
        let pong = poll_fn(|context| pings.poll_pong(context));
        match tokio::time::timeout(keepalive.timeout, pong).await {
            Ok(pong) => pong?,
            Err(_) => return Err(h2::Error::from(h2::Reason::NO_ERROR)),
        };
    }
}

// === impl Sender ===

impl Sender {
    /// Whether no further request can be sent.
    pub(super) fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Relaxed)
    }

    /// Sends a request and waits for the head of its answer. Dropping the future resets the stream.
    pub(super) async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, SendError> {
        let mut requests = SendRequest::clone(&self.requests);
        if self.is_closed() || poll_fn(|context| requests.poll_ready(context)).await.is_err() {
            self.state.closed.store(true, Ordering::Relaxed);
            return Err(SendError::Unsent(Box::new(request)));
        }
        let call = Call::new(&self.state);
        let (mut parts, body) = request.into_parts();
        drop_forbidden(&mut parts.headers);
        let ended = body.is_end_stream();
        let request = Request::from_parts(parts, ());
        let (answer, stream) = requests.send_request(request, ended).map_err(SendError::Failed)?;
        let mut pump = (!ended).then(|| Pump { stream, body, drained: true });
        let response = head(answer, &mut pump).await.map_err(SendError::Failed)?;
        if let Some(pump) = pump {
            task::spawn("request-body", pump.finish());
        }
        let length = content_length(response.headers());
        Ok(response.map(|stream| {
            let size = match (stream.is_end_stream(), length) {
                (true, _) => SizeHint::with_exact(0),
                (false, Some(length)) => SizeHint::with_exact(length),
                (false, None) => SizeHint::default(),
            };
            Incoming { stream, data_ended: false, size, _call: call }
        }))
    }
}

impl Call {
    fn new(state: &Arc<State>) -> Self {
        state.calls.fetch_add(1, Ordering::Relaxed);
        Self(state.clone())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for the head of an answer while the request's body is written.
async fn head(
    mut answer: ResponseFuture,
    pump: &mut Option<Pump>,
) -> Result<Response<RecvStream>, h2::Error> {
    poll_fn(|context| {
        if let Some(writing) = pump
            && writing.poll_write(context).is_ready()
        {
            *pump = None;
        }
        Pin::new(&mut answer).poll(context)
    })
    .await
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn drop_forbidden(headers: &mut HeaderMap) {
    for name in FORBIDDEN {
        headers.remove(name);
    }
    for name in FORBIDDEN_NAMES {
        headers.remove(name);
    }
    if headers.get(header::TE).is_some_and(|value| value != "trailers") {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Writes the body of a request.
struct Pump {
    stream: SendStream<Bytes>,
    body: Body,
    /// Whether what was written before has left, so that at most one frame waits here.
    drained: bool,
}

impl Pump {
    /// Ready when nothing is left to write, or nobody wants it.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.drained {
                // Room for one more byte means that all before it has gone.
                match ready!(self.stream.poll_capacity(context)) {
                    Some(Ok(0)) => continue,
                    Some(Ok(_)) => self.drained = true,
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
            if let Poll::Ready(reset) = self.stream.poll_reset(context) {
                drop(reset);
                return Poll::Ready(());
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let ended = self.body.is_end_stream();
                        if self.stream.send_data(data, ended).is_err() || ended {
                            return Poll::Ready(());
                        }
                        self.stream.reserve_capacity(1);
                        self.drained = false;
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            let _gone = self.stream.send_trailers(trailers);
                        }
                        return Poll::Ready(());
                    }
                },
                Some(Err(_)) => {
                    self.stream.send_reset(h2::Reason::CANCEL);
                    return Poll::Ready(());
                }
                None => {
                    let _gone = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(());
                }
            }
        }
    }

    async fn finish(mut self) {
        poll_fn(|context| self.poll_write(context)).await;
    }
}

// === impl Incoming ===

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        if !this.data_ended {
            match ready!(this.stream.poll_data(context)) {
                Some(Ok(data)) => {
                    // The bytes are the caller's now: the peer may send as many again.
                    let released = this.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(released.map(|()| Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.data_ended = true,
            }
        }
        let trailers = ready!(this.stream.poll_trailers(context))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

#[cfg(test)]
mod tests;

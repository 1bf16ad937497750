//! Bodies: the one boxed type that flows between the layers, and a wrapper that bounds a body in time.
//!
//! A deadline that ends at the response headers bounds nothing on a stream; therefore the wrapper keeps
//! watching until the last frame, and ends a gRPC body the way gRPC wants: with trailers that say
//! DEADLINE_EXCEEDED. It can also insist on trailers, because a connection that breaks off must not
//! look like a clean end.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, combinators::UnsyncBoxBody};
use lightning_proto::mesh::v1::ErrorReason;
use tokio::time::{Instant, Sleep};
use tonic::{Code, Status};

use crate::fault::Fault;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body between all layers. The same type as the transcoder's.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Boxes any body.
pub fn boxed<B>(body: B) -> Body
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A body without content.
pub fn empty() -> Body {
    boxed(Empty::new())
}

/// A request body with its error in a type of its own: rustc cannot prove a future over a generic body
/// to be Send where the error is a boxed one (rust-lang/rust#102211).
pub(crate) struct Arriving(pub(crate) Body);

/// Why a request body could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the request body cannot be read")]
pub(crate) struct Unread(#[source] BoxError);

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Unread;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unread>>> {
        let frame = std::task::ready!(Pin::new(&mut self.0).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map_err(Unread)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A fault as a gRPC answer without body ("trailers only").
pub(crate) fn grpc_answer(fault: Fault) -> Response<Body> {
    Status::from(fault).into_http::<Empty<Bytes>>().map(boxed)
}

/// A status as the trailers that end a gRPC body.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Only a message that cannot be a header fails, and ours are percent-encoded.
        trailers.insert("grpc-status", (Code::Internal as i32).into());
    }
    trailers
}

/// The fault of a passed deadline.
pub(crate) fn deadline_passed() -> Fault {
    Fault::deadline(ErrorReason::DeadlineExceeded)
        .message("the deadline passed before the answer was complete")
}

/// How far a [`Bounded`] body goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// The body ends at this time at the latest.
    pub(crate) deadline: Option<Instant>,
    /// Longest silence between two frames.
    pub(crate) idle: Option<Duration>,
    /// Whether a body that ends without trailers is an error.
    pub(crate) wants_trailers: bool,
}

/// A gRPC body that ends in time, and with trailers.
pub(crate) struct Bounded<B> {
    inner: B,
    bounds: Bounds,
    alarm: Option<Pin<Box<Sleep>>>,
    ended: bool,
    read_error: fn(&BoxError) -> Status,
}

impl<B> Bounded<B> {
    pub(crate) fn new(inner: B, bounds: Bounds, read_error: fn(&BoxError) -> Status) -> Self {
        let mut body = Self { inner, bounds, alarm: None, ended: false, read_error };
        body.set_alarm();
        body
    }

    /// Sets the alarm to the deadline or the end of the allowed silence, whichever comes first.
    fn set_alarm(&mut self) {
        let idle = self.bounds.idle.map(|idle| Instant::now() + idle);
        let next = match (self.bounds.deadline, idle) {
            (Some(deadline), Some(idle)) => Some(deadline.min(idle)),
            (deadline, idle) => deadline.or(idle),
        };
        match (next, &mut self.alarm) {
            (Some(at), Some(alarm)) => alarm.as_mut().reset(at),
            (Some(at), None) => self.alarm = Some(Box::pin(tokio::time::sleep_until(at))),
            (None, _) => self.alarm = None,
        }
    }

    fn end(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.ended = true;
        Poll::Ready(Some(Ok(Frame::trailers(trailers(status)))))
    }
}

impl<B> HttpBody for Bounded<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        // A body that is always ready would never let the alarm have its turn.
        if this.bounds.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return this.end(&deadline_passed().into());
        }
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                if frame.is_trailers() {
                    this.ended = true;
                } else if this.bounds.idle.is_some() {
                    this.set_alarm();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let status = (this.read_error)(&error.into());
                this.end(&status)
            }
            Poll::Ready(None) if this.bounds.wants_trailers => {
                this.end(&Status::unavailable("the answer broke off without a status"))
            }
            Poll::Ready(None) => {
                this.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let alarm = this.alarm.as_mut();
                if alarm.is_none_or(|alarm| alarm.as_mut().poll(context).is_pending()) {
                    return Poll::Pending;
                }
                let in_time = this.bounds.deadline.is_none_or(|deadline| Instant::now() < deadline);
                let fault = match in_time {
                    true => Fault::unavailable(ErrorReason::PeerUnavailable)
                        .message("nothing was heard for too long"),
                    false => deadline_passed(),
                };
                this.end(&fault.into())
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (!self.bounds.wants_trailers && self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A body that holds something until it is dropped.
pub(crate) struct Holding<T> {
    inner: Body,
    _held: T,
}

impl<T> Holding<T> {
    pub(crate) fn new(inner: Body, held: T) -> Self {
        Self { inner, _held: held }
    }
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pin_project_lite::pin_project! {
    /// A request body that fails when its sender is silent for too long.
    pub(crate) struct Silence<B> {
        #[pin]
        inner: B,
        limit: Duration,
        alarm: Option<Pin<Box<Sleep>>>,
    }
}

impl<B> Silence<B> {
    pub(crate) fn new(inner: B, limit: Duration) -> Self {
        Self { inner, limit, alarm: None }
    }
}

impl<B> HttpBody for Silence<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.inner.poll_frame(context) {
            *this.alarm = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        // The clock runs only while somebody waits for the body.
        let limit = *this.limit;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match alarm.as_mut().poll(context) {
            Poll::Ready(()) => {
                Poll::Ready(Some(Err("the request body was silent for too long".into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

//! A request body that can be sent more than once.
//!
//! The request of a unary method is one message, which its sender has ready, so it is read before it is
//! sent; up to a bound it is kept, and sending it again costs a reference. What is larger, and what is
//! a stream, is lent to the attempt and comes back only if the attempt never touched it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tonic::Status;

use crate::channel::Body;

/// See the module.
pub(super) enum Replay {
    /// The whole body.
    Whole(Bytes),
    /// A body that is with the attempt as soon as that has begun to read it.
    Lent(Arc<Mutex<Option<Started>>>),
}

/// A body whose beginning was read already.
pub(super) struct Started {
    read: Option<Frame<Bytes>>,
    rest: Body,
}

impl Replay {
    /// Reads a body up to `limit` bytes; nothing at all if that is zero.
    pub(super) async fn new(mut body: Body, limit: usize) -> Self {
        if limit == 0 {
            return Self::lent(None, body);
        }
        let mut read = Bytes::new();
        loop {
            if body.is_end_stream() {
                return Self::Whole(read);
            }
            match body.frame().await {
                None => return Self::Whole(read),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => read = joined(read, data),
                    // Requests have no trailers in gRPC.
                    Err(_trailers) => return Self::Whole(read),
                },
                Some(Err(status)) => {
                    let broken = Full::new(read).map_err(|never| match never {});
                    let broken = broken.with_trailers(async move { Some(Err(status)) });
                    return Self::lent(None, Body::new(broken));
                }
            }
            if read.len() > limit {
                return Self::lent(Some(Frame::data(read)), body);
            }
        }
    }

    fn lent(read: Option<Frame<Bytes>>, rest: Body) -> Self {
        Self::Lent(Arc::new(Mutex::new(Some(Started { read, rest }))))
    }

    /// The body for the next attempt.
    pub(super) fn next(&mut self) -> Body {
        match self {
            Self::Whole(bytes) => Body::new(Full::new(bytes.clone())),
            Self::Lent(place) => Body::new(Borrowed { place: place.clone(), taken: None }),
        }
    }

    /// Whether all of it is here, so that it can be sent any number of times.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Whether an attempt that sent nothing can be made again.
    pub(super) fn can_go_again(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Lent(place) => lock(place).is_some(),
        }
    }
}

/// Copies only if there is something on both sides: a message in one frame, as most are, stays as it is.
fn joined(read: Bytes, data: Bytes) -> Bytes {
    if read.is_empty() {
        return data;
    }
    let mut both = BytesMut::from(read);
    both.extend_from_slice(&data);
    both.freeze()
}

fn lock(place: &Mutex<Option<Started>>) -> std::sync::MutexGuard<'_, Option<Started>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the body from its place when it is first read.
struct Borrowed {
    place: Arc<Mutex<Option<Started>>>,
    taken: Option<Started>,
}

impl HttpBody for Borrowed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.taken.is_none() {
            this.taken = lock(&this.place).take();
        }
        let Some(started) = &mut this.taken else {
            return Poll::Ready(Some(Err(Status::internal("the request was sent before"))));
        };
        match started.read.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut started.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        let ended = |started: &Started| started.read.is_none() && started.rest.is_end_stream();
        match &self.taken {
            Some(started) => ended(started),
            None => lock(&self.place).as_ref().is_some_and(ended),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let hint = |started: &Started| match started.read {
            None => started.rest.size_hint(),
            Some(_) => SizeHint::default(),
        };
        match &self.taken {
            Some(started) => hint(started),
            None => lock(&self.place).as_ref().map_or_else(SizeHint::default, hint),
        }
    }
}

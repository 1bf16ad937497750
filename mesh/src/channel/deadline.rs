//! Deadlines of outgoing calls: the smallest of what the caller has left, what the message asks for
//! and the default, sent along as `grpc-timeout` and enforced here until the last frame.
//!
//! The peer is told what remains, so it shrinks hop by hop; a layer below that lets time pass tells it
//! again ([`tell_what_is_left`]). A call that is cancelled because its time ran out says so, whoever
//! cancelled it. A stream without any deadline may last, but not be silent, for ever.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tokio::time::Instant;

use super::{Body, ChannelConfig};
use crate::{
    body::{self, Bounds, deadline_passed, grpc_answer},
    contract,
    identity::Caller,
    timeout,
};

/// See the module.
#[derive(Clone)]
pub(super) struct Deadline<S> {
    inner: S,
    timeout: Duration,
    idle: Duration,
}

/// How far the answer of a call may go; left in the request for the layers below.
#[derive(Clone, Copy)]
pub(super) struct CallBounds(pub(super) Bounds);

impl<S> Deadline<S> {
    pub(super) fn new(inner: S, config: &ChannelConfig) -> Self {
        Self { inner, timeout: config.timeout, idle: config.stream_idle_timeout }
    }

    fn deadline(&self, request: &Request<Body>, streams: bool) -> Option<Instant> {
        let now = Instant::now();
        let asked = timeout::parse(request.headers()).ok().flatten().map(|left| now + left);
        let caller = request.extensions().get::<Caller>().and_then(Caller::deadline);
        let default = (!streams).then(|| now + self.timeout);
        [asked, caller, default].into_iter().flatten().min()
    }
}

impl<S> tower::Service<Request<Body>> for Deadline<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // A method that nothing is known of counts as a stream: it may take any time.
        let streams = contract::method_of(&request).is_none_or(|method| method.server_streaming);
        let deadline = self.deadline(&request, streams);
        let idle = streams.then_some(self.idle);
        request.extensions_mut().insert(CallBounds(Bounds {
            deadline,
            idle,
            wants_trailers: true,
        }));
        let Some(deadline) = deadline else {
            return Box::pin(self.inner.call(request));
        };
        if Instant::now() >= deadline {
            return Box::pin(async { Ok(expired()) });
        }
        tell_what_is_left(&mut request);
        let call = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout_at(deadline, call).await {
                Ok(Ok(answer)) if timeout::ran_out(answer.headers(), deadline) => Ok(expired()),
                Ok(answer) => answer,
                Err(_) => Ok(expired()),
            }
        })
    }
}

/// Until when a request is waited for.
pub(super) fn of(request: &Request<Body>) -> Option<Instant> {
    request.extensions().get::<CallBounds>().and_then(|bounds| bounds.0.deadline)
}

/// Writes what is left until the deadline of a request into its headers.
pub(super) fn tell_what_is_left(request: &mut Request<Body>) {
    if let Some(deadline) = of(request) {
        let left = deadline.saturating_duration_since(Instant::now());
        request.headers_mut().insert(timeout::HEADER, timeout::format(left));
    }
}

fn expired() -> Response<Body> {
    grpc_answer(deadline_passed()).map(|body: body::Body| Body::new(body))
}

#[cfg(test)]
mod tests;

//! The trace of outgoing calls: the caller's trace goes along as `traceparent`, one span further.

use std::task::{Context, Poll};

use http::{HeaderValue, Request};
use tonic::body::Body;

use crate::{
    identity::Caller,
    telemetry::trace::{TRACEPARENT, TraceContext, current},
};

/// See the module.
#[derive(Clone)]
pub(super) struct Trace<S>(S);

impl<S> Trace<S> {
    pub(super) fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S: tower::Service<Request<Body>>> tower::Service<Request<Body>> for Trace<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        let caller = request.extensions().get::<Caller>();
        let trace = caller.map_or_else(current, Caller::trace);
        let trace = trace.map_or_else(TraceContext::fresh, TraceContext::child);
        let header = HeaderValue::try_from(trace.to_string());
        request.headers_mut().insert(TRACEPARENT, header.expect("hexadecimal digits and dashes"));
        self.0.call(request)
    }
}

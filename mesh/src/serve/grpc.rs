//! What every call meets, whether it came as gRPC, gRPC-Web or REST: deadline, gate, handler.
//!
//! The deadline bounds the gate, the handler and the body of the answer, and reaches the handler as
//! part of its caller. A handler that panics answers INTERNAL and takes nobody else down.

use std::{
    any::Any,
    collections::HashMap,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use lightning_proto::mesh::v1::ErrorReason;
use tokio::time::Instant;
use tonic::{Code, Status};
use tower::Service as _;

use crate::{
    body::{self, Body, Bounded, Bounds, BoxError, boxed, deadline_passed, grpc_answer},
    channel::hop,
    fault::Fault,
    identity::{Caller, Gate},
    serve::Mount,
    service::Grpc,
    task::panic_text,
    timeout,
};

/// The gRPC services of one port behind their gate. Clones are cheap.
#[derive(Clone)]
pub(crate) struct GrpcStack(Arc<Inner>);

struct Inner {
    gate: Arc<Gate>,
    services: HashMap<&'static str, Grpc>,
}

impl GrpcStack {
    pub(crate) fn new(gate: Arc<Gate>, services: HashMap<&'static str, Grpc>) -> Self {
        Self(Arc::new(Inner { gate, services }))
    }

    async fn answer(self, request: Request<tonic::body::Body>) -> Response<Body> {
        let deadline = match timeout::parse(request.headers()) {
            Ok(left) => left.map(|left| Instant::now() + left),
            Err(malformed) => {
                return grpc_answer(
                    Fault::invalid(ErrorReason::TimeoutInvalid).message(malformed.to_string()),
                );
            }
        };
        let work = AssertUnwindSafe(self.admit_and_dispatch(request, deadline)).catch_unwind();
        let outcome = match deadline {
            Some(deadline) => match tokio::time::timeout_at(deadline, work).await {
                Ok(Ok(answer)) if timeout::ran_out(answer.headers(), deadline) => {
                    return grpc_answer(deadline_passed());
                }
                Ok(outcome) => outcome,
                Err(_) => return grpc_answer(deadline_passed()),
            },
            None => work.await,
        };
        let response = match outcome {
            Ok(response) => response,
            Err(panic) => return grpc_answer(panicked(&*panic)),
        };
        let bounds = Bounds { deadline, ..Bounds::default() };
        response
            .map(|inner| boxed(Bounded::new(Caught { inner, failed: false }, bounds, read_error)))
    }

    async fn admit_and_dispatch(
        self,
        request: Request<tonic::body::Body>,
        deadline: Option<Instant>,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        if let Err(fault) = self.0.gate.admit(&path, &mut parts).await {
            return grpc_answer(fault);
        }
        if let Some(caller) = parts.extensions.remove::<Caller>() {
            let attempts = hop::previous_attempts(&parts.headers);
            parts.extensions.insert(caller.with_deadline(deadline).with_attempts(attempts));
        }
        if let Some(mount) = parts.extensions.remove::<Arc<Mount>>() {
            return mount.call(Request::from_parts(parts, body)).await.map(boxed);
        }
        let name =
            path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|split| split.0);
        let Some(service) = name.and_then(|name| self.0.services.get(name)) else {
            // The gate knows the contract; whether somebody implements it is known here.
            return grpc_answer(Fault::unimplemented(ErrorReason::MethodUnknown));
        };
        let call = service.clone().call(Request::from_parts(parts, body));
        let answer = async { call.await.unwrap_or_else(|never| match never {}) };
        hop::telling(answer).await.map(boxed)
    }
}

impl<B> tower::Service<Request<B>> for GrpcStack
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.clone().answer(request.map(tonic::body::Body::new));
        Box::pin(async move { Ok(answer.await) })
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Fault {
    tracing::error!(error = panic_text(panic), "a handler panicked");
    Fault::new(Code::Internal, ErrorReason::Internal, "internal error")
}

/// tonic encodes its errors into trailers, so a body that fails is a fault of ours.
fn read_error(error: &BoxError) -> Status {
    match error.downcast_ref::<Status>() {
        Some(status) => status.clone(),
        None => {
            tracing::error!(error = %error, "the body of an answer failed");
            Fault::new(Code::Internal, ErrorReason::Internal, "internal error").into()
        }
    }
}

/// A body that ends with INTERNAL when making it panics.
struct Caught {
    inner: Body,
    failed: bool,
}

impl HttpBody for Caught {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let inner = Pin::new(&mut self.inner);
        match catch_unwind(AssertUnwindSafe(|| inner.poll_frame(context))) {
            Ok(frame) => frame,
            Err(panic) => {
                self.failed = true;
                let status = Status::from(panicked(&*panic));
                Poll::Ready(Some(Ok(Frame::trailers(body::trailers(&status)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

//! Observes every request from its first byte in to its last byte out: one span, one count, one line.
//!
//! It stands outside everything else, because a request that is refused by the gate or by the
//! transcoder is a request too. What the outcome was is read where the protocol says it: `grpc-status`
//! in the trailers or headers, or what the transcoder left in the extensions of a REST answer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use lightning_transcode::{GrpcStatus, MatchedRoute};
use tokio::time::Instant;
use tonic::Code;
use tracing::{Instrument as _, Span, field::Empty};

use super::{
    Metrics,
    metrics::{Presence, code_name},
    trace::{self, TRACEPARENT, TraceContext},
};
use crate::{
    body::{Body, BoxError},
    timeout,
};

/// Answers a request under observation.
pub async fn observe<B, F>(
    metrics: &Metrics,
    service: &'static str,
    request: Request<B>,
    answer: impl FnOnce(Request<B>) -> F,
) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let incoming = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let (span, trace) = span(service, incoming.and_then(TraceContext::parse));
    let path = is_grpc(request.headers()).then(|| request.uri().path().to_owned());
    let left = timeout::parse(request.headers()).ok().flatten();
    let watches = path.as_deref() == Some("/grpc.health.v1.Health/Watch");
    let mut record = Record {
        metrics: metrics.clone(),
        span: span.clone(),
        started: Instant::now(),
        path,
        code: None,
        deadline: left.map(|left| Instant::now() + left),
        // Who watches the health stays for as long as it may call; that is no call under way.
        _present: (!watches).then(|| metrics.call_started()),
    };
    let response = trace::scope(trace, answer(request)).instrument(span).await;
    if record.path.is_none() {
        let route = response.extensions().get::<MatchedRoute>();
        record.path = route.map(|route| route.grpc_path.to_string());
    }
    record.code = outcome(&response);
    response.map(|inner| Observed { inner, trace, record }.boxed_unsync())
}

/// The span of a request, and the trace that it belongs to. What is known at once stands in the span
/// from the start: each later field is formatted and appended on its own.
fn span(service: &'static str, incoming: Option<TraceContext>) -> (Span, TraceContext) {
    if !trace::exported() {
        let trace = TraceContext::continued(incoming);
        let id = trace.trace_id();
        return (tracing::info_span!("request", service, trace_id = id, caller = Empty), trace);
    }
    let span = tracing::info_span!(
        "request",
        service,
        trace_id = Empty,
        caller = Empty,
        rpc = Empty,
        code = Empty,
        elapsed_ms = Empty,
    );
    let trace = TraceContext::enter(incoming, &span);
    span.record("trace_id", trace.trace_id());
    (span, trace)
}

/// Whether a request speaks gRPC or gRPC-Web.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// The outcome as far as the head of an answer tells it.
fn outcome(response: &Response<Body>) -> Option<Code> {
    let extensions = response.extensions();
    if let Some(status) = extensions.get::<GrpcStatus>() {
        return Some(Code::from_i32(status.0));
    }
    if is_grpc(response.headers()) {
        return grpc_status(response.headers());
    }
    Some(match response.status() {
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_server_error() => Code::Internal,
        status if status.is_client_error() => Code::InvalidArgument,
        _ => Code::Ok,
    })
}

/// The code in a set of headers or trailers.
pub(crate) fn grpc_status(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()))
}

/// What is known about a request; counted and logged when it is dropped, however the request ended.
struct Record {
    metrics: Metrics,
    span: Span,
    started: Instant,
    path: Option<String>,
    code: Option<Code>,
    deadline: Option<Instant>,
    _present: Option<Presence>,
}

impl Drop for Record {
    fn drop(&mut self) {
        // No outcome by now means that the caller went away before there was one, and at the deadline
        // callers do.
        let late = self.deadline.is_some_and(timeout::is_over);
        let gone = if late { Code::DeadlineExceeded } else { Code::Cancelled };
        let code = self.code.unwrap_or(gone);
        let elapsed = self.started.elapsed();
        let path = self.path.as_deref().unwrap_or("other");
        self.metrics.record(path, code, elapsed);
        let rpc = path.trim_start_matches('/');
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let name = code_name(code);
        if trace::exported() {
            self.span.record("rpc", rpc).record("code", name).record("elapsed_ms", elapsed_ms);
        }
        self.span.in_scope(|| match code {
            Code::Ok => tracing::debug!(rpc, code = name, elapsed_ms, "answered"),
            Code::Unknown | Code::Internal | Code::DataLoss => {
                tracing::warn!(rpc, code = name, elapsed_ms, "failed");
            }
            Code::Cancelled
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unavailable
            | Code::Unauthenticated => tracing::info!(rpc, code = name, elapsed_ms, "refused"),
        });
    }
}

/// An answer's body that keeps the record open until its end, inside the request's span and trace.
struct Observed {
    inner: Body,
    trace: TraceContext,
    record: Record,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = ready!(this.record.span.in_scope(|| {
            trace::sync_scope(this.trace, || Pin::new(&mut this.inner).poll_frame(context))
        }));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.record.code = grpc_status(trailers).or(this.record.code);
                }
            }
            Some(Err(_)) => this.record.code = Some(Code::Unavailable),
            // gRPC-Web carries its trailers in the data, where they are not looked for.
            None => this.record.code = this.record.code.or(Some(Code::Ok)),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

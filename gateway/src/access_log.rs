//! One line per request: who asked for what, how it ended, how long it took.
//!
//! The line is written when the last byte has left or the client has gone, under the target `access`.
//! It names the route, not the path, and no query: identifiers and secrets stand in those. What the
//! caller could write freely (the request id) was checked before. What services of the mesh ask on their
//! own, such as monitoring every few seconds, is no request at the door and leaves no line.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Response};
use http_body::{Body as _, Frame, SizeHint};
use lightning_mesh::{
    body::{Body, BoxError, boxed},
    telemetry::trace,
};
use lightning_transcode::{GrpcStatus, MatchedRoute};
use tokio::time::Instant;
use tonic::Code;

use crate::{client::Client, notes::Notes};

/// The target that filters name.
const TARGET: &str = "access";

/// What is known of a request before it is answered.
pub(crate) struct Line {
    started: Instant,
    method: Method,
    client: Client,
    request_id: String,
    notes: Notes,
}

impl Line {
    /// None if nobody would read it.
    pub(crate) fn begin(
        method: &Method,
        client: Client,
        request_id: &str,
        notes: &Notes,
    ) -> Option<Self> {
        tracing::enabled!(target: "access", tracing::Level::INFO).then(|| Self {
            started: Instant::now(),
            method: method.clone(),
            client,
            request_id: request_id.to_owned(),
            notes: notes.clone(),
        })
    }

    /// Watches the answer to its end.
    pub(crate) fn watch(self, response: Response<Body>) -> Response<Body> {
        let route = response.extensions().get::<MatchedRoute>();
        let template = route.map(|route| route.template.to_string());
        let code = response.extensions().get::<GrpcStatus>().map(|status| status.0);
        let in_headers = response.headers().get("grpc-status");
        let code = code.or_else(|| in_headers.map(|it| Code::from_bytes(it.as_bytes()) as i32));
        let written = Written {
            line: self,
            status: response.status().as_u16(),
            template,
            code,
            trace_id: trace::current().map(|trace| trace.trace_id()).unwrap_or_default(),
            bytes: 0,
            complete: response.body().is_end_stream(),
        };
        response.map(|inner| boxed(Logged { inner, written }))
    }
}

/// What the line says; written when it is dropped.
struct Written {
    line: Line,
    status: u16,
    template: Option<String>,
    code: Option<i32>,
    trace_id: String,
    bytes: u64,
    complete: bool,
}

impl Drop for Written {
    fn drop(&mut self) {
        let Self { line, status, template, code, trace_id, bytes, complete } = self;
        let micros = u64::try_from(line.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let client = line.client.address.map(|address| address.to_string());
        line.notes.with(|known| {
            let caller = known.caller.as_deref().unwrap_or("-");
            if caller.starts_with("service:") {
                return;
            }
            tracing::info!(
                target: TARGET,
                parent: None,
                method = line.method.as_str(),
                route = template.as_deref().or(known.route.as_deref()).unwrap_or("-"),
                caller,
                client = client.as_deref().unwrap_or("-"),
                status,
                code,
                upstream = known.upstream.unwrap_or("-"),
                micros,
                bytes,
                complete,
                request_id = line.request_id,
                trace_id,
            );
        });
    }
}

struct Logged {
    inner: Body,
    written: Written,
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
        let written = &mut this.written;
        match &frame {
            Some(Ok(frame)) => {
                written.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(code) = frame.trailers_ref().and_then(|it| it.get("grpc-status")) {
                    written.code = Some(Code::from_bytes(code.as_bytes()) as i32);
                }
                written.complete |= frame.is_trailers() || this.inner.is_end_stream();
            }
            Some(Err(_)) => {}
            None => written.complete = true,
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

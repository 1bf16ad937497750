//! An answer whose beginning is held back until its status is known.
//!
//! gRPC tells how a call went after the message, so the answer of a unary method is read to its
//! trailers before it goes on. What grows beyond the bound goes on without, as a stream would.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Response, StatusCode, response::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tonic::{Code, Status};

use crate::{
    body,
    channel::Body,
    telemetry::observe::{grpc_status, is_grpc},
};

/// See the module.
pub(super) struct Answer {
    parts: Parts,
    held: Held,
}

/// A body of which a part was read.
#[derive(Default)]
struct Held {
    first: Option<Bytes>,
    /// Empty for messages in one frame, as most are.
    more: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Option<Body>,
}

impl Answer {
    /// Reads an answer up to `limit` bytes; nothing of it if that is zero, if its status is known
    /// already or if it is not gRPC.
    pub(super) async fn read(response: Response<Body>, limit: usize) -> Self {
        let (parts, mut body) = response.into_parts();
        let mut held = Held::default();
        let to_read = limit > 0
            && parts.status == StatusCode::OK
            && !parts.headers.contains_key("grpc-status")
            && is_grpc(&parts.headers);
        let mut length = 0;
        while to_read && length <= limit {
            match body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        length += data.len();
                        held.push(data);
                    }
                    Err(frame) => {
                        held.trailers = frame.into_trailers().ok();
                        return Self { parts, held };
                    }
                },
                Some(Err(status)) => {
                    held.trailers = Some(body::trailers(&status));
                    return Self { parts, held };
                }
                None => return Self { parts, held },
            }
        }
        held.rest = Some(body);
        Self { parts, held }
    }

    pub(super) fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// Where the status stands, as far as it is known.
    pub(super) fn status(&self) -> Option<&HeaderMap> {
        let in_head = self.parts.headers.contains_key("grpc-status");
        if in_head { Some(&self.parts.headers) } else { self.held.trailers.as_ref() }
    }

    /// How the call went, as far as it is known. What something on the way says in plain HTTP counts as
    /// gRPC's table of HTTP statuses has it.
    pub(super) fn code(&self) -> Option<Code> {
        if let Some(status) = self.status() {
            return grpc_status(status);
        }
        let passing = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        passing.contains(&self.parts.status).then_some(Code::Unavailable)
    }

    /// Where the status stands, to write to: the trailers if they were read, else the headers.
    pub(super) fn status_mut(&mut self) -> &mut HeaderMap {
        self.held.trailers.as_mut().unwrap_or(&mut self.parts.headers)
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let Self { parts, mut held } = self;
        let untouched = held.first.is_none() && held.trailers.is_none();
        let body = match held.rest.take() {
            Some(body) if untouched => body,
            rest => {
                held.rest = rest;
                Body::new(held)
            }
        };
        Response::from_parts(parts, body)
    }
}

impl Held {
    fn push(&mut self, data: Bytes) {
        if self.first.is_none() {
            self.first = Some(data);
        } else {
            self.more.push_back(data);
        }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(data) = this.first.take().or_else(|| this.more.pop_front()) {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        match &mut this.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none()
            && self.more.is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

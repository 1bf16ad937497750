//! Answers of peers, made safe to read: their details decode, they end in time and with a status, and
//! how they ended is told to the attempt.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine as _, alphabet, engine};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::Frame;
use tonic::{Code, Status};

use super::{super::http2::Incoming, Body, attempt::Attempt};
use crate::{
    body::{Bounded, Bounds, BoxError},
    telemetry::observe::{grpc_status, is_grpc},
    tls,
};

const DETAILS: &str = "grpc-status-details-bin";

/// An answer that is safe to read.
pub(super) fn checked(
    response: Response<Incoming>,
    bounds: Bounds,
    mut attempt: Option<Attempt>,
) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    drop_damaged_details(&mut parts.headers);
    // With the status in the headers there is no body to wait for.
    let status = grpc_status(&parts.headers);
    // An answer that is not gRPC (from something in between) has its own way to end.
    let speaks_grpc = is_grpc(&parts.headers);
    let known = status.or_else(|| code_of(parts.status).filter(|_| !speaks_grpc));
    if let (Some(code), Some(attempt)) = (known, &mut attempt) {
        attempt.ended(code, Some(&parts.headers));
    }
    let wants_trailers = speaks_grpc && status.is_none();
    let bounds = Bounds { wants_trailers, ..bounds };
    let body = Followed { body, attempt, wants_trailers };
    Response::from_parts(parts, Body::new(Bounded::new(body, bounds, read_error)))
}

/// What an HTTP status says about the endpoint, if it is not good.
fn code_of(status: StatusCode) -> Option<Code> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(Code::ResourceExhausted),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Some(Code::Unavailable)
        }
        status if status.is_server_error() => Some(Code::Internal),
        _ => None,
    }
}

/// tonic 0.14 panics on details that are not base64, so a peer could kill whoever calls it.
fn drop_damaged_details(headers: &mut HeaderMap) {
    const LENIENT: engine::GeneralPurpose = engine::GeneralPurpose::new(
        &alphabet::STANDARD,
        engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
    );
    let damaged =
        headers.get(DETAILS).is_some_and(|value| LENIENT.decode(value.as_bytes()).is_err());
    if damaged {
        tracing::warn!("dropped damaged error details of a peer");
        headers.remove(DETAILS);
    }
}

/// What a failure of the connection means for a call that was written to it.
pub(super) fn read_error(error: &BoxError) -> Status {
    let Some(reason) = h2_error(error).and_then(h2::Error::reason) else {
        // A server that refuses our certificate says so after the handshake is over for us.
        return match tls::explain(&**error) {
            Some(reason) => {
                Status::unavailable(format!("the connection to the peer was lost: {reason}"))
            }
            None => Status::unavailable("the connection to the peer was lost"),
        };
    };
    let code = match reason {
        h2::Reason::CANCEL => Code::Cancelled,
        h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        h2::Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Unavailable,
    };
    Status::new(code, format!("the peer ended the call: {reason}"))
}

/// Whether the peer did not look at the request: it refused the stream, or said with GOAWAY that it came
/// after the last one. (A stream that was taken and then lost with its connection has another error.)
pub(super) fn is_refused(error: &BoxError) -> bool {
    h2_error(error).is_some_and(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (refused || error.is_go_away())
    })
}

fn h2_error(error: &BoxError) -> Option<&h2::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<h2::Error>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// A body whose trailers can be read without fear, and whose end is told to the attempt.
struct Followed {
    body: Incoming,
    attempt: Option<Attempt>,
    wants_trailers: bool,
}

impl Followed {
    fn ended(&mut self, code: Code, trailers: Option<&HeaderMap>) {
        if let Some(attempt) = &mut self.attempt {
            attempt.ended(code, trailers);
        }
    }
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        let mut frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        match &mut frame {
            Some(Ok(frame)) => match frame.trailers_mut() {
                Some(trailers) => {
                    drop_damaged_details(trailers);
                    let code = grpc_status(trailers).unwrap_or(match this.wants_trailers {
                        true => Code::Unknown,
                        false => Code::Ok,
                    });
                    this.ended(code, Some(trailers));
                }
                None => {
                    if let Some(attempt) = &mut this.attempt {
                        attempt.message();
                    }
                }
            },
            // The connection was lost, or the peer reset the call.
            Some(Err(_)) => this.ended(Code::Unavailable, None),
            None if this.wants_trailers => this.ended(Code::Unavailable, None),
            None => this.ended(Code::Ok, None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

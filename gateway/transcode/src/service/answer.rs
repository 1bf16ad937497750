//! The answer: a gRPC response becomes JSON, raw bytes, a stream or an error.
//!
//! A unary answer is complete only with its status: a message followed by a failure is a failure. A
//! stream waits for its first message, so that a failure before it is a plain error with its own
//! HTTP status; framings that can show a later error wait a moment only (see [`GRACE`]).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;

use super::{GrpcStatus, empty, full};
use crate::{
    Body, Route, Routes,
    frames::{Event, Frames, status as grpc_status},
    headers::{self, HTTP_CODE},
    status::{self, Refusal, Status, code_of, http_of, known},
    stream::{self, Framing, Stream},
    wire,
};

/// How long the headers of an event or line stream wait for the first message. Longer, and a client
/// that watches a quiet resource would not learn that it is connected.
const GRACE: Duration = Duration::from_millis(250);

/// What the request said that matters for the answer.
pub(super) struct Asked {
    if_match: bool,
    if_none_match: Vec<HeaderValue>,
}

impl Asked {
    pub(super) fn of(parts: &http::request::Parts) -> Self {
        let known = parts.headers.get_all(header::IF_NONE_MATCH).iter();
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        Self {
            if_match: parts.headers.contains_key(header::IF_MATCH),
            if_none_match: known.filter(|_| reads).cloned().collect(),
        }
    }
}

/// Makes the answer out of the service's.
pub(super) async fn of(
    routes: &Routes,
    route: &Route,
    framing: Option<Framing>,
    asked: &Asked,
    response: Response<Body>,
) -> Result<Response<Body>, Refusal> {
    let (parts, body) = response.into_parts();
    if let Some(status) = grpc_status(&parts.headers).filter(|status| status.code != 0) {
        return Ok(failed(routes, asked, &status, &[&parts.headers]));
    }
    let content_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_grpc = content_type.is_some_and(|it| it.starts_with(b"application/grpc"));
    if parts.status != StatusCode::OK || !is_grpc {
        tracing::warn!(http_status = parts.status.as_u16(), "the service's answer is not gRPC");
        let code = code_of(parts.status);
        let message = format!("the service answered with HTTP status {}", parts.status.as_u16());
        return Err(Refusal::of_code(code, "UPSTREAM_NOT_GRPC", message));
    }
    let mut frames = Frames::new(body, routes.options().max_response_bytes);
    if let Some(framing) = framing {
        return streamed(routes, route, framing, asked, &parts.headers, frames).await;
    }
    let first = match grpc_status(&parts.headers) {
        Some(status) => Event::End(status, HeaderMap::new()),
        None => frames.next().await,
    };
    let (message, end) = match first {
        Event::Message(message) => (Some(message), frames.next().await),
        Event::End(status, trailers) => (None, Event::End(status, trailers)),
    };
    match (message, end) {
        (Some(message), Event::End(status, trailers)) if status.code == 0 => {
            let mut response = unary(routes, route, asked, &parts.headers, message)?;
            headers::pass_out(&trailers, response.headers_mut(), route.plan.raw_out);
            Ok(response)
        }
        (_, Event::End(status, trailers)) if status.code != 0 => {
            Ok(failed(routes, asked, &status, &[&parts.headers, &trailers]))
        }
        (_, Event::Message(_) | Event::End(_, _)) => {
            let message = "the service did not answer with exactly one message";
            Err(Refusal::of_code(known::INTERNAL, "MALFORMED_RESPONSE", message))
        }
    }
}

/// The answer to a unary call that succeeded.
fn unary(
    routes: &Routes,
    route: &Route,
    asked: &Asked,
    metadata: &HeaderMap,
    message: Bytes,
) -> Result<Response<Body>, Refusal> {
    let http = success(route, metadata);
    let etag = match &route.plan.answer_etag {
        Some(field) => etag(&message, field.number()),
        // A body that is the service's own has its etag beside it.
        None => metadata.get(header::ETAG).filter(|_| route.plan.raw_out).cloned(),
    };
    let mut response = if http == StatusCode::NO_CONTENT {
        let mut response = Response::new(empty());
        *response.status_mut() = http;
        response
    } else if route.plan.raw_out {
        let body = stream::http_body(route, message)?;
        full(http, content_type(&body), body.data)
    } else {
        let mut out = Vec::with_capacity(message.len() * 2 + 64);
        let (of, shown) = (&route.plan.output, route.response_body());
        let written = routes.codec().print(of, shown, &message, &mut out);
        written.map_err(|error| stream::unwritable(&error))?;
        full(http, HeaderValue::from_static("application/json"), out)
    };
    if let Some(etag) = etag {
        if asked.if_none_match.iter().any(|asked| knows(asked, &etag)) {
            response = Response::new(empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        response.headers_mut().insert(header::ETAG, etag);
    }
    headers::pass_out(metadata, response.headers_mut(), route.plan.raw_out);
    response.extensions_mut().insert(GrpcStatus(0));
    Ok(response)
}

/// Begins a streamed answer.
async fn streamed(
    routes: &Routes,
    route: &Route,
    framing: Framing,
    asked: &Asked,
    metadata: &HeaderMap,
    mut frames: Frames,
) -> Result<Response<Body>, Refusal> {
    let first = match grpc_status(metadata) {
        Some(status) => Some(Event::End(status, HeaderMap::new())),
        None if framing.may_begin_early() => tokio::time::timeout(GRACE, frames.next()).await.ok(),
        None => Some(frames.next().await),
    };
    if let Some(Event::End(status, trailers)) = &first
        && status.code != 0
    {
        return Ok(failed(routes, asked, status, &[metadata, trailers]));
    }
    let mut media = framing.content_type();
    if let (Framing::Raw, Some(Event::Message(message))) = (framing, &first) {
        media = content_type(&stream::http_body(route, message.clone())?);
    }
    let body = Stream::new(frames, first, framing, routes.clone(), route.clone());
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = success(route, metadata);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if framing != Framing::Raw {
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
    }
    if framing == Framing::Events {
        // Asks nginx-like proxies not to hold events back.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    headers::pass_out(metadata, headers, route.plan.raw_out);
    response.extensions_mut().insert(GrpcStatus(0));
    Ok(response)
}

/// The answer to a call that failed.
fn failed(
    routes: &Routes,
    asked: &Asked,
    status: &Status,
    metadata: &[&HeaderMap],
) -> Response<Body> {
    let stale = status.code == known::ABORTED
        && asked.if_match
        && status.reason().as_deref() == Some("ETAG_MISMATCH");
    let http = if stale { StatusCode::PRECONDITION_FAILED } else { http_of(status.code) };
    let mut response = status::respond(status, http, routes.codec());
    for metadata in metadata {
        headers::pass_out(metadata, response.headers_mut(), false);
    }
    response
}

/// The status of success: the service's choice, else the contract's.
fn success(route: &Route, metadata: &HeaderMap) -> StatusCode {
    let chosen =
        metadata.get(HTTP_CODE).and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok());
    chosen.filter(StatusCode::is_success).unwrap_or_else(|| route.success_status())
}

fn content_type(body: &wire::HttpBody) -> HeaderValue {
    let declared = HeaderValue::try_from(&body.content_type).ok().filter(|value| !value.is_empty());
    declared.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"))
}

/// The `ETag` header for the message's etag, quoted if it is not yet.
fn etag(message: &[u8], number: u32) -> Option<HeaderValue> {
    let etag = wire::string_field(message, number).filter(|etag| !etag.is_empty())?;
    let quoted = etag.ends_with('"') && (etag.starts_with('"') || etag.starts_with("W/\""));
    if quoted { etag.try_into().ok() } else { format!("\"{etag}\"").try_into().ok() }
}

/// Whether `If-None-Match` names the etag, by weak comparison.
fn knows(asked: &HeaderValue, etag: &HeaderValue) -> bool {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let (Ok(asked), Ok(etag)) = (asked.to_str(), etag.to_str()) else { return false };
    asked.trim() == "*" || asked.split(',').any(|tag| weak(tag) == weak(etag))
}

//! Passes plain HTTP on below the prefixes that the contract declares (`http_prefix`): pages and other
//! protocols that are not ours to shape.
//!
//! Who calls is found out here and travels as a token of the mesh; whether they may is decided by the
//! service, as on its own port. Cookies and the like pass untouched; a token does not, and HTTP Basic, which
//! is the service's own business, travels in a header of the mesh.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::{Extension, Request},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use lightning_mesh::{
    identity::{CREDENTIAL, Gate},
    serve::plain_error,
};
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use crate::{hygiene::strip_hop_by_hop, notes::Notes};

/// A router that passes everything on. Tokens go along only to the service that `issues` them, which has
/// to see them as they are; any other learns who calls and no more.
pub(crate) fn router<S>(prefix: &str, issues: bool, to: S) -> Router
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let prefix: Arc<str> = prefix.into();
    let pass = move |Extension(gate): Extension<Arc<Gate>>, request: Request| {
        let (prefix, to) = (prefix.clone(), to.clone());
        async move { pass_on(&prefix, issues, to, &gate, request).await }
    };
    Router::new().fallback(pass)
}

async fn pass_on<S>(prefix: &str, issues: bool, to: S, gate: &Gate, request: Request) -> Response
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    let (mut parts, body) = request.into_parts();
    Notes::in_extensions(&parts.extensions, |known| known.route = Some(prefix.to_owned()));
    let credential = credential(&mut parts.headers, issues);
    let caller = match gate.enter(prefix, &parts).await {
        Ok(caller) => caller,
        Err(fault) => return plain_error(fault).map(axum::body::Body::new),
    };
    strip_hop_by_hop(&mut parts.headers);
    if let Some(credential) = credential {
        parts.headers.insert(CREDENTIAL, credential);
    }
    parts.extensions.insert(caller);
    let request = Request::from_parts(parts, Body::new(body));
    let answered = to.oneshot(request).await;
    let mut response = answered.unwrap_or_else(|never| match never {});
    if let Some(status) = failure(response.headers()) {
        return lightning_transcode::bare_error_response(&status).map(axum::body::Body::new);
    }
    strip_hop_by_hop(response.headers_mut());
    response.map(axum::body::Body::new)
}

/// The credential that the service behind the prefix is to see. HTTP Basic, by which OAuth clients prove who
/// they are (RFC 6749 section 2.3.1), is taken out: the mesh does not know it.
fn credential(headers: &mut HeaderMap, issues: bool) -> Option<HeaderValue> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let scheme = value.as_bytes().split(|byte| *byte == b' ').next()?;
    if scheme.eq_ignore_ascii_case(b"basic") {
        return headers.remove(header::AUTHORIZATION);
    }
    issues.then(|| value.clone())
}

/// What a channel answers when the service was not reached: it speaks gRPC, and who asked does not.
fn failure(headers: &HeaderMap) -> Option<lightning_transcode::Status> {
    let code = headers.get("grpc-status")?;
    let status = tonic::Code::from_bytes(code.as_bytes());
    let text = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let details = text("grpc-status-details-bin").trim_ascii_end();
    let details = details.strip_suffix(b"=").unwrap_or(details);
    let details = details.strip_suffix(b"=").unwrap_or(details);
    let message = percent_encoding::percent_decode(text("grpc-message")).decode_utf8_lossy();
    Some(lightning_transcode::Status {
        code: status as i32,
        message: message.into_owned(),
        details: STANDARD_NO_PAD.decode(details).map(Bytes::from).unwrap_or_default(),
    })
}

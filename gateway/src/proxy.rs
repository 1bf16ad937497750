//! Passes plain HTTP on below the prefixes that the contract declares (`http_prefix`): pages and other
//! protocols that are not ours to shape.
//!
//! Who calls is found out here and travels as a token of the mesh; whether they may is decided by the
//! service, as on its own port. Cookies and the like pass untouched; a credential does not.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Extension, Request},
    http::{HeaderMap, header},
    response::Response,
};
use lightning_mesh::{channel::Channel, identity::Gate, serve::plain_error};
use tower::ServiceExt as _;

/// Headers that belong to one connection (RFC 9110 section 7.6.1) and HTTP/2 forbids.
const HOP_BY_HOP: [&str; 5] =
    ["keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// A router that passes everything on.
pub(crate) fn router(to: Channel) -> Router {
    let pass = move |Extension(gate): Extension<Arc<Gate>>, request: Request| {
        let to = to.clone();
        async move { pass_on(to, &gate, request).await }
    };
    Router::new().fallback(pass)
}

async fn pass_on(to: Channel, gate: &Gate, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match gate.identify(&parts).await {
        Ok(caller) => caller,
        Err(fault) => return plain_error(fault).map(axum::body::Body::new),
    };
    drop_hop_by_hop(&mut parts.headers);
    parts.extensions.insert(caller);
    let request = Request::from_parts(parts, tonic::body::Body::new(body));
    let answered = to.oneshot(request).await;
    let mut response = answered.unwrap_or_else(|never| match never {});
    drop_hop_by_hop(response.headers_mut());
    response.map(axum::body::Body::new)
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    headers.remove(header::CONNECTION);
    for name in named.iter().map(String::as_str).chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

//! What came through the gateway looks as it would on this port: the address of the client, and a
//! credential that is not the mesh's business.
//!
//! The gateway puts a token of its own into `Authorization`, so what a client wrote there for this service
//! (HTTP Basic, by which OAuth clients prove who they are) travels in a header of the mesh. Both headers
//! are believed together with the gateway's token and from nobody else.

use std::sync::Arc;

use axum::{extract::Request, middleware::Next, response::Response};
use http::header;
use lightning_mesh::identity::{ADDRESS, CREDENTIAL, Gate};

/// The service that is believed.
const EDGE: &str = "gateway";

/// Puts the request right before it is answered.
pub(crate) async fn arrive(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let credential = parts.headers.remove(CREDENTIAL);
    let gate = parts.extensions.get::<Arc<Gate>>().cloned();
    // Only then: looking at a token uses up the proof of possession that came with it.
    let is_marked = credential.is_some() || parts.headers.contains_key(ADDRESS);
    if let Some(gate) = gate.filter(|_| is_marked)
        && let Ok(caller) = gate.identify(&parts).await
        && caller.via.as_deref() == Some(EDGE)
    {
        // The token there is the gateway's, and no credential of the client.
        parts.headers.remove(header::AUTHORIZATION);
        if let Some(credential) = credential {
            parts.headers.insert(header::AUTHORIZATION, credential);
        }
        parts.extensions.insert(caller);
    }
    next.run(Request::from_parts(parts, body)).await
}

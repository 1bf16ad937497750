//! `/openapi.json` and `/docs`: the API shown to people and generators. Open to everyone, since they
//! say nothing that the contract does not.

use std::sync::Arc;

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::openapi::Documents;

const PAGE: &str = include_str!("../assets/docs.html");

/// What the page may do: talk to its own origin, nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the document, as it is when somebody asks.
pub(crate) fn document(documents: Documents) -> Router {
    let documents = Arc::new(documents);
    let answer = move || {
        let text = documents.current();
        async move { ([(header::CONTENT_TYPE, "application/json")], text.to_string()) }
    };
    Router::new().route("/openapi.json", get(answer))
}

/// Serves the page that shows the document and calls the API.
pub(crate) fn page() -> Router {
    Router::new().route("/docs", get(show))
}

async fn show() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE).into_response()
}

//! The page: one HTML file without anything from elsewhere, which reads the REST API like any client.

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

const HTML: &str = include_str!("../assets/dashboard.html");

/// What the page may do: talk to its own origin, nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page at `/dashboard`; the root of the port leads there.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/dashboard", get(page))
        .route("/dashboard/", get(to_page))
        .route("/", get(to_page))
}

async fn to_page() -> Redirect {
    Redirect::temporary("/dashboard")
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, HTML).into_response()
}

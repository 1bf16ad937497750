//! Lets scripts of other origins call the endpoints that applications call themselves.
//!
//! A single-page application is a client like any other, and its page comes from its own origin. The
//! endpoints here know their caller by what is in the request (a code, a token, a proof) and never by a
//! cookie, so any origin may call them and no credential of the browser comes along (Fetch standard,
//! section 3.2). The pages, the authorization endpoint and logout do know cookies, and are left out.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

const PREFLIGHT: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, dpop"),
    // Two hours, which is the most that browsers keep.
    (header::ACCESS_CONTROL_MAX_AGE, "7200"),
];

/// Answers preflights, and marks other answers as readable.
pub(super) async fn allow(request: Request, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match is_preflight {
        true => StatusCode::NO_CONTENT.into_response(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if is_preflight {
        for (name, value) in PREFLIGHT {
            headers.insert(name, HeaderValue::from_static(value));
        }
    } else {
        let exposed = HeaderValue::from_static("www-authenticate, dpop-nonce, retry-after");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

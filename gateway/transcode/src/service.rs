//! The tower service: an HTTP request in, a gRPC request to the wrapped service, an HTTP answer out.
//!
//! The order is fixed: route, admit, negotiate, read the body, bind, call, answer. Admission comes
//! before the body is read, so a caller without rights costs no memory; negotiation comes before the
//! call, so nothing happens whose result could not be told.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::TryFutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Empty, Full};
use tower::{Service, ServiceExt};

use crate::{
    Body, BoxError, Found, Route, Routes,
    bind::{self, MAX_QUERY, Parts},
    frames, headers,
    status::{self, Refusal, Status, known},
    stream::Framing,
};

mod answer;
mod body;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Decides about a request when its route is known and before its body is read: authentication,
/// authorisation, limits. It may add extensions and headers for the service.
pub trait Admit: Send + Sync + 'static {
    /// Admits the request or says why not.
    fn admit<'a>(
        &'a self,
        grpc_path: &'a str,
        parts: &'a mut http::request::Parts,
    ) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send + 'a>>;
}

/// The route that a request took, in the extensions of the inner request and of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedRoute {
    /// The template as the contract writes it: a label of bounded cardinality.
    pub template: Arc<str>,
    /// `/package.Service/Method`.
    pub grpc_path: Arc<str>,
}

/// The gRPC code of a call's outcome, in the extensions of the answer. A stream that has begun counts
/// as 0, whatever it ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcStatus(pub i32);

/// Serves REST over a gRPC service.
#[derive(Clone)]
pub struct Transcoder<S> {
    routes: Routes,
    admit: Option<Arc<dyn Admit>>,
    inner: S,
}

impl<S> Transcoder<S> {
    /// Serves `routes` by calling `inner`.
    pub fn new(routes: Routes, inner: S) -> Self {
        Self { routes, admit: None, inner }
    }

    /// Asks `admit` about every request that has a route.
    #[must_use]
    pub fn with_admit(mut self, admit: Arc<dyn Admit>) -> Self {
        self.admit = Some(admit);
        self
    }

    /// The routes that are served.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }
}

impl<S, B, RB> Service<Request<B>> for Transcoder<S>
where
    S: Service<Request<Body>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    RB: http_body::Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Readiness is awaited for each call, on its own clone of the service.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = self.inner.clone();
        // Combinators, because rustc cannot prove an async block over a generic future with a boxed
        // error among its parameters to be Send (rust-lang/rust#102211).
        let upstream: Upstream = Box::new(move |request| {
            let response = inner.oneshot(request).map_err(Into::into);
            let erase = |response: Response<RB>| {
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            };
            Box::pin(response.map_ok(erase))
        });
        let (routes, admit) = (self.routes.clone(), self.admit.clone());
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        Box::pin(async move { Ok(serve(&routes, admit, request, upstream).await) })
    }
}

/// The wrapped service with its type erased: what follows is compiled once.
type Upstream = Box<dyn FnOnce(Request<Body>) -> Boxed<Result<Response<Body>, BoxError>> + Send>;

/// Serves one request from its route to its answer.
async fn serve(
    routes: &Routes,
    admit: Option<Arc<dyn Admit>>,
    request: Request<Body>,
    upstream: Upstream,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let (route, captures) = match routes.find(&parts.method, &path) {
        Found::Match { route, captures } => (route, captures),
        Found::MethodNotAllowed { allow } if parts.method == Method::OPTIONS => {
            return options(&allow);
        }
        Found::MethodNotAllowed { allow } => {
            let refusal = method_not_allowed(&parts.method, &allow);
            return refusal.into_response(routes.codec());
        }
        Found::NotFound => {
            let message = "there is no such path";
            let refusal = Refusal::of_code(known::NOT_FOUND, "ROUTE_NOT_FOUND", message);
            return refusal.into_response(routes.codec());
        }
        Found::BadPath { message } => {
            return Refusal::field("INVALID_VALUE", "", message).into_response(routes.codec());
        }
    };
    let matched =
        MatchedRoute { template: route.shared_template(), grpc_path: route.shared_grpc_path() };
    parts.extensions.insert(matched.clone());
    let head = parts.method == Method::HEAD;

    let admitted = match admit {
        Some(admit) => admit.admit(route.grpc_path(), &mut parts).await,
        None => Ok(()),
    };
    let mut response = match admitted {
        Ok(()) => match call(routes, route, &captures, parts, body, upstream).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(routes.codec()),
        },
        Err(status) => status::respond(&status, status::http_of(status.code), routes.codec()),
    };
    response.extensions_mut().insert(matched);
    if head {
        *response.body_mut() = empty();
    }
    response
}

/// Negotiates, reads, binds, calls and answers.
async fn call(
    routes: &Routes,
    route: &Route,
    captures: &[String],
    mut parts: http::request::Parts,
    body: Body,
    upstream: Upstream,
) -> Result<Response<Body>, Refusal> {
    let framing = framing(route, &parts.headers)?;
    let query = parts.uri.query().unwrap_or_default().to_owned();
    if query.len() > MAX_QUERY {
        let message = format!("the query is longer than {MAX_QUERY} bytes");
        let code = known::INVALID_ARGUMENT;
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, code, "QUERY_TOO_LARGE", message));
    }
    let body = body::read(&parts, body, routes.options().max_body_bytes).await?;
    let content = body::content(route, &parts.headers, &body)?;
    let message = bind::request(Parts {
        routes,
        route,
        captures,
        query: &query,
        headers: &parts.headers,
        body,
        content,
    })?;

    let asked = answer::Asked::of(&parts);
    let metadata = headers::forwarded(&parts.headers)?;
    let inner = inner_request(route, message, metadata, std::mem::take(&mut parts.extensions))?;
    let response = upstream(inner).await.map_err(|error| {
        tracing::warn!(error = %error, grpc_path = route.grpc_path(), "the service was not reached");
        frames::unavailable("the service cannot be reached")
    })?;
    answer::of(routes, route, framing, &asked, response).await
}

/// Chooses the framing of a stream; a unary answer needs none.
fn framing(route: &Route, headers: &http::HeaderMap) -> Result<Option<Framing>, Refusal> {
    if !route.plan.streaming {
        return Ok(None);
    }
    if route.plan.raw_out {
        return Ok(Some(Framing::Raw));
    }
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = accept.join(",");
    let framing = Framing::negotiate(Some(&accept));
    framing.map(Some).ok_or_else(|| {
        let message = "this operation answers with text/event-stream, application/x-ndjson or \
                       application/json";
        let code = known::INVALID_ARGUMENT;
        Refusal::new(StatusCode::NOT_ACCEPTABLE, code, "NOT_ACCEPTABLE", message)
    })
}

/// Makes the gRPC request.
fn inner_request(
    route: &Route,
    message: Bytes,
    metadata: http::HeaderMap,
    extensions: http::Extensions,
) -> Result<Request<Body>, Refusal> {
    let uri = Uri::try_from(route.grpc_path()).map_err(|_| {
        Refusal::of_code(known::INTERNAL, "MALFORMED_ROUTE", "the method's name is not a path")
    })?;
    let body = Full::new(message).map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = metadata;
    *request.extensions_mut() = extensions;
    Ok(request)
}

fn method_not_allowed(method: &Method, allow: &str) -> Refusal {
    let message = format!("{method} is not allowed here; allowed are {allow}");
    let code = known::UNIMPLEMENTED;
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, code, "METHOD_NOT_ALLOWED", message)
        .with_header(header::ALLOW, allow)
}

/// The answer to `OPTIONS` on a path that exists.
fn options(allow: &str) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allow) = HeaderValue::try_from(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// An answer with a whole body and its length.
pub(crate) fn full(
    http: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let body: Bytes = body.into();
    let length = body.len();
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = http;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

//! Where a request goes on a service's port: gRPC by its content type, `/health` and `/metrics`, the
//! declared plain HTTP prefixes, and everything else to the transcoder.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use lightning_proto::{
    mesh::v1::ErrorReason,
    telemetry::v1::metrics_service_server::{
        MetricsServiceServer, SERVICE_NAME as METRICS_SERVICE,
    },
};
use lightning_transcode::{Routes, Transcoder};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};

use super::{
    GrpcStack, Handler, Health, Mounts, ServeConfig, ServeError, error_response, figures,
    plain_error, plain_error_as, reflection, rest,
};
use crate::{
    body::{Arriving, Body, Silence, boxed, empty},
    context::Context,
    fault::Fault,
    identity::{Challenge, Gate, Here, resource},
    policy::Wrap,
    service::Service,
    telemetry::{
        Metrics,
        observe::{is_grpc, observe},
    },
};

struct Standard {
    service: &'static str,
    metrics: Metrics,
    health: Health,
    gate: Arc<Gate>,
    grpc: GrpcStack,
    web: GrpcWebService<GrpcStack>,
    rest: Transcoder<GrpcStack>,
    routes: Routes,
    mounts: Mounts,
    http: Vec<(String, axum::Router)>,
    config: ServeConfig,
    wrap: Option<Arc<dyn Wrap>>,
}

/// What answers a request once everything around it has had its say.
pub struct Next<'a>(&'a Standard);

impl Service {
    /// The handler that serves this service on one port. Fails if the contract does not say who may
    /// call it, or its routes are faulty.
    pub fn into_handler(self, context: &Context) -> Result<Handler, ServeError> {
        let service = self.name;
        if self.edge.is_none() {
            check_prefixes(service, &self.http)?;
        }
        let own: Vec<_> = self.grpc.iter().map(|(name, _)| *name).collect();
        let (health, health_server) = Health::new(context, self.health.clone(), &own);
        let figures = figures::Api {
            metrics: context.metrics().clone(),
            health: health.clone(),
            figures: self.figures.clone(),
            rest_metrics: self.edge.as_ref().map(|edge| edge.rest_metrics.clone()),
        };
        let with_figures = match own.contains(&METRICS_SERVICE) {
            true => self,
            false => self.grpc(MetricsServiceServer::new(figures)),
        };
        let names: Vec<_> = with_figures.grpc.iter().map(|(name, _)| *name).collect();
        let complete = reflection(with_figures.grpc(health_server), &names)
            .map_err(|source| ServeError::Reflection { service, source })?;
        let gate = context.gate(names.iter().copied());
        let gate = gate.map_err(|source| ServeError::Gate { service, source })?;
        let mounts = complete.mounts.unwrap_or_default();
        let gate = gate.with_policy(complete.policy).with_mounts(mounts.clone());
        let gate = Arc::new(gate);
        let grpc =
            GrpcStack::new(gate.clone(), complete.grpc.into_iter().collect::<HashMap<_, _>>());
        let (routes, rest) =
            rest::transcoder(service, names.iter().copied(), gate.clone(), grpc.clone())?;
        let handler = Arc::new(Standard {
            service,
            metrics: context.metrics().clone(),
            health,
            gate,
            web: GrpcWebLayer::new().layer(grpc.clone()),
            grpc,
            rest,
            routes,
            mounts,
            http: complete.http,
            config: context.serve_config().clone(),
            wrap: complete.wrap,
        });
        Ok(BoxCloneSyncService::new(service_fn(move |request| {
            let handler = handler.clone();
            async move { Ok::<_, Infallible>(handler.answer(request).await) }
        })))
    }
}

impl Standard {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        // Probes and scrapes are not calls; counting them would drown the calls.
        match request.uri().path() {
            "/health" => return probe(request.method(), || self.health.answer()),
            "/metrics" => return probe(request.method(), || metrics_answer(&self.metrics)),
            _ => {}
        }
        let request = request.map(boxed);
        observe(&self.metrics, self.service, request, |request| async {
            match &self.wrap {
                Some(wrap) => wrap.wrap(request, Next(self)).await,
                None => self.route(request.map(Arriving)).await,
            }
        })
        .await
    }

    async fn route(&self, request: Request<Arriving>) -> Response<Body> {
        if is_grpc(request.headers()) {
            return self.grpc(request).await;
        }
        let (mut parts, body) = request.into_parts();
        let (here, challenge) = (Here::of(&parts), Challenge::default());
        if let Some(below) = parts.uri.path().strip_prefix(resource::WELL_KNOWN)
            && (below.is_empty() || below.starts_with('/'))
        {
            let document = self.gate.resource_document(&here, below).await;
            return probe(&parts.method, || resource_answer(document));
        }
        parts.extensions.insert(challenge.clone());
        let mut response = self.page_or_rest(Request::from_parts(parts, body)).await;
        self.gate.challenge(&challenge, &here, &mut response);
        response
    }

    /// Answers what is not gRPC.
    async fn page_or_rest(&self, request: Request<Arriving>) -> Response<Body> {
        let path = request.uri().path();
        if let Some((_, router)) = self.http.iter().find(|(prefix, _)| is_below(path, prefix)) {
            return self.plain(router, request).await;
        }
        if request.method() == Method::POST && self.gate.knows(path) {
            return not_grpc();
        }
        let mount = self.mounts.current().of_path(request.method(), path).cloned();
        let mut request = request.map(|body| Silence::new(body, self.config.body_timeout));
        let answered = match mount {
            Some(mount) => {
                let rest = rest::mounted(&mount, self.gate.clone(), self.grpc.clone());
                request.extensions_mut().insert(mount);
                rest.oneshot(request).await
            }
            None => self.rest.clone().oneshot(request).await,
        };
        answered.unwrap_or_else(|never| match never {})
    }

    async fn grpc(&self, request: Request<Arriving>) -> Response<Body> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_web = kind.is_some_and(|kind| kind.starts_with(b"application/grpc-web"));
        if request.method() != Method::POST {
            let fault = Fault::invalid(ErrorReason::InvalidArgument).message("gRPC calls are POST");
            return error_response(fault, &self.routes);
        }
        if is_web {
            let answered = self.web.clone().oneshot(request).await;
            return answered.map_or_else(|never| match never {}, |answer| answer.map(boxed));
        }
        if request.version() != http::Version::HTTP_2 {
            let fault = Fault::invalid(ErrorReason::InvalidArgument)
                .message("gRPC needs HTTP/2; over HTTP/1.1 use gRPC-Web or REST");
            return error_response(fault, &self.routes);
        }
        self.grpc.clone().call(request).await.unwrap_or_else(|never| match never {})
    }

    async fn plain(&self, router: &axum::Router, request: Request<Arriving>) -> Response<Body> {
        let mut request = request.map(|body| {
            let body = Silence::new(body, self.config.body_timeout);
            axum::body::Body::new(Limited::new(body, self.config.max_body_bytes))
        });
        request.extensions_mut().insert(self.gate.clone());
        let answered = router.clone().oneshot(request).await;
        answered.unwrap_or_else(|never| match never {}).map(boxed)
    }
}

impl Next<'_> {
    /// Answers the request.
    pub async fn run(self, request: Request<Body>) -> Response<Body> {
        self.0.route(request.map(Arriving)).await
    }
}

/// Answers what only reads, says so to who asks, and refuses the rest.
fn probe(method: &Method, answer: impl FnOnce() -> Response<Body>) -> Response<Body> {
    if method == Method::GET {
        return answer();
    }
    let mut response = match *method {
        Method::HEAD => answer().map(|_| empty()),
        Method::OPTIONS => Response::new(empty()),
        _ => {
            let fault = Fault::unimplemented(ErrorReason::InvalidArgument)
                .message(format!("{method} is not allowed here; allowed are GET, HEAD, OPTIONS"));
            plain_error_as(fault, StatusCode::METHOD_NOT_ALLOWED)
        }
    };
    if method != Method::HEAD {
        let allow = HeaderValue::from_static("GET, HEAD, OPTIONS");
        response.headers_mut().insert(header::ALLOW, allow);
    }
    if method == Method::OPTIONS {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

/// The document about a service as a resource of OAuth. It changes with the access state, and rarely.
fn resource_answer(document: Result<serde_json::Value, Fault>) -> Response<Body> {
    let document = match document {
        Ok(document) => document,
        Err(fault) => return plain_error(fault),
    };
    let mut response = Response::new(boxed(Full::from(document.to_string())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// The Prometheus text of a service, for `GET /metrics`.
pub fn metrics_answer(metrics: &Metrics) -> Response<Body> {
    let mut response = Response::new(Full::from(metrics.text()).map_err(Into::into).boxed_unsync());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    response
}

/// A gRPC path asked in another tongue (HTTP 415, as gRPC over HTTP/2 wants it).
fn not_grpc() -> Response<Body> {
    let body = r#"{"error":{"code":415,"status":"INVALID_ARGUMENT","message":"this path speaks gRPC: send content-type application/grpc or application/grpc-web"}}"#;
    let mut response = Response::new(boxed(Full::from(body)));
    *response.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The prefix `/` is the root alone: everything is below it, and most of that is REST.
fn is_below(path: &str, prefix: &str) -> bool {
    if prefix == "/" {
        return path == "/";
    }
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The gateway proxies the prefixes that the contract declares; one that it does not declare would be
/// reachable here and nowhere else.
fn check_prefixes(
    service: &'static str,
    http: &[(String, axum::Router)],
) -> Result<(), ServeError> {
    for (prefix, _) in http {
        let declared = crate::contract::http_prefixes(service);
        if !declared.iter().any(|declared| declared == prefix) {
            return Err(ServeError::UndeclaredPrefix { service, prefix: prefix.clone() });
        }
    }
    Ok(())
}

//! Which service of the mesh owns which gRPC service of the contract.
//!
//! A call that arrives here has passed the gate already: who calls is in its extensions, and the
//! channel carries that on as a token of the mesh. Messages are not decoded: bodies stream through.
//! Only an answer that is no gRPC at all (a page of something in between) becomes a status here, as
//! not every client knows what to make of one.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use lightning_mesh::fault::Fault;
use lightning_proto::mesh::v1::ErrorReason;
use prost_reflect::{DescriptorPool, ServiceDescriptor, Value};
use tonic::{Code, Status, body::Body};

/// A way to a service whose answers are gRPC, whatever comes.
#[derive(Clone)]
pub(crate) struct SpeaksGrpc<S>(pub(crate) S);

impl<S> tower::Service<Request<Body>> for SpeaksGrpc<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let kind = response.headers().get(header::CONTENT_TYPE);
            let speaks = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
            Ok(if speaks { response } else { foreign(response.status()) })
        })
    }
}

/// What the specification of gRPC over HTTP/2 makes of an answer without a status.
fn foreign(http: StatusCode) -> Response<Body> {
    let code = match http.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let message = format!("the service answered with HTTP status {}, not in gRPC", http.as_u16());
    let fault = Fault::new(code, ErrorReason::PeerUnavailable, message);
    Status::from(fault.with("http_status", http.as_u16())).into_http()
}

/// The gRPC services of the contract with the words of the services that serve them. Left out are
/// those that every port has of its own, and those that are internal through and through: nobody
/// outside may call them.
pub(crate) fn owners(pool: &'static DescriptorPool) -> Vec<(&'static str, &'static str)> {
    let services = lightning_mesh::contract::services();
    let known = |name: &str| pool.get_service_by_name(name);
    services
        .filter(|(name, _)| known(name).is_some_and(|service| !is_internal(&service)))
        .filter(|(_, word)| !["gateway", "telemetry"].contains(word))
        .collect()
}

fn is_internal(service: &ServiceDescriptor) -> bool {
    let pool = service.parent_pool();
    let option = pool.get_extension_by_name("lightning.options.v1.permission");
    option.is_some_and(|option| {
        service.methods().all(|method| {
            let options = method.options();
            Value::as_str(&options.get_extension(&option)) == Some("internal")
        })
    })
}

//! The edge: one door for REST, gRPC and gRPC-Web to every service of the mesh.
//!
//! There is no handler for an endpoint here. The routes, the permissions and the documents come from
//! the contract; the mesh serves the port, checks callers and transcodes; what is left for the gateway
//! is to send each call to the service that owns it ([`forward`]), to pass plain HTTP on below the
//! prefixes that the contract declares ([`proxy`]), to mount gRPC services from outside of the mesh
//! ([`upstream`], [`mount`]), to show the API ([`openapi`], `/docs`), to explain itself ([`explain`]), and
//! to stand at the door: [`edge`] around each request, [`limits`] once its caller is known,
//! [`concurrency`] before each service.

mod access_log;
mod client;
mod compress;
mod concurrency;
mod config;
mod cors;
mod docs;
mod edge;
mod error;
mod explain;
mod figures;
mod forward;
mod hygiene;
mod limits;
mod mount;
mod notes;
mod openapi;
mod proxy;
mod security;
mod upstream;

use std::{collections::HashMap, sync::Arc};

use lightning_mesh::{Context, Service, serve::Mounts, serve::rest_options};
use lightning_proto::gateway::v1::debug_service_server::DebugServiceServer;
use lightning_transcode::{Routes, RoutesBuilder};

use concurrency::Places;
use limits::{Limits, gcra::Gcra};

/// The service that issues tokens and may see them.
const ISSUER: &str = "auth";

pub use config::{CompressionConfig, ConcurrencyConfig, Config, CorsConfig, Upstream};
pub use error::Error;
pub use limits::{By, Rule};

/// Makes the gateway and starts mounting the upstreams. It stores nothing and waits for nobody.
#[expect(clippy::unused_async, reason = "every service opens the same way")]
pub async fn open(
    config: Config,
    _store: &lightning_store::Settings,
    context: Context,
) -> Result<Service, Error> {
    config.check()?;
    let figures = figures::Figures::new(context.metrics());
    let counts = Arc::new(Gcra::new(config.limit_keys));
    let limits = Arc::new(Limits::new(&config.limits, counts, &figures)?);
    let max_body = rest_options().max_body_bytes.max(context.serve_config().max_body_bytes);
    let edge = edge::Edge::new(&config, max_body)?;

    let routes = routes()?;
    let mounts = Mounts::default();
    let registry = mount::Registry::new(&config.upstream, mounts.clone(), &routes, &context);
    let registry = Arc::new(registry);
    let document = docs::document(openapi::Documents::new(routes.clone(), mounts.clone()));
    let explaining = explain::Api::new(registry.clone(), routes, limits.clone(), context.clone());
    upstream::start(&config, &registry, &figures, &context)?;

    let mut places = HashMap::new();
    let mut peer = |word| {
        let new = || Places::new(word, &config.concurrency, figures.service(word));
        let places = places.entry(word).or_insert_with(new);
        places.guard(context.peers().channel(word))
    };
    let mut service = Service::new("gateway")
        .edge(context.peers().channel("workflows"))
        .policy(limits)
        .wrap(edge::around(edge))
        .mounts(mounts)
        .grpc(DebugServiceServer::new(explaining));
    for (name, word) in forward::owners(lightning_proto::pool()) {
        service = service.grpc_named(name, forward::SpeaksGrpc(peer(word)));
    }
    for (prefix, word) in lightning_mesh::contract::declared_prefixes() {
        let router = proxy::router(&prefix, word == ISSUER, peer(word));
        service = service.http(prefix, router);
    }
    Ok(service.http("/openapi.json", document).http("/docs", docs::page()))
}

/// The OpenAPI 3.1 document of the whole mesh, without what a running gateway may have mounted.
pub fn openapi() -> Result<serde_json::Value, Error> {
    Ok(openapi::document(&routes()?, &[], env!("CARGO_PKG_VERSION")))
}

/// All routes of the contract.
fn routes() -> Result<Routes, Error> {
    let mut builder = RoutesBuilder::new(lightning_proto::pool().clone(), rest_options());
    builder.add_all();
    builder.build().map_err(Error::Routes)
}

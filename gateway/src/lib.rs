//! The edge: one door for REST, gRPC and gRPC-Web to every service of the mesh.
//!
//! There is no handler for an endpoint here. The routes, the permissions and the documents come from
//! the contract; the mesh serves the port, checks callers and transcodes; what is left for the gateway
//! is to send each call to the service that owns it ([`forward`]), to pass plain HTTP on below the
//! prefixes that the contract declares ([`proxy`]), and to show the API ([`openapi`], `/docs`).

mod config;
mod docs;
mod error;
mod forward;
mod openapi;
mod proxy;

use lightning_mesh::{Context, Service, serve::rest_options};
use lightning_transcode::{Routes, RoutesBuilder};

pub use config::Config;
pub use error::Error;

/// Makes the gateway. It stores nothing.
#[expect(clippy::unused_async, reason = "every service opens the same way")]
pub async fn open(
    _config: Config,
    _store: &lightning_store::Settings,
    context: Context,
) -> Result<Service, Error> {
    let peer = |word| context.peers().channel(word);
    let mut service = Service::new("gateway").edge(peer("workflows"));
    for (name, word) in forward::owners(lightning_proto::pool()) {
        service = service.grpc_named(name, peer(word));
    }
    for (prefix, word) in lightning_mesh::contract::declared_prefixes() {
        service = service.http(prefix, proxy::router(peer(word)));
    }
    Ok(service.http("/openapi.json", docs::document(&openapi()?)).http("/docs", docs::page()))
}

/// The OpenAPI 3.1 document of the whole mesh.
pub fn openapi() -> Result<serde_json::Value, Error> {
    Ok(openapi::document(&routes()?, env!("CARGO_PKG_VERSION")))
}

/// All routes of the contract.
fn routes() -> Result<Routes, Error> {
    let mut builder = RoutesBuilder::new(lightning_proto::pool().clone(), rest_options());
    builder.add_all();
    builder.build().map_err(Error::Routes)
}

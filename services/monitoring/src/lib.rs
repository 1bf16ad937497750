//! The monitoring dashboard: health and golden figures of every service, with a short history of its
//! own, over gRPC, REST and a page.
//!
//! It needs nothing else installed: it asks each service for its figures through the mesh and keeps
//! the last fifteen minutes in memory. Long histories are Prometheus's trade (`/metrics` on each
//! port). It stores nothing, so it has no `store.rs`.

mod api;
mod config;
mod convert;
mod domain;
mod error;
mod page;
mod sampler;

use lightning_mesh::{Context, Service};
use lightning_proto::monitoring::v1::monitoring_service_server::MonitoringServiceServer;

pub use config::Config;
pub use error::Error;

/// Starts to watch the mesh and returns the service to be served.
#[expect(clippy::unused_async, reason = "every service opens the same way")]
pub async fn open(
    config: Config,
    _store: &lightning_store::Settings,
    context: Context,
) -> Result<Service, Error> {
    let snapshots = sampler::start(config, context.clone());
    let api = api::Api::new(snapshots.clone(), context.shutdown().clone());
    let failing = move || {
        let health = convert::mesh_health(&snapshots.borrow());
        vec![("services_not_serving".to_owned(), health.failing.len() as f64)]
    };
    Ok(Service::new("monitoring")
        .grpc(MonitoringServiceServer::new(api))
        .http("/dashboard", page::router())
        .http("/", page::router())
        .figures(std::sync::Arc::new(failing)))
}

//! The enhanced API: the legacy monolith's HTTP surface, answered by the mesh. Port 8002.
//!
//! A task is an invocation of an agent that is kept. Whoever names no agent gets the deployed one that
//! fits the text best (`domain::matching`). The service knows agents only through the agents service,
//! on behalf of the caller; it has no agents, models or rights of its own.

use std::sync::Arc;

use lightning_mesh::{Context, Service};
use lightning_proto::enhanced::v1::task_service_server::TaskServiceServer;
use lightning_store::Settings;

mod agents;
mod api;
mod config;
mod convert;
mod domain;
mod error;
mod store;
mod tally;
mod tasks;

pub use config::Config;
pub use error::Error;

use agents::Agents;
use api::Api;
use store::Store;
use tally::Tally;
use tasks::Tasks;

/// Opens the service. Tasks that a former process left running are marked failed first.
pub async fn open(config: Config, settings: &Settings, context: Context) -> Result<Service, Error> {
    config.check()?;
    let store = Store::open(settings).await?;
    let interrupted = store.interrupt(context.clock().now()).await?;
    if interrupted > 0 {
        tracing::warn!(interrupted, "tasks were interrupted by a restart");
    }
    let tally = Arc::new(Tally::default());
    let agents = Agents::new(context.peers().clone(), config.environment);
    let clock = context.clock().clone();
    let tasks = Tasks::new(store, agents, clock, context.shutdown().clone(), Arc::clone(&tally));
    Ok(Service::new("enhanced")
        .grpc(TaskServiceServer::new(Api::new(tasks)))
        .figures(Arc::new(move || tally.figures())))
}

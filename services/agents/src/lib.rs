//! Agents: designing them, putting them to work, letting them answer. Port 8001.
//!
//! This is the service to read first: the others have the same rooms. A call comes in at `api`, which
//! decodes with `convert`, asks one of the three rooms of the trade (`agents`, `deployments`,
//! `invocations`), and encodes. Rules live in `domain`, rows in `store`, and every failure becomes
//! its wire form in `error`. The service runs no model itself: it asks the models and workflows
//! services, on behalf of the caller.

use std::sync::Arc;

use lightning_mesh::{Context, Service};
use lightning_proto::agents::v1::{
    agent_service_server::AgentServiceServer, deployment_service_server::DeploymentServiceServer,
    template_service_server::TemplateServiceServer,
};
use lightning_store::Settings;

mod access;
mod agents;
mod api;
mod config;
mod convert;
mod deployments;
mod domain;
mod error;
mod housekeeping;
mod invocations;
mod pages;
mod peer;
mod repeat;
mod store;
mod tally;
mod templates;

pub use config::Config;
pub use error::Error;

use agents::Agents;
use api::Api;
use deployments::Deployments;
use invocations::Invocations;
use store::Store;
use tally::Tally;
use templates::Templates;

/// Opens the service: its database, its templates, and what it offers on its port.
pub async fn open(config: Config, settings: &Settings, context: Context) -> Result<Service, Error> {
    let store = Store::open(settings).await?;
    let templates = Arc::new(Templates::shipped()?);
    let tally = Arc::new(Tally::default());
    tally.recount(store.counts().await?);
    housekeeping::start(&config, &context, store.clone(), Arc::clone(&tally));

    let clock = context.clock().clone();
    let peers = context.peers().clone();
    let api = Api::new(
        Agents::new(
            store.clone(),
            Arc::clone(&templates),
            peers.clone(),
            clock.clone(),
            Arc::clone(&tally),
        ),
        Deployments::new(store.clone(), clock.clone(), Arc::clone(&tally)),
        Invocations::new(store, peers, clock, Arc::clone(&tally), config.max_invocations),
        templates,
    );
    Ok(Service::new("agents")
        .grpc(AgentServiceServer::new(api.clone()))
        .grpc(DeploymentServiceServer::new(api.clone()))
        .grpc(TemplateServiceServer::new(api))
        .figures(Arc::new(move || tally.figures())))
}

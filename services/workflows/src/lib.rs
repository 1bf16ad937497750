//! Workflows: definitions in the Serverless Workflow DSL, and their durable executions. Port 8003.
//!
//! A call comes in at `api`, which decodes with `convert`, asks `workflows` or `executions`, and
//! encodes. `definition` reads and compiles the language, `expression` runs its jq within limits,
//! `engine` interprets and writes the journal. Rules live in `domain`, rows in `store`, and every
//! failure becomes its wire form in `error`. The service talks to nobody outside the mesh: models,
//! agents and integrations do that, on behalf of whoever started an execution.

use std::sync::Arc;

use lightning_mesh::{Context, Service};
use lightning_proto::workflows::v1::{
    execution_service_server::ExecutionServiceServer,
    workflow_service_server::WorkflowServiceServer,
};
use lightning_store::Settings;

mod access;
mod api;
mod config;
mod convert;
mod definition;
mod domain;
mod engine;
mod error;
mod executions;
mod expression;
mod housekeeping;
mod nesting;
mod pages;
mod repeat;
mod samples;
mod store;
mod workflows;

pub use config::Config;
pub use error::Error;

use api::Api;
use engine::Engine;
use executions::Executions;
use store::Store;
use workflows::Workflows;

/// Opens the service: its database, its samples, and every execution that was open.
pub async fn open(config: Config, store: &Settings, context: Context) -> Result<Service, Error> {
    let store = Store::open(store).await?;
    let (clock, peers) = (context.clock().clone(), context.peers().clone());
    let workflows = Workflows::new(store.clone(), clock.clone());
    workflows.install_samples().await?;
    housekeeping::start(&config, &context, store.clone());
    let engine = Engine::start(store.clone(), config, &context).await?;
    let figures = engine.clone();
    let executions = Executions::new(store, engine, clock, peers);
    let api = Api::new(workflows, executions);
    Ok(Service::new("workflows")
        .grpc(WorkflowServiceServer::new(api.clone()))
        .grpc(ExecutionServiceServer::new(api))
        .figures(Arc::new(move || figures.figures())))
}

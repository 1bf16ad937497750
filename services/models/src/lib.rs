//! The models service: a registry of models, inference over their providers, and what it costs.
//!
//! It answers without any configuration through a scripted model in process, and with a
//! `[[models.provider]]` through every server that speaks OpenAI's API. It routes to one provider for
//! each model; balancing and fallback between several are a later story.

use std::{sync::Arc, time::Duration};

use lightning_mesh::{Context, Service, clock::Clock, fault::Chain, shutdown::Shutdown, task};
use lightning_proto::models::v1::{
    cost_service_server::CostServiceServer, inference_service_server::InferenceServiceServer,
    model_service_server::ModelServiceServer, open_ai_service_server::OpenAiServiceServer,
};

mod api;
mod config;
mod convert;
mod domain;
mod engine;
mod error;
mod heavy;
mod meter;
mod open_ai;
mod provider;
mod registry;
mod schema;
mod store;

pub use config::{Config, ModelConfig, ProviderConfig, ProviderKind, TokenLimitField};
pub use error::Error;
pub use provider::Upstream;

/// How often old records are deleted.
const HOUSEKEEPING: Duration = Duration::from_secs(3_600);

/// How long the answer to an idempotency key is kept.
const KEEP_KEYS: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Opens the service: its database, its providers and its models.
///
/// Fails if the configuration names a model or file that does not exist, a key cannot be read, or the
/// database cannot be opened. No provider is contacted.
pub async fn open(
    config: Config,
    settings: &lightning_store::Settings,
    context: Context,
) -> Result<Service, Error> {
    let store = store::Store::open(settings).await?;
    let registry = registry::Registry::open(&config, store.clone()).await?;
    let meters =
        meter::Meters::new(store.clone(), context.clock().clone(), context.shutdown().clone());
    let keep_house = housekeeping(
        store.clone(),
        context.clock().clone(),
        context.shutdown().clone(),
        config.keep_calls,
    );
    task::spawn("models-housekeeping", keep_house);
    let figures = meters.clone();
    let engine = Arc::new(engine::Engine { registry, meters, clock: context.clock().clone() });
    let api = api::Api { engine, store };
    Ok(Service::new("models")
        .grpc(ModelServiceServer::new(api.clone()))
        .grpc(InferenceServiceServer::new(api.clone()))
        .grpc(OpenAiServiceServer::new(api.clone()))
        .grpc(CostServiceServer::new(api))
        .figures(Arc::new(move || figures.figures())))
}

/// Deletes what is older than it must be kept, until the shutdown.
async fn housekeeping(store: store::Store, clock: Clock, shutdown: Shutdown, keep_calls: Duration) {
    let mut hours = tokio::time::interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = hours.tick() => {}
        }
        let now = clock.now();
        match store.forget(now.before(keep_calls), now.before(KEEP_KEYS)).await {
            Ok(0) => {}
            Ok(calls) => tracing::info!(calls, "old calls deleted"),
            Err(error) => tracing::warn!(error = %Chain(&error), "old calls not deleted"),
        }
    }
}

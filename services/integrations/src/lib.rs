//! The integrations service: Slack, Salesforce, databases, REST APIs; webhooks in; callbacks out.
//!
//! Everything that leaves the mesh leaves through here, past one guard (`egress`), and every secret of
//! an external system is kept here, sealed (`seal`). A connector is one file behind one trait
//! (`connectors`); what it takes and gives is data that is shown and enforced. The service repeats no
//! call that could have an effect twice, and it plans nothing: that is the business of workflows.

use std::{sync::Arc, time::Duration};

use lightning_mesh::{Context, Service, clock::Clock, shutdown::Shutdown, task};
use lightning_proto::integrations::v1::{
    callback_service_server::CallbackServiceServer,
    connector_service_server::ConnectorServiceServer,
    integration_service_server::IntegrationServiceServer,
    webhook_service_server::WebhookServiceServer,
};
use tokio::sync::Notify;

mod api;
mod callbacks;
mod config;
mod connectors;
mod convert;
mod domain;
mod egress;
mod error;
mod hub;
mod sample;
mod schema;
mod seal;
mod slots;
mod store;
mod webhooks;

pub use config::Config;
pub use domain::Violation;
pub use error::Error;

/// How long an idempotency key is remembered.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How often old keys are looked for.
const KEYS_SWEPT: Duration = Duration::from_secs(3_600);

/// Opens the service: its tables, its key file, its connectors, and the task that hands events on.
///
/// Fails if the settings are out of range, the database cannot be opened, or the key file is missing
/// while secrets sealed with it exist.
pub async fn open(
    config: Config,
    store: &lightning_store::Settings,
    context: Context,
) -> Result<Service, Error> {
    config.check()?;
    let data_dir = context.data_dir().to_owned();
    let egress = Arc::new(egress::Egress::new(egress::Guard::parse(&config.egress_allow)?));
    let registry = connectors::Registry::open(&config, &data_dir, &egress)?;
    let store = store::Store::open(store).await?;
    let key_file = config.key_file.clone().unwrap_or_else(|| data_dir.join("integrations.key"));
    let keyring = Arc::new(seal::Keyring::open(&key_file, !store.has_sealed().await?)?);
    let clock = context.clock().clone();
    if config.sample {
        sample::install(&store, &data_dir, clock.now()).await?;
    }
    let wake = Arc::new(Notify::new());
    let webhooks = Arc::new(webhooks::Webhooks {
        store: store.clone(),
        keyring: keyring.clone(),
        clock: clock.clone(),
        peers: context.peers().clone(),
        wake: wake.clone(),
        reports: context.reports().clone(),
    });
    let deliverer = webhooks::delivery::Deliverer {
        store: store.clone(),
        clock: clock.clone(),
        peers: context.peers().clone(),
        wake,
        attempts: config.webhook_attempts,
    };
    task::spawn("integrations-delivery", deliverer.run(context.shutdown().clone()));
    task::spawn(
        "integrations-keys",
        sweep(store.clone(), clock.clone(), context.shutdown().clone()),
    );
    let slots = slots::Slots::new(config.concurrency, config.queue_wait);
    let reports = context.reports().clone();
    let hub = Arc::new(hub::Hub { store, keyring, registry, slots, clock, reports });
    let callbacks = callbacks::Callbacks { egress, timeout: config.timeout };
    let figures = hub.clone();
    Ok(Service::new("integrations")
        .grpc(ConnectorServiceServer::new(api::ConnectorApi { hub: hub.clone() }))
        .grpc(IntegrationServiceServer::new(api::IntegrationApi {
            hub,
            max_result_bytes: config.max_result_bytes,
        }))
        .grpc(WebhookServiceServer::new(api::WebhookApi { webhooks }))
        .grpc(CallbackServiceServer::new(api::CallbackApi { callbacks }))
        .figures(Arc::new(move || {
            vec![("actions_running".to_owned(), figures.slots.busy() as f64)]
        })))
}

/// Forgets old idempotency keys until the shutdown.
async fn sweep(store: store::Store, clock: Clock, shutdown: Shutdown) {
    loop {
        if let Err(error) = store.forget_keys(clock.now().before(KEYS_KEPT)).await {
            tracing::warn!(error = %lightning_mesh::fault::Chain(&error), "old idempotency keys stay");
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(KEYS_SWEPT) => {}
        }
    }
}

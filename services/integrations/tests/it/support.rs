//! A mesh with the integrations service, and short ways to call it.

use std::path::PathBuf;

use lightning_integrations::Config;
use lightning_mesh::{
    channel::Channel,
    fault,
    identity::Caller,
    json,
    testing::{Builder, Harness},
};
use lightning_proto::integrations::v1::{
    CreateIntegrationRequest, ExecuteActionRequest, Integration,
    integration_service_client::IntegrationServiceClient,
    webhook_service_client::WebhookServiceClient,
};
use serde_json::{Value, json};
use tonic::{Code, Status};

pub(crate) type Integrations = IntegrationServiceClient<Channel>;
pub(crate) type Webhooks = WebhookServiceClient<Channel>;

/// A mesh, and the folder of its database, which outlives it.
pub(crate) struct Mesh {
    pub(crate) harness: Harness,
    pub(crate) folder: PathBuf,
}

/// A configuration that may call loopback, as far as a test allows.
pub(crate) fn config(allow: &[&str]) -> Config {
    Config {
        egress_allow: allow.iter().map(|entry| (*entry).to_owned()).collect(),
        ..Config::default()
    }
}

impl Mesh {
    /// The service alone, on a fresh database.
    pub(crate) async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        Self::open(Harness::builder(&["integrations"]), config, folder).await.unwrap()
    }

    /// The service on a database that may exist.
    pub(crate) async fn open(
        builder: Builder,
        config: Config,
        folder: PathBuf,
    ) -> Result<Self, lightning_integrations::Error> {
        let mut harness = builder.start();
        let context = harness.context("integrations");
        let config = Config { key_file: Some(folder.join("integrations.key")), ..config };
        let store = lightning_store::Settings { data_dir: folder.clone(), ..Default::default() };
        let service = lightning_integrations::open(config, &store, context.clone()).await?;
        harness.serve(service, &context).await.unwrap();
        Ok(Self { harness, folder })
    }

    pub(crate) fn integrations(&self) -> Integrations {
        Integrations::new(self.harness.channel("integrations"))
    }

    pub(crate) fn integrations_as(&self, caller: Caller) -> Integrations {
        Integrations::new(self.harness.channel_as("integrations", caller))
    }

    pub(crate) fn webhooks(&self) -> Webhooks {
        Webhooks::new(self.harness.channel("integrations"))
    }

    pub(crate) fn webhooks_as(&self, caller: Caller) -> Webhooks {
        Webhooks::new(self.harness.channel_as("integrations", caller))
    }

    /// Creates an integration and answers its id.
    pub(crate) async fn create(
        &self,
        connector: &str,
        config: Value,
        credentials: Value,
    ) -> String {
        let request = CreateIntegrationRequest {
            integration: Some(draft(connector, config, credentials)),
            ..Default::default()
        };
        self.integrations().create_integration(request).await.unwrap().into_inner().id
    }

    /// Runs an action; answers its result.
    pub(crate) async fn execute(
        &self,
        id: &str,
        action: &str,
        payload: Value,
    ) -> Result<Value, Status> {
        let request = ExecuteActionRequest {
            integration_id: id.to_owned(),
            action: action.to_owned(),
            payload: Some(json::to_struct(payload)),
            idempotency_key: String::new(),
        };
        let response = self.integrations().execute_action(request).await?.into_inner();
        Ok(json::from_value(&response.result.unwrap()))
    }

    /// Stops everything; the database stays.
    pub(crate) async fn stop(self) -> PathBuf {
        self.harness.stop().await;
        self.folder
    }
}

/// An integration to create.
pub(crate) fn draft(connector: &str, config: Value, credentials: Value) -> Integration {
    Integration {
        name: "Test".to_owned(),
        connector_type: connector.to_owned(),
        config: Some(json::to_struct(config)),
        credentials: Some(json::to_struct(credentials)),
        ..Default::default()
    }
}

/// The code, the reason and the metadata of a failure.
pub(crate) fn failure(status: &Status) -> (Code, String, Value) {
    let info = fault::error_info(status).unwrap_or_default();
    (
        status.code(),
        info.reason,
        json!(info.metadata.into_iter().collect::<std::collections::BTreeMap<_, _>>()),
    )
}

/// Fails unless a call was refused with this reason.
#[track_caller]
pub(crate) fn refused<T>(outcome: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = outcome.err().unwrap_or_else(|| panic!("{reason} expected"));
    let (found, why, _) = failure(&status);
    assert_eq!((found, why.as_str()), (code, reason), "{status:?}");
    status
}

//! One models service in a harness, with or without an upstream.

use std::{path::Path, time::Duration};

use lightning_mesh::{channel::Channel, fault, identity::Caller, testing::Harness};
use lightning_models::{Config, Error, ModelConfig, ProviderConfig, ProviderKind};
use lightning_proto::models::v1::{
    self as pb, cost_service_client::CostServiceClient,
    inference_service_client::InferenceServiceClient, model_service_client::ModelServiceClient,
};
use lightning_store::Settings;
use serde_json::Value;
use tonic::Status;

use crate::upstream::Upstream;

pub(crate) struct Rig {
    pub(crate) harness: Harness,
    pub(crate) upstream: Upstream,
}

impl Rig {
    /// A service whose provider `up` is a fake upstream with one model for each of its behaviours.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(None, change).await
    }

    /// A service whose data is in a folder that outlives it.
    pub(crate) async fn on(folder: Option<&Path>, change: impl FnOnce(&mut Config)) -> Self {
        let upstream = Upstream::start().await;
        let mut config = Config { provider: vec![provider(&upstream)], ..Config::default() };
        change(&mut config);
        let mut harness = Harness::new(&["models"]);
        let context = harness.context("models");
        let data_dir = folder.unwrap_or_else(|| context.data_dir()).to_path_buf();
        let settings = Settings { data_dir, url: None, pool: 2 };
        let service = loop {
            match lightning_models::open(config.clone(), &settings, context.clone()).await {
                // A service that stopped just before lets go of its file a moment later.
                Err(Error::Store(lightning_store::Error::Owned { .. })) => {
                    tokio::task::yield_now().await
                }
                opened => break opened.expect("the service opens"),
            }
        };
        harness.serve(service, &context).await.expect("the service is served");
        Self { harness, upstream }
    }

    pub(crate) fn inferences(&self) -> InferenceServiceClient<Channel> {
        InferenceServiceClient::new(self.harness.channel("models"))
    }

    pub(crate) fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.harness.channel("models"))
    }

    pub(crate) fn inferences_as(&self, caller: Caller) -> InferenceServiceClient<Channel> {
        InferenceServiceClient::new(self.harness.channel_as("models", caller))
    }

    pub(crate) fn models_as(&self, caller: Caller) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.harness.channel_as("models", caller))
    }

    pub(crate) fn costs_as(&self, caller: Caller) -> CostServiceClient<Channel> {
        CostServiceClient::new(self.harness.channel_as("models", caller))
    }

    /// Asks a model for an answer to a prompt.
    pub(crate) async fn infer(&self, model: &str, prompt: &str) -> Result<pb::Inference, Status> {
        Ok(self.inferences().infer(ask(model, prompt)).await?.into_inner())
    }

    /// Sends JSON to a path; answers status, content type and text.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, String, String) {
        let request = reqwest::Client::new()
            .post(format!("{}{path}", self.harness.rest("models")))
            .json(body);
        read(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String, String) {
        read(reqwest::Client::new().get(format!("{}{path}", self.harness.rest("models")))).await
    }

    /// The sums over all calls.
    pub(crate) async fn costs(&self, group_by: &str) -> pb::Costs {
        let end = lightning_mesh::clock::Clock::system().now() + Duration::from_secs(60);
        let request = pb::GetCostsRequest {
            group_by: group_by.to_owned(),
            end_time: Some(end.to_proto()),
            ..Default::default()
        };
        let answer = self.costs_as(Caller::local()).get_costs(request).await;
        answer.expect("costs").into_inner()
    }
}

async fn read(request: reqwest::RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.expect("an answer");
    let kind =
        response.headers().get("content-type").map(|kind| kind.to_str().expect("ASCII").to_owned());
    (response.status().as_u16(), kind.unwrap_or_default(), response.text().await.expect("a text"))
}

pub(crate) fn provider(upstream: &Upstream) -> ProviderConfig {
    ProviderConfig {
        name: "up".to_owned(),
        kind: ProviderKind::OpenAi,
        base_url: format!("{}/v1/", upstream.url()),
        key: lightning_mesh::config::SecretSource {
            value: Some(lightning_mesh::config::Secret::new("upstream-key")),
            ..Default::default()
        },
        timeout: Duration::from_millis(300),
        models: vec![ModelConfig {
            id: "priced".to_owned(),
            upstream_model: "echo".to_owned(),
            capabilities: vec!["chat".to_owned(), "embeddings".to_owned()],
            input_price_per_million: 2.0,
            output_price_per_million: 10.0,
            ..ModelConfig::default()
        }],
        ..ProviderConfig::default()
    }
}

pub(crate) fn ask(model: &str, prompt: &str) -> pb::InferRequest {
    pb::InferRequest { model: model.to_owned(), prompt: prompt.to_owned(), ..Default::default() }
}

/// The reason of an error.
pub(crate) fn reason(status: &Status) -> String {
    fault::error_info(status).map(|info| info.reason).unwrap_or_default()
}

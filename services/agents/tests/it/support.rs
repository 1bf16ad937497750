//! A mesh with the agents service and its fake peers.

use lightning_agents::{Config, open};
use lightning_mesh::{
    Service,
    channel::Channel,
    fault::error_info,
    identity::Caller,
    testing::{Builder, Harness},
};
use lightning_proto::{
    agents::v1::{
        self as pb, agent_service_client::AgentServiceClient,
        deployment_service_client::DeploymentServiceClient,
        template_service_client::TemplateServiceClient,
    },
    auth::v1::{AccessState, PolicySet},
    models::v1::inference_service_server::InferenceServiceServer,
    workflows::v1::{
        execution_service_server::ExecutionServiceServer,
        workflow_service_server::WorkflowServiceServer,
    },
};
use lightning_store::{Database, Settings, params};
use tempfile::TempDir;
use tonic::{Code, Response, Status};

use super::peers::Peers;

const SERVICES: [&str; 3] = ["agents", "models", "workflows"];

/// The agents service on a fresh database.
pub(crate) struct Mesh {
    pub(crate) harness: Harness,
    pub(crate) peers: Peers,
    pub(crate) folder: TempDir,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::start_with(Config::default(), tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn start_with(config: Config, folder: TempDir) -> Self {
        let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
        Self::open(config, settings, folder).await
    }

    /// The service under policies of the organisation `default`.
    pub(crate) async fn start_under(policies: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
        let set =
            PolicySet { organization_id: "default".into(), version: 1, text: policies.into() };
        let access = AccessState {
            revision: 1,
            open: true,
            policy_sets: vec![set],
            ..AccessState::default()
        };
        let builder = Harness::builder(&SERVICES).access(Some(access));
        Self::open_in(builder, Config::default(), settings, folder).await
    }

    /// The service on PostgreSQL, on an empty schema; nothing if no server is named.
    pub(crate) async fn scaled() -> Option<Self> {
        let Ok(url) = std::env::var("LIGHTNING_TEST_POSTGRES_URL") else {
            println!("skipped: LIGHTNING_TEST_POSTGRES_URL is not set");
            return None;
        };
        let settings = Settings { url: Some(url), ..Settings::default() };
        let admin = Database::open(&settings, "lightning_tests", &[]).await.unwrap();
        admin.execute("DROP SCHEMA IF EXISTS agents CASCADE", params![]).await.unwrap();
        admin.close().await;
        Some(Self::open(Config::default(), settings, tempfile::tempdir().unwrap()).await)
    }

    async fn open(config: Config, settings: Settings, folder: TempDir) -> Self {
        Self::open_in(Harness::builder(&SERVICES), config, settings, folder).await
    }

    async fn open_in(
        builder: Builder,
        config: Config,
        settings: Settings,
        folder: TempDir,
    ) -> Self {
        let mut harness = builder.start();
        let peers = Peers::new();
        let context = harness.context("agents");
        let service = open(config, &settings, context.clone()).await.unwrap();
        harness.serve(service, &context).await.unwrap();
        let models = Service::new("models").grpc(InferenceServiceServer::new(peers.clone()));
        let context = harness.context("models");
        harness.serve(models, &context).await.unwrap();
        let workflows = Service::new("workflows")
            .grpc(ExecutionServiceServer::new(peers.clone()))
            .grpc(WorkflowServiceServer::new(peers.clone()));
        let context = harness.context("workflows");
        harness.serve(workflows, &context).await.unwrap();
        Self { harness, peers, folder }
    }

    pub(crate) fn agents(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.harness.channel("agents"))
    }

    pub(crate) fn agents_as(&self, caller: Caller) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.harness.channel_as("agents", caller))
    }

    pub(crate) fn deployments_as(&self, caller: Caller) -> DeploymentServiceClient<Channel> {
        DeploymentServiceClient::new(self.harness.channel_as("agents", caller))
    }

    pub(crate) fn deployments(&self) -> DeploymentServiceClient<Channel> {
        DeploymentServiceClient::new(self.harness.channel("agents"))
    }

    pub(crate) fn templates(&self) -> TemplateServiceClient<Channel> {
        TemplateServiceClient::new(self.harness.channel("agents"))
    }

    /// Creates an agent of this id and model.
    pub(crate) async fn create(&self, id: &str, model: &str) -> pb::Agent {
        let agent = pb::Agent { model: model.into(), instructions: "Be kind.".into(), ..named(id) };
        let request = pb::CreateAgentRequest {
            agent: Some(agent),
            agent_id: id.into(),
            ..Default::default()
        };
        self.agents().create_agent(request).await.unwrap().into_inner()
    }

    /// Deploys an agent's current version to production.
    pub(crate) async fn deploy(&self, id: &str, replicas: i32) -> pb::Deployment {
        let request = pb::DeployAgentRequest { id: id.into(), replicas, ..Default::default() };
        self.deployments().deploy_agent(request).await.unwrap().into_inner()
    }

    pub(crate) async fn get(&self, id: &str) -> Result<pb::Agent, Status> {
        let request = pb::GetAgentRequest { id: id.into() };
        self.agents().get_agent(request).await.map(Response::into_inner)
    }
}

pub(crate) fn named(name: &str) -> pb::Agent {
    pb::Agent { name: name.into(), agent_type: "conversational".into(), ..Default::default() }
}

/// A question to an agent.
pub(crate) fn question(id: &str) -> pb::InvokeAgentRequest {
    pb::InvokeAgentRequest { id: id.into(), input: "hello".into(), ..Default::default() }
}

/// The code and the reason of a refusal.
pub(crate) fn refusal<T>(result: Result<T, Status>) -> (Code, String) {
    let Err(status) = result else { panic!("it should have been refused") };
    (status.code(), error_info(&status).map(|info| info.reason).unwrap_or_default())
}

pub(crate) fn refused(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

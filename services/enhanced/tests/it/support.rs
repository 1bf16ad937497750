//! A mesh with the enhanced service and a fake agents service.

use lightning_enhanced::{Config, open};
use lightning_mesh::{
    Service, channel::Channel, fault::error_info, identity::Caller, testing::Harness,
};
use lightning_proto::{
    agents::v1::agent_service_server::AgentServiceServer,
    enhanced::v1::{self as pb, task_service_client::TaskServiceClient},
    google::rpc::ErrorInfo,
};
use lightning_store::{Database, Settings, params};
use tempfile::TempDir;
use tonic::{Code, Response, Status};

use super::agents::Agents;

/// The enhanced service on a fresh database.
pub(crate) struct Mesh {
    pub(crate) harness: Harness,
    pub(crate) agents: Agents,
    _folder: TempDir,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
        Self::open(&settings, folder).await
    }

    /// The service on PostgreSQL, on an empty schema; nothing if no server is named.
    pub(crate) async fn scaled() -> Option<Self> {
        let Ok(url) = std::env::var("LIGHTNING_TEST_POSTGRES_URL") else {
            println!("skipped: LIGHTNING_TEST_POSTGRES_URL is not set");
            return None;
        };
        let settings = Settings { url: Some(url), ..Settings::default() };
        let admin = Database::open(&settings, "lightning_tests", &[]).await.unwrap();
        admin.execute("DROP SCHEMA IF EXISTS enhanced CASCADE", params![]).await.unwrap();
        admin.close().await;
        Some(Self::open(&settings, tempfile::tempdir().unwrap()).await)
    }

    async fn open(settings: &Settings, folder: TempDir) -> Self {
        let mut harness = Harness::new(&["enhanced", "agents"]);
        let context = harness.context("enhanced");
        let service = open(Config::default(), settings, context.clone()).await.unwrap();
        harness.serve(service, &context).await.unwrap();
        let agents = Agents::new();
        let service = Service::new("agents").grpc(AgentServiceServer::new(agents.clone()));
        let context = harness.context("agents");
        harness.serve(service, &context).await.unwrap();
        Self { harness, agents, _folder: folder }
    }

    pub(crate) fn client(&self, caller: Caller) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.harness.channel_as("enhanced", caller))
    }

    pub(crate) async fn execute(&self, task: &str, agent_id: &str) -> Result<pb::Task, Status> {
        let request = pb::ExecuteTaskRequest {
            task: task.into(),
            agent_id: agent_id.into(),
            ..Default::default()
        };
        self.client(Caller::local()).execute_task(request).await.map(Response::into_inner)
    }

    pub(crate) async fn get(&self, caller: Caller, id: &str) -> Result<pb::Task, Status> {
        let request = pb::GetTaskRequest { task_id: id.into() };
        self.client(caller).get_task(request).await.map(Response::into_inner)
    }
}

/// The code of a refusal and what it says about itself.
pub(crate) fn refusal<T>(result: Result<T, Status>) -> (Code, ErrorInfo) {
    let Err(status) = result else { panic!("it should have been refused") };
    (status.code(), error_info(&status).expect("every refusal has a reason"))
}

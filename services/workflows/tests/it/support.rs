//! A mesh with the workflows service and peers that answer as a test says.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lightning_mesh::{
    Service,
    channel::Channel,
    clock::{Clock, ManualClock, Timestamp},
    identity::Caller,
    json,
    testing::{Builder, Harness},
};
use lightning_proto::{
    auth::v1::{AccessState, PolicySet},
    integrations::v1::{
        self as hub, callback_service_server::CallbackService,
        callback_service_server::CallbackServiceServer,
        integration_service_server::IntegrationService,
        integration_service_server::IntegrationServiceServer,
    },
    models::v1::{
        self as models, inference_service_server::InferenceService,
        inference_service_server::InferenceServiceServer,
    },
    workflows::v1::{
        self as pb, execution_service_client::ExecutionServiceClient,
        workflow_service_client::WorkflowServiceClient,
    },
};
use lightning_store::Settings;
use lightning_workflows::{Config, open};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

const SERVICES: [&str; 3] = ["workflows", "models", "integrations"];

/// How long a test waits for something that will happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything under test.
pub(crate) struct World {
    pub(crate) harness: Harness,
    pub(crate) peers: Arc<Peers>,
    pub(crate) clock: ManualClock,
    /// Removed with the world, if it is its own.
    _data: Option<tempfile::TempDir>,
}

/// What the peers saw and how they answer.
#[derive(Default)]
pub(crate) struct Peers {
    /// Prompts in the order in which they came.
    pub(crate) prompts: Mutex<Vec<String>>,
    /// Who asked the models.
    pub(crate) callers: Mutex<Vec<Caller>>,
    /// Payloads and idempotency keys of actions.
    pub(crate) actions: Mutex<Vec<(String, String, Value)>>,
    /// Bodies of delivered callbacks.
    pub(crate) callbacks: Mutex<Vec<Value>>,
    /// How many of the next model calls fail, as unavailable.
    pub(crate) failures: AtomicUsize,
    /// How many of the next deliveries fail.
    pub(crate) delivery_failures: AtomicUsize,
    /// Calls with the prompt "hold" wait for this.
    pub(crate) release: Notify,
    pub(crate) holding: AtomicUsize,
}

impl World {
    /// With a folder of its own.
    pub(crate) async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        let data = tempfile::tempdir().unwrap();
        let world = Self::open(data.path(), config).await;
        Self { _data: Some(data), ..world }
    }

    pub(crate) async fn open(data: &std::path::Path, config: Config) -> Self {
        Self::open_with(data, config, Arc::default()).await
    }

    pub(crate) async fn open_with(
        data: &std::path::Path,
        config: Config,
        peers: Arc<Peers>,
    ) -> Self {
        let settings = Settings { data_dir: data.to_owned(), ..Settings::default() };
        Self::open_on(settings, config, peers).await
    }

    pub(crate) async fn open_on(settings: Settings, config: Config, peers: Arc<Peers>) -> Self {
        let builder = Harness::builder(&SERVICES);
        Self::open_in(builder, settings, config, peers).await
    }

    /// Under policies of the organisation `default`.
    pub(crate) async fn start_under(policies: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: data.path().to_owned(), ..Settings::default() };
        let set =
            PolicySet { organization_id: "default".into(), version: 1, text: policies.into() };
        let access = AccessState {
            revision: 1,
            open: true,
            policy_sets: vec![set],
            ..AccessState::default()
        };
        let builder = Harness::builder(&SERVICES).access(Some(access));
        let world = Self::open_in(builder, settings, Config::default(), Arc::default()).await;
        Self { _data: Some(data), ..world }
    }

    async fn open_in(
        builder: Builder,
        settings: Settings,
        config: Config,
        peers: Arc<Peers>,
    ) -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        let mut harness = builder.clock(clock).start();
        let context = harness.context("models");
        let service = Service::new("models").grpc(InferenceServiceServer::new(Fake(peers.clone())));
        harness.serve(service, &context).await.unwrap();
        let context = harness.context("integrations");
        let service = Service::new("integrations")
            .grpc(IntegrationServiceServer::new(Fake(peers.clone())))
            .grpc(CallbackServiceServer::new(Fake(peers.clone())));
        harness.serve(service, &context).await.unwrap();
        let context = harness.context("workflows");
        let service = open(config, &settings, context.clone()).await.unwrap();
        harness.serve(service, &context).await.unwrap();
        Self { harness, peers, clock: hand, _data: None }
    }

    pub(crate) fn workflows(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.harness.channel("workflows"))
    }

    pub(crate) fn workflows_as(&self, caller: Caller) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.harness.channel_as("workflows", caller))
    }

    pub(crate) fn executions_as(&self, caller: Caller) -> ExecutionServiceClient<Channel> {
        ExecutionServiceClient::new(self.harness.channel_as("workflows", caller))
    }

    pub(crate) fn executions(&self) -> ExecutionServiceClient<Channel> {
        ExecutionServiceClient::new(self.harness.channel("workflows"))
    }

    /// Makes a workflow of these tasks (YAML).
    pub(crate) async fn define(&self, tasks: &str) -> String {
        self.define_whole(&document(tasks)).await.unwrap().id
    }

    pub(crate) async fn define_whole(&self, source: &str) -> Result<pb::Workflow, Status> {
        let workflow = pb::Workflow { source: source.to_owned(), ..Default::default() };
        let request = pb::CreateWorkflowRequest { workflow: Some(workflow), ..Default::default() };
        Ok(self.workflows().create_workflow(request).await?.into_inner())
    }

    /// Runs a workflow to its end.
    pub(crate) async fn run(&self, workflow: &str, input: Value) -> pb::Execution {
        let request = execute(workflow, input, false);
        self.executions().execute_workflow(request).await.unwrap().into_inner()
    }

    /// Makes and runs a workflow of these tasks.
    pub(crate) async fn run_tasks(&self, tasks: &str, input: Value) -> pb::Execution {
        let workflow = self.define(tasks).await;
        self.run(&workflow, input).await
    }

    /// Starts a workflow.
    pub(crate) async fn begin(&self, workflow: &str, input: Value) -> String {
        let request = execute(workflow, input, true);
        self.executions().execute_workflow(request).await.unwrap().into_inner().id
    }

    pub(crate) async fn get(&self, id: &str) -> pb::Execution {
        let request = pb::GetExecutionRequest { id: id.to_owned() };
        self.executions().get_execution(request).await.unwrap().into_inner()
    }

    /// Waits until the execution has this status.
    pub(crate) async fn reaches(&self, id: &str, status: pb::execution::Status) -> pb::Execution {
        let seen = until(|| async {
            let execution = self.get(id).await;
            (execution.status() == status).then_some(execution)
        });
        seen.await
    }
}

/// A whole definition of these tasks.
pub(crate) fn document(tasks: &str) -> String {
    let indented: String =
        tasks.trim_matches('\n').lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "document: {{dsl: 1.0.0, namespace: tests, name: test, version: 1.0.0}}\ndo:\n{indented}"
    )
}

pub(crate) fn execute(workflow: &str, input: Value, detached: bool) -> pb::ExecuteWorkflowRequest {
    pb::ExecuteWorkflowRequest {
        workflow_id: workflow.to_owned(),
        input_data: Some(json::to_struct(input)),
        async_execution: Some(detached),
        ..Default::default()
    }
}

/// Waits for a condition that will hold; the polling is the test's, nothing depends on its pace.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(condition: impl Fn() -> F) -> T {
    let waiting = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the condition holds in time")
}

pub(crate) fn output(execution: &pb::Execution) -> Value {
    assert_eq!(execution.status(), pb::execution::Status::Completed, "{:?}", execution.error);
    json::from_value(execution.output.as_ref().unwrap())
}

pub(crate) fn error(execution: &pb::Execution) -> &pb::ExecutionError {
    assert_eq!(execution.status(), pb::execution::Status::Failed, "{execution:?}");
    execution.error.as_ref().unwrap()
}

/// Name and status of each step, in order.
pub(crate) fn steps(execution: &pb::Execution) -> Vec<String> {
    let word = |step: &pb::StepRun| step.status().as_str_name()["STATUS_".len()..].to_lowercase();
    execution.steps.iter().map(|step| format!("{} {}", step.name, word(step))).collect()
}

pub(crate) fn reason(status: &Status) -> String {
    lightning_mesh::fault::error_info(status).map(|info| info.reason).unwrap_or_default()
}

struct Fake(Arc<Peers>);

fn take(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

#[tonic::async_trait]
impl InferenceService for Fake {
    async fn infer(
        &self,
        request: Request<models::InferRequest>,
    ) -> Result<Response<models::Inference>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.0.callers.lock().unwrap().push(caller);
        let last = request.messages.last().map(|message| message.content.clone());
        let prompt = last.unwrap_or(request.prompt);
        self.0.prompts.lock().unwrap().push(prompt.clone());
        if take(&self.0.failures) {
            return Err(Status::unavailable("the model is down"));
        }
        if prompt == "hold" {
            self.0.holding.fetch_add(1, Ordering::SeqCst);
            self.0.release.notified().await;
        }
        let intent = match &prompt {
            text if text.contains("charged") => "billing",
            text if text.contains("crashes") => "technical",
            _ => "general",
        };
        let structured =
            request.response_schema.map(|_| json::to_value(json!({ "intent": intent })));
        Ok(Response::new(models::Inference {
            id: "i".to_owned(),
            model: "fake".to_owned(),
            output: format!("answer to {prompt}"),
            structured_output: structured,
            ..Default::default()
        }))
    }

    type StreamInferenceStream = tokio_stream::Empty<Result<models::InferenceEvent, Status>>;

    async fn stream_inference(
        &self,
        _: Request<models::StreamInferenceRequest>,
    ) -> Result<Response<Self::StreamInferenceStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn batch_infer(
        &self,
        _: Request<models::BatchInferRequest>,
    ) -> Result<Response<models::BatchInferResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl IntegrationService for Fake {
    async fn execute_action(
        &self,
        request: Request<hub::ExecuteActionRequest>,
    ) -> Result<Response<hub::ExecuteActionResponse>, Status> {
        let request = request.into_inner();
        let payload = request.payload.as_ref().map(json::from_struct).unwrap_or_default();
        let action =
            (request.action.clone(), request.idempotency_key, Value::Object(payload.clone()));
        self.0.actions.lock().unwrap().push(action);
        let result = match request.action.as_str() {
            "query" => json!({ "row_count": 4, "rows": [
                { "id": 1, "region": "north", "status": "paid", "amount_cents": 100 },
                { "id": 2, "region": "north", "status": "open", "amount_cents": 200 },
                { "id": 3, "region": "south", "status": "paid", "amount_cents": 300 },
                { "id": 4, "region": "north", "status": "paid", "amount_cents": 400 },
            ] }),
            "insert" => {
                json!({ "inserted_rows": payload.get("rows").and_then(Value::as_array).map_or(0, Vec::len) })
            }
            _ => return Err(Status::invalid_argument("no such action")),
        };
        Ok(Response::new(hub::ExecuteActionResponse {
            result: Some(json::to_value(result)),
            ..Default::default()
        }))
    }

    async fn get_integration(
        &self,
        _: Request<hub::GetIntegrationRequest>,
    ) -> Result<Response<hub::Integration>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_integrations(
        &self,
        _: Request<hub::ListIntegrationsRequest>,
    ) -> Result<Response<hub::ListIntegrationsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn create_integration(
        &self,
        _: Request<hub::CreateIntegrationRequest>,
    ) -> Result<Response<hub::Integration>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn update_integration(
        &self,
        _: Request<hub::UpdateIntegrationRequest>,
    ) -> Result<Response<hub::Integration>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_integration(
        &self,
        _: Request<hub::DeleteIntegrationRequest>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn test_integration(
        &self,
        _: Request<hub::TestIntegrationRequest>,
    ) -> Result<Response<hub::TestIntegrationResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl CallbackService for Fake {
    async fn deliver_callback(
        &self,
        request: Request<hub::DeliverCallbackRequest>,
    ) -> Result<Response<hub::DeliverCallbackResponse>, Status> {
        if take(&self.0.delivery_failures) {
            return Err(Status::unavailable("not now"));
        }
        let body = request.into_inner().body.unwrap_or_default();
        self.0.callbacks.lock().unwrap().push(serde_json::from_slice(&body.data).unwrap());
        Ok(Response::new(hub::DeliverCallbackResponse { http_status: 200 }))
    }

    async fn check_callback(
        &self,
        request: Request<hub::CheckCallbackRequest>,
    ) -> Result<Response<hub::CheckCallbackResponse>, Status> {
        if request.into_inner().url.contains("127.0.0.1") {
            return Err(Status::invalid_argument("loopback addresses are not allowed"));
        }
        Ok(Response::new(hub::CheckCallbackResponse {}))
    }
}

/// Counts how often each value occurs.
pub(crate) fn counts<T: std::hash::Hash + Eq + Clone>(values: &[T]) -> HashMap<T, usize> {
    values.iter().fold(HashMap::new(), |mut counts, value| {
        *counts.entry(value.clone()).or_default() += 1;
        counts
    })
}

//! Models and workflows that do what a test tells them.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use lightning_mesh::{fault::Fault, identity::Caller, json};
use lightning_proto::{
    models::v1::{
        self as models, ErrorReason, inference_event::Event,
        inference_service_server::InferenceService,
    },
    workflows::v1::{
        self as workflows, execution::Status as ExecutionStatus,
        execution_service_server::ExecutionService, workflow_service_server::WorkflowService,
    },
};
use serde_json::json;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, async_trait};

/// What the peers saw, and the gate at which the model `slow` waits.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) inferences: Arc<Mutex<Vec<(Caller, models::InferRequest)>>>,
    pub(crate) executions: Arc<Mutex<Vec<(Caller, workflows::ExecuteWorkflowRequest)>>>,
    pub(crate) gate: Arc<Semaphore>,
}

impl Peers {
    pub(crate) fn new() -> Self {
        Self {
            inferences: Arc::default(),
            executions: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    /// The last request that the models service got.
    pub(crate) fn asked(&self) -> (Caller, models::InferRequest) {
        self.inferences.lock().unwrap().last().cloned().expect("a model was asked")
    }

    /// The last execution that was asked for.
    pub(crate) fn executed(&self) -> (Caller, workflows::ExecuteWorkflowRequest) {
        self.executions.lock().unwrap().last().cloned().expect("a workflow was executed")
    }

    /// The model's name says what it does.
    async fn behave(
        &self,
        caller: Caller,
        request: models::InferRequest,
    ) -> Result<models::Inference, Status> {
        let model = request.model.clone();
        let said =
            request.messages.last().map(|message| message.content.clone()).unwrap_or_default();
        self.inferences.lock().unwrap().push((caller, request));
        match model.as_str() {
            "busy" => Err(Fault::exhausted(ErrorReason::ProviderRateLimited)
                .message("provider acme asks to wait")
                .retry_after(Duration::from_secs(7))
                .into()),
            "down" => Err(Fault::unavailable(ErrorReason::ProviderUnavailable)
                .message("provider acme cannot be reached")
                .into()),
            "gone" => {
                Err(Fault::not_found(ErrorReason::ModelNotFound).message("no model gone").into())
            }
            "slow" => {
                self.gate.acquire().await.expect("the gate is never closed").forget();
                Ok(inference(&model, "at last"))
            }
            _ => Ok(inference(&model, &format!("you said: {said}"))),
        }
    }
}

fn inference(model: &str, output: &str) -> models::Inference {
    models::Inference {
        id: "i1".into(),
        model: if model.is_empty() { "default-1" } else { model }.into(),
        provider: "fake".into(),
        output: output.into(),
        finish_reason: "stop".into(),
        usage: Some(models::Usage { input_tokens: 3, output_tokens: 5, total_tokens: 8 }),
        cost_usd: 0.25,
        ..Default::default()
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<models::InferenceEvent, Status>> + Send>>;

#[async_trait]
impl InferenceService for Peers {
    async fn infer(
        &self,
        request: Request<models::InferRequest>,
    ) -> Result<Response<models::Inference>, Status> {
        let (caller, request) = Caller::split(request)?;
        Ok(Response::new(self.behave(caller, request).await?))
    }

    type StreamInferenceStream = Events;

    /// The answer word by word; the model `cut` never sends its end, `slow` waits before it.
    async fn stream_inference(
        &self,
        request: Request<models::StreamInferenceRequest>,
    ) -> Result<Response<Events>, Status> {
        let (caller, request) = Caller::split(request)?;
        let request = request.inference.unwrap_or_default();
        let model = request.model.clone();
        let event = |event| Ok(models::InferenceEvent { event: Some(event) });
        if model == "slow" {
            let peers = self.clone();
            let first = stream::iter([event(Event::Delta("at ".into()))]);
            let rest = stream::once(async move {
                let done = peers.behave(caller, request).await?;
                Ok(models::InferenceEvent { event: Some(Event::Done(done)) })
            });
            return Ok(Response::new(Box::pin(first.chain(rest))));
        }
        let done = self.behave(caller, request).await?;
        let words: Vec<_> = done.output.split_inclusive(' ').map(str::to_owned).collect();
        let mut events: Vec<_> = words.into_iter().map(|word| event(Event::Delta(word))).collect();
        if model != "cut" {
            events.push(event(Event::Done(done)));
        }
        Ok(Response::new(Box::pin(stream::iter(events))))
    }

    async fn batch_infer(
        &self,
        _: Request<models::BatchInferRequest>,
    ) -> Result<Response<models::BatchInferResponse>, Status> {
        Err(Status::unimplemented("not used here"))
    }
}

#[async_trait]
impl ExecutionService for Peers {
    /// `answers` and `reports` complete, anything else fails with the HTTP status 503.
    async fn execute_workflow(
        &self,
        request: Request<workflows::ExecuteWorkflowRequest>,
    ) -> Result<Response<workflows::Execution>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = request.workflow_id.clone();
        self.executions.lock().unwrap().push((caller, request));
        let ended = |status: ExecutionStatus, output| workflows::Execution {
            id: "e1".into(),
            workflow_id: id.clone(),
            status: status.into(),
            output,
            ..Default::default()
        };
        let completed = |output| ended(ExecutionStatus::Completed, Some(json::to_value(output)));
        Ok(Response::new(match id.as_str() {
            "answers" => completed(json!({"reply": "from a workflow", "intent": "general"})),
            "reports" => completed(json!({"rows": 3})),
            _ => workflows::Execution {
                error: Some(workflows::ExecutionError {
                    status: 503,
                    title: "Communication".into(),
                    detail: "the database is away".into(),
                    ..Default::default()
                }),
                ..ended(ExecutionStatus::Failed, None)
            },
        }))
    }

    async fn get_execution(
        &self,
        _: Request<workflows::GetExecutionRequest>,
    ) -> Result<Response<workflows::Execution>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn list_executions(
        &self,
        _: Request<workflows::ListExecutionsRequest>,
    ) -> Result<Response<workflows::ListExecutionsResponse>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn cancel_execution(
        &self,
        _: Request<workflows::CancelExecutionRequest>,
    ) -> Result<Response<workflows::Execution>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn list_step_runs(
        &self,
        _: Request<workflows::ListStepRunsRequest>,
    ) -> Result<Response<workflows::ListStepRunsResponse>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    type WatchExecutionStream =
        Pin<Box<dyn Stream<Item = Result<workflows::ExecutionEvent, Status>> + Send>>;

    async fn watch_execution(
        &self,
        _: Request<workflows::WatchExecutionRequest>,
    ) -> Result<Response<Self::WatchExecutionStream>, Status> {
        Err(Status::unimplemented("not used here"))
    }
}

#[async_trait]
impl WorkflowService for Peers {
    /// There are three workflows.
    async fn get_workflow(
        &self,
        request: Request<workflows::GetWorkflowRequest>,
    ) -> Result<Response<workflows::Workflow>, Status> {
        let id = request.into_inner().id;
        if ["answers", "reports", "fails"].contains(&id.as_str()) {
            return Ok(Response::new(workflows::Workflow { id, ..Default::default() }));
        }
        Err(Fault::not_found(workflows::ErrorReason::WorkflowNotFound).into())
    }

    async fn list_workflows(
        &self,
        _: Request<workflows::ListWorkflowsRequest>,
    ) -> Result<Response<workflows::ListWorkflowsResponse>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn create_workflow(
        &self,
        _: Request<workflows::CreateWorkflowRequest>,
    ) -> Result<Response<workflows::Workflow>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn update_workflow(
        &self,
        _: Request<workflows::UpdateWorkflowRequest>,
    ) -> Result<Response<workflows::Workflow>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn delete_workflow(
        &self,
        _: Request<workflows::DeleteWorkflowRequest>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn list_workflow_versions(
        &self,
        _: Request<workflows::ListWorkflowVersionsRequest>,
    ) -> Result<Response<workflows::ListWorkflowVersionsResponse>, Status> {
        Err(Status::unimplemented("not used here"))
    }
}

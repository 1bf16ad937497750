//! A workflows service that starts executions as a test tells it, and remembers them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures_util::stream;
use lightning_mesh::{Service, identity::Caller, testing::Harness};
use lightning_proto::workflows::v1::{
    CancelExecutionRequest, CreateWorkflowRequest, DeleteWorkflowRequest, ExecuteWorkflowRequest,
    Execution, ExecutionEvent, GetExecutionRequest, GetWorkflowRequest, ListExecutionsRequest,
    ListExecutionsResponse, ListStepRunsRequest, ListStepRunsResponse, ListWorkflowVersionsRequest,
    ListWorkflowVersionsResponse, ListWorkflowsRequest, ListWorkflowsResponse,
    UpdateWorkflowRequest, WatchExecutionRequest, Workflow,
    execution_service_server::{ExecutionService, ExecutionServiceServer},
    workflow_service_server::{WorkflowService, WorkflowServiceServer},
};
use tonic::{Request, Response, Status};

/// The service. It knows one workflow, `w`.
#[derive(Clone, Default)]
pub(crate) struct Workflows(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    started: Vec<(Caller, ExecuteWorkflowRequest)>,
    by_request: BTreeMap<String, String>,
    /// What the next starts answer, the first one first.
    failures: Vec<Status>,
}

impl Workflows {
    pub(crate) async fn serve(&self, harness: &mut Harness) {
        let context = harness.context("workflows");
        let service = Service::new("workflows")
            .grpc(WorkflowServiceServer::new(self.clone()))
            .grpc(ExecutionServiceServer::new(self.clone()));
        harness.serve(service, &context).await.unwrap();
    }

    pub(crate) fn fail_next(&self, failures: Vec<Status>) {
        self.0.lock().unwrap().failures = failures;
    }

    /// The calls that started, or would have.
    pub(crate) fn started(&self) -> Vec<(Caller, ExecuteWorkflowRequest)> {
        self.0.lock().unwrap().started.clone()
    }

    /// How many executions there are.
    pub(crate) fn executions(&self) -> usize {
        self.0.lock().unwrap().by_request.len()
    }
}

fn unused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the tests do not call it"))
}

#[tonic::async_trait]
impl WorkflowService for Workflows {
    async fn get_workflow(
        &self,
        request: Request<GetWorkflowRequest>,
    ) -> Result<Response<Workflow>, Status> {
        match request.into_inner().id.as_str() {
            "w" => Ok(Response::new(Workflow { id: "w".to_owned(), ..Default::default() })),
            _ => Err(Status::not_found("no such workflow")),
        }
    }

    async fn list_workflows(
        &self,
        _: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        unused()
    }

    async fn create_workflow(
        &self,
        _: Request<CreateWorkflowRequest>,
    ) -> Result<Response<Workflow>, Status> {
        unused()
    }

    async fn update_workflow(
        &self,
        _: Request<UpdateWorkflowRequest>,
    ) -> Result<Response<Workflow>, Status> {
        unused()
    }

    async fn delete_workflow(
        &self,
        _: Request<DeleteWorkflowRequest>,
    ) -> Result<Response<()>, Status> {
        unused()
    }

    async fn list_workflow_versions(
        &self,
        _: Request<ListWorkflowVersionsRequest>,
    ) -> Result<Response<ListWorkflowVersionsResponse>, Status> {
        unused()
    }
}

#[tonic::async_trait]
impl ExecutionService for Workflows {
    type WatchExecutionStream = stream::Empty<Result<ExecutionEvent, Status>>;

    async fn execute_workflow(
        &self,
        request: Request<ExecuteWorkflowRequest>,
    ) -> Result<Response<Execution>, Status> {
        let (caller, request) = Caller::split(request)?;
        let mut inner = self.0.lock().unwrap();
        inner.started.push((caller, request.clone()));
        if !inner.failures.is_empty() {
            return Err(inner.failures.remove(0));
        }
        let next = format!("execution-{}", inner.by_request.len() + 1);
        let id = inner.by_request.entry(request.request_id).or_insert(next).clone();
        Ok(Response::new(Execution { id, ..Default::default() }))
    }

    async fn get_execution(
        &self,
        _: Request<GetExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        unused()
    }

    async fn list_executions(
        &self,
        _: Request<ListExecutionsRequest>,
    ) -> Result<Response<ListExecutionsResponse>, Status> {
        unused()
    }

    async fn cancel_execution(
        &self,
        _: Request<CancelExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        unused()
    }

    async fn list_step_runs(
        &self,
        _: Request<ListStepRunsRequest>,
    ) -> Result<Response<ListStepRunsResponse>, Status> {
        unused()
    }

    async fn watch_execution(
        &self,
        _: Request<WatchExecutionRequest>,
    ) -> Result<Response<Self::WatchExecutionStream>, Status> {
        unused()
    }
}

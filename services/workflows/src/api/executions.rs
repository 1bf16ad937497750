//! `ExecutionService`.

use lightning_mesh::idempotency::Key;
use lightning_mesh::identity::Caller;
use lightning_proto::workflows::v1::{
    self as pb, ErrorReason as Reason, execution_service_server::ExecutionService,
};
use tonic::{Request, Response, Status, metadata::MetadataValue};

use super::{Api, watch};
use crate::{convert, domain::ExecutionId, repeat::Reply};

/// The longest reason for a cancellation, in characters.
const REASON: usize = 500;
/// The status that the REST side shows instead of the declared one.
const HTTP_CODE: &str = "x-http-code";

#[tonic::async_trait]
impl ExecutionService for Api {
    type WatchExecutionStream = watch::Events;

    async fn get_execution(
        &self,
        request: Request<pb::GetExecutionRequest>,
    ) -> Result<Response<pb::Execution>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::id("id", &request.id, ExecutionId::parse, Reason::ExecutionInvalid)?;
        let (execution, steps) = self.executions.get(&caller, &id).await?;
        Ok(Response::new(convert::with_steps(execution, steps)))
    }

    async fn list_executions(
        &self,
        request: Request<pb::ListExecutionsRequest>,
    ) -> Result<Response<pb::ListExecutionsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (filter, page) = convert::execution_list(&request)?;
        let listed = self.executions.list(caller.organization()?, &filter, &page).await?;
        let (executions, next_page_token) = listed;
        let executions = executions.into_iter().map(convert::execution).collect();
        Ok(Response::new(pb::ListExecutionsResponse { executions, next_page_token }))
    }

    async fn execute_workflow(
        &self,
        request: Request<pb::ExecuteWorkflowRequest>,
    ) -> Result<Response<pb::Execution>, Status> {
        let (caller, mut request) = Caller::split(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let key = Key::of(&caller, "ExecuteWorkflow", request_id, &request)?;
        let start = convert::start(request)?;
        let detached = start.detached;
        let first = match self.executions.start(&caller, start, key).await? {
            Reply::First(execution) => convert::execution(execution),
            Reply::Again(bytes) => convert::pending_reply(&bytes)?,
        };
        if detached {
            return Ok(Response::new(first));
        }
        let id = convert::id("id", &first.id, ExecutionId::parse, Reason::ExecutionInvalid)?;
        let (execution, steps) = self.executions.outcome(&caller, &id).await?;
        let mut response = Response::new(convert::with_steps(execution, steps));
        response.metadata_mut().insert(HTTP_CODE, MetadataValue::from_static("200"));
        Ok(response)
    }

    async fn cancel_execution(
        &self,
        request: Request<pb::CancelExecutionRequest>,
    ) -> Result<Response<pb::Execution>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::id("id", &request.id, ExecutionId::parse, Reason::ExecutionInvalid)?;
        let mut violations = lightning_mesh::fault::Violations::new();
        let fits = request.reason.chars().count() <= REASON;
        violations.check(fits, "reason", format!("must have at most {REASON} characters"));
        violations.finish(Reason::ExecutionInvalid)?;
        let execution = self.executions.cancel(&caller, &id, &request.reason).await?;
        Ok(Response::new(convert::execution(execution)))
    }

    async fn list_step_runs(
        &self,
        request: Request<pb::ListStepRunsRequest>,
    ) -> Result<Response<pb::ListStepRunsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (id, page) = convert::step_page(&request)?;
        let (_, steps) = self.executions.get(&caller, &id).await?;
        Ok(Response::new(convert::steps_response(steps, &page)))
    }

    async fn watch_execution(
        &self,
        request: Request<pb::WatchExecutionRequest>,
    ) -> Result<Response<Self::WatchExecutionStream>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::id("id", &request.id, ExecutionId::parse, Reason::ExecutionInvalid)?;
        self.executions.check_watch(&caller, &id).await?;
        let organization = caller.organization()?.to_owned();
        Ok(Response::new(watch::open(self.executions.engine().clone(), organization, id).await?))
    }
}

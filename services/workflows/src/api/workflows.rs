//! `WorkflowService`.

use lightning_mesh::idempotency::Key;
use lightning_mesh::identity::Caller;
use lightning_proto::workflows::v1::{
    self as pb, ErrorReason as Reason, workflow_service_server::WorkflowService,
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::Api;
use crate::{Error, convert, domain::WorkflowId, repeat::Reply};

#[tonic::async_trait]
impl WorkflowService for Api {
    async fn get_workflow(
        &self,
        request: Request<pb::GetWorkflowRequest>,
    ) -> Result<Response<pb::Workflow>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::id("id", &request.id, WorkflowId::parse, Reason::WorkflowInvalid)?;
        Ok(Response::new(self.workflows.get(&caller, &id).await?.into()))
    }

    async fn list_workflows(
        &self,
        request: Request<pb::ListWorkflowsRequest>,
    ) -> Result<Response<pb::ListWorkflowsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (name, page) = convert::workflow_list(&request)?;
        let organization = caller.organization()?;
        let listed = self.workflows.list(organization, name.as_deref(), &page).await?;
        let (workflows, next_page_token) = listed;
        let workflows = workflows.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListWorkflowsResponse { workflows, next_page_token }))
    }

    async fn create_workflow(
        &self,
        request: Request<pb::CreateWorkflowRequest>,
    ) -> Result<Response<pb::Workflow>, Status> {
        let (caller, mut request) = Caller::split(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let key = Key::of(&caller, "CreateWorkflow", request_id, &request)?;
        let draft = convert::draft(request)?;
        match self.workflows.create(&caller, draft, key).await? {
            Reply::First(workflow) => Ok(Response::new(workflow.into())),
            Reply::Again(bytes) => {
                let workflow = pb::Workflow::decode(bytes.as_slice());
                Ok(Response::new(workflow.map_err(|_| Error::Damaged { what: "an answer" })?))
            }
        }
    }

    async fn update_workflow(
        &self,
        request: Request<pb::UpdateWorkflowRequest>,
    ) -> Result<Response<pb::Workflow>, Status> {
        let (caller, request) = Caller::split(request)?;
        let change = convert::change(request)?;
        Ok(Response::new(self.workflows.update(&caller, change).await?.into()))
    }

    async fn delete_workflow(
        &self,
        request: Request<pb::DeleteWorkflowRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::id("id", &request.id, WorkflowId::parse, Reason::WorkflowInvalid)?;
        self.workflows.delete(&caller, &id, &request.etag).await?;
        Ok(Response::new(()))
    }

    async fn list_workflow_versions(
        &self,
        request: Request<pb::ListWorkflowVersionsRequest>,
    ) -> Result<Response<pb::ListWorkflowVersionsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (id, page) = convert::versions_page(&request)?;
        let listed = self.workflows.versions(&caller, &id, &page).await?;
        let (versions, next_page_token) = listed;
        let versions = versions.into_iter().map(|version| convert::version(&id, version)).collect();
        Ok(Response::new(pb::ListWorkflowVersionsResponse { versions, next_page_token }))
    }
}

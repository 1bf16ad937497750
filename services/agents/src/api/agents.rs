//! `lightning.agents.v1.AgentService`.

use std::mem;

use futures_util::{StreamExt, stream::BoxStream};
use lightning_mesh::idempotency::Key;
use lightning_mesh::identity::Caller;
use lightning_proto::agents::v1::{self as pb, ErrorReason, agent_service_server::AgentService};
use tonic::{Request, Response, Status, async_trait};

use super::Api;
use crate::{convert, domain::AgentId, repeat::Reply};

#[async_trait]
impl AgentService for Api {
    async fn get_agent(
        &self,
        request: Request<pb::GetAgentRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = agent_id("id", &request.id)?;
        Ok(Response::new(self.agents.get(&caller, &id).await?.into()))
    }

    async fn list_agents(
        &self,
        request: Request<pb::ListAgentsRequest>,
    ) -> Result<Response<pb::ListAgentsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (filter, page) = convert::agent_list(&request)?;
        let listed = self.agents.list(caller.organization()?, &filter, &page).await?;
        let (agents, next_page_token) = listed;
        let agents = agents.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListAgentsResponse { agents, next_page_token }))
    }

    async fn create_agent(
        &self,
        request: Request<pb::CreateAgentRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        let (caller, mut request) = Caller::split(request)?;
        let request_id = mem::take(&mut request.request_id);
        let key = Key::of(&caller, "CreateAgent", request_id, &request)?;
        let reply = self.agents.create(&caller, convert::new_agent(request)?, key).await?;
        Ok(Response::new(Reply::into_message(reply)?))
    }

    async fn update_agent(
        &self,
        request: Request<pb::UpdateAgentRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        let (caller, request) = Caller::split(request)?;
        let change = convert::change(request)?;
        Ok(Response::new(self.agents.update(&caller, change).await?.into()))
    }

    async fn delete_agent(
        &self,
        request: Request<pb::DeleteAgentRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = agent_id("id", &request.id)?;
        self.agents.delete(&caller, &id, &request.etag, request.force).await?;
        Ok(Response::new(()))
    }

    async fn set_agent_status(
        &self,
        request: Request<pb::SetAgentStatusRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (id, status) = (agent_id("id", &request.id)?, convert::status(&request)?);
        let agent = self.agents.set_status(&caller, &id, status, &request.etag).await?;
        Ok(Response::new(agent.into()))
    }

    async fn list_agent_versions(
        &self,
        request: Request<pb::ListAgentVersionsRequest>,
    ) -> Result<Response<pb::ListAgentVersionsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = agent_id("agent_id", &request.agent_id)?;
        let page = convert::versions_page(&request)?;
        let listed = self.agents.versions(&caller, &id, &page).await?;
        let (versions, next_page_token) = listed;
        let versions = versions.into_iter().map(convert::version).collect();
        Ok(Response::new(pb::ListAgentVersionsResponse { versions, next_page_token }))
    }

    async fn get_agent_workflow(
        &self,
        request: Request<pb::GetAgentWorkflowRequest>,
    ) -> Result<Response<pb::AgentWorkflow>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = agent_id("agent_id", &request.agent_id)?;
        let agent = self.agents.get(&caller, &id).await?;
        Ok(Response::new(convert::workflow_of(agent)))
    }

    async fn set_agent_workflow(
        &self,
        request: Request<pb::SetAgentWorkflowRequest>,
    ) -> Result<Response<pb::AgentWorkflow>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = agent_id("agent_id", &request.agent_id)?;
        let workflow = Some(request.workflow_id).filter(|id| !id.is_empty());
        let agent = self.agents.set_workflow(&caller, &id, workflow).await?;
        Ok(Response::new(convert::workflow_of(agent)))
    }

    async fn invoke_agent(
        &self,
        request: Request<pb::InvokeAgentRequest>,
    ) -> Result<Response<pb::Invocation>, Status> {
        let (caller, request) = Caller::split(request)?;
        let question = convert::question(request, "")?;
        Ok(Response::new(self.invocations.invoke(&caller, question).await?.into()))
    }

    type StreamInvocationStream = BoxStream<'static, Result<pb::InvocationEvent, Status>>;

    async fn stream_invocation(
        &self,
        request: Request<pb::StreamInvocationRequest>,
    ) -> Result<Response<Self::StreamInvocationStream>, Status> {
        let (caller, request) = Caller::split(request)?;
        let question = convert::question(request.invocation.unwrap_or_default(), "invocation.")?;
        let pieces = self.invocations.stream(&caller, question).await?;
        let events = pieces.map(|piece| piece.map(Into::into).map_err(Status::from));
        Ok(Response::new(events.boxed()))
    }
}

fn agent_id(path: &str, text: &str) -> Result<AgentId, Status> {
    Ok(convert::id(path, text, AgentId::parse, ErrorReason::AgentInvalid)?)
}

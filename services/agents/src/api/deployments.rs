//! `lightning.agents.v1.DeploymentService`.

use std::mem;

use lightning_mesh::idempotency::Key;
use lightning_mesh::identity::Caller;
use lightning_proto::agents::v1::{
    self as pb, ErrorReason, deployment_service_server::DeploymentService,
};
use tonic::{Request, Response, Status, async_trait};

use super::Api;
use crate::{
    convert,
    domain::{AgentId, DeploymentId},
    repeat::Reply,
};

#[async_trait]
impl DeploymentService for Api {
    async fn get_deployment(
        &self,
        request: Request<pb::GetDeploymentRequest>,
    ) -> Result<Response<pb::Deployment>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = deployment_id(&request.id)?;
        Ok(Response::new(self.deployments.get(&caller, &id).await?.into()))
    }

    async fn list_deployments(
        &self,
        request: Request<pb::ListDeploymentsRequest>,
    ) -> Result<Response<pb::ListDeploymentsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let given = &request.agent_id;
        let agent = convert::id("agent_id", given, AgentId::parse, ErrorReason::DeploymentInvalid)?;
        let (filter, page) = convert::deployment_list(&request)?;
        let listed = self.deployments.list(&caller, &agent, &filter, &page).await?;
        let (deployments, next_page_token) = listed;
        let deployments = deployments.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListDeploymentsResponse { deployments, next_page_token }))
    }

    async fn deploy_agent(
        &self,
        request: Request<pb::DeployAgentRequest>,
    ) -> Result<Response<pb::Deployment>, Status> {
        let (caller, mut request) = Caller::split(request)?;
        let request_id = mem::take(&mut request.request_id);
        let key = Key::of(&caller, "DeployAgent", request_id, &request)?;
        let reply = self.deployments.deploy(&caller, convert::order(&request)?, key).await?;
        Ok(Response::new(Reply::into_message(reply)?))
    }

    async fn stop_deployment(
        &self,
        request: Request<pb::StopDeploymentRequest>,
    ) -> Result<Response<pb::Deployment>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = deployment_id(&request.id)?;
        Ok(Response::new(self.deployments.stop(&caller, &id).await?.into()))
    }
}

fn deployment_id(text: &str) -> Result<DeploymentId, Status> {
    Ok(convert::id("id", text, DeploymentId::parse, ErrorReason::DeploymentInvalid)?)
}

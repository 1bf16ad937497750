//! An agents service that does what a test tells it: the id of an agent says how it behaves.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use lightning_mesh::{fault::Fault, identity::Caller};
use lightning_proto::agents::v1::{self as pb, ErrorReason, agent_service_server::AgentService};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, async_trait};

/// The fake service.
#[derive(Clone)]
pub(crate) struct Agents {
    /// Who is deployed.
    pub(crate) deployed: Arc<Mutex<Vec<pb::Agent>>>,
    /// Who asked for what.
    pub(crate) invocations: Arc<Mutex<Vec<(Caller, pb::InvokeAgentRequest)>>>,
    /// Where the agent `slow` waits, and what it gives when it begins to.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) began: Arc<Semaphore>,
}

impl Agents {
    pub(crate) fn new() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self {
            deployed: Arc::default(),
            invocations: Arc::default(),
            gate: closed(),
            began: closed(),
        }
    }

    /// Deploys an agent of this id and name, newer than those before it.
    pub(crate) fn deploy(&self, id: &str, name: &str) {
        let mut deployed = self.deployed.lock().unwrap();
        let seconds = i64::try_from(deployed.len()).unwrap();
        let create_time = Some(lightning_mesh::clock::Timestamp::from_micros(seconds).to_proto());
        let agent =
            pb::Agent { id: id.into(), name: name.into(), create_time, ..Default::default() };
        deployed.push(agent);
    }
}

#[async_trait]
impl AgentService for Agents {
    /// One agent a page, so that whoever reads on has to read tokens.
    async fn list_agents(
        &self,
        request: Request<pb::ListAgentsRequest>,
    ) -> Result<Response<pb::ListAgentsResponse>, Status> {
        let request = request.into_inner();
        assert_eq!(request.filter, "status = \"deployed\"");
        let deployed = self.deployed.lock().unwrap();
        let at: usize = request.page_token.parse().unwrap_or_default();
        let next = if at + 1 < deployed.len() { (at + 1).to_string() } else { String::new() };
        let agents = deployed.get(at).cloned().into_iter().collect();
        Ok(Response::new(pb::ListAgentsResponse { agents, next_page_token: next }))
    }

    async fn invoke_agent(
        &self,
        request: Request<pb::InvokeAgentRequest>,
    ) -> Result<Response<pb::Invocation>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.invocations.lock().unwrap().push((caller, request.clone()));
        let refuse = |fault: Fault| Err(Status::from(fault.with("agent_id", &request.id)));
        match request.id.as_str() {
            "away" => return refuse(Fault::precondition(ErrorReason::AgentNotDeployed)),
            "missing" => return refuse(Fault::not_found(ErrorReason::AgentNotFound)),
            "busy" => {
                let fault = Fault::exhausted(ErrorReason::ConcurrencyLimit);
                return refuse(fault.message("too busy").retry_after(Duration::from_secs(3)));
            }
            "slow" => {
                self.began.add_permits(1);
                self.gate.acquire().await.expect("the gate is never closed").forget();
            }
            _ => {}
        }
        let output = format!("{} did: {}", request.id, request.input);
        Ok(Response::new(pb::Invocation { output, ..Default::default() }))
    }

    async fn get_agent(
        &self,
        _: Request<pb::GetAgentRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn create_agent(
        &self,
        _: Request<pb::CreateAgentRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn update_agent(
        &self,
        _: Request<pb::UpdateAgentRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn delete_agent(
        &self,
        _: Request<pb::DeleteAgentRequest>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn set_agent_status(
        &self,
        _: Request<pb::SetAgentStatusRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn list_agent_versions(
        &self,
        _: Request<pb::ListAgentVersionsRequest>,
    ) -> Result<Response<pb::ListAgentVersionsResponse>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn get_agent_workflow(
        &self,
        _: Request<pb::GetAgentWorkflowRequest>,
    ) -> Result<Response<pb::AgentWorkflow>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    async fn set_agent_workflow(
        &self,
        _: Request<pb::SetAgentWorkflowRequest>,
    ) -> Result<Response<pb::AgentWorkflow>, Status> {
        Err(Status::unimplemented("not used here"))
    }

    type StreamInvocationStream =
        Pin<Box<dyn futures_util::Stream<Item = Result<pb::InvocationEvent, Status>> + Send>>;

    async fn stream_invocation(
        &self,
        _: Request<pb::StreamInvocationRequest>,
    ) -> Result<Response<Self::StreamInvocationStream>, Status> {
        Err(Status::unimplemented("not used here"))
    }
}

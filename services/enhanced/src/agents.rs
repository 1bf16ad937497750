//! The agents service as this one sees it: who is deployed, and asking one of them.
//!
//! Both run on behalf of the caller. Holding `agents.invoke` is enough to give a task, so the look for
//! the best agent borrows `agents.read` for that one call; of what it reads the caller learns only an
//! id.

use std::collections::BTreeMap;

use lightning_mesh::{channel::Peers, clock::Timestamp, fault, identity::Caller, json};
use lightning_proto::agents::v1::{
    Agent, ErrorReason, InvokeAgentRequest, ListAgentsRequest,
    agent_service_client::AgentServiceClient,
};
use serde_json::Value;
use tonic::Status;

use crate::{
    Error,
    domain::matching::{Candidate, Profile, Words},
};

/// The most deployed agents that are looked at: the newest ones.
const MAX_AGENTS: usize = 10_000;
/// How many agents are asked for at once; the agents service ends a page of large ones earlier.
const PAGE: i32 = 1_000;

/// The agents.
#[derive(Clone)]
pub(crate) struct Agents {
    peers: Peers,
    environment: String,
}

// === impl Agents ===

impl Agents {
    pub(crate) fn new(peers: Peers, environment: String) -> Self {
        Self { peers, environment }
    }

    /// The deployed agents, the one that fits the task best first.
    pub(crate) async fn best(&self, caller: &Caller, task: &str) -> Result<Vec<String>, Error> {
        let words = Words::of(task);
        let reader = lend(caller, "agents.read");
        let mut agents = AgentServiceClient::new(self.peers.channel("agents"));
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListAgentsRequest {
                page_size: PAGE,
                page_token,
                filter: "status = \"deployed\"".to_owned(),
                ..ListAgentsRequest::default()
            };
            let answer = agents.list_agents(reader.request(request)).await;
            let answer = answer.map_err(failed)?.into_inner();
            candidates.extend(answer.agents.iter().map(|agent| rate(&words, agent)));
            page_token = answer.next_page_token;
            if page_token.is_empty() || candidates.len() >= MAX_AGENTS {
                break;
            }
        }
        candidates.sort_by(|a, b| b.cmp(a));
        Ok(candidates.into_iter().map(|candidate| candidate.id).collect())
    }

    /// Asks an agent and answers what it says.
    pub(crate) async fn ask(
        &self,
        caller: &Caller,
        agent_id: &str,
        input: &str,
        context: &BTreeMap<String, Value>,
    ) -> Result<String, Status> {
        let context: serde_json::Map<_, _> = context.clone().into_iter().collect();
        let request = InvokeAgentRequest {
            id: agent_id.to_owned(),
            input: input.to_owned(),
            context: Some(json::to_struct(context)),
            environment: self.environment.clone(),
            ..InvokeAgentRequest::default()
        };
        let mut agents = AgentServiceClient::new(self.peers.channel("agents"));
        let answer = agents.invoke_agent(caller.request(request)).await?;
        Ok(answer.into_inner().output)
    }
}

/// Whether an agent refused because it takes no calls here, so that nothing was done and another may
/// be asked: it is deployed elsewhere only, or was stopped or deleted since it was found.
pub(crate) fn is_away(status: &Status) -> bool {
    [ErrorReason::AgentNotDeployed, ErrorReason::AgentNotFound, ErrorReason::AgentArchived]
        .into_iter()
        .any(|reason| fault::has_reason(status, reason))
}

fn rate(words: &Words, agent: &Agent) -> Candidate {
    let created = agent.create_time.as_ref().and_then(Timestamp::from_proto).unwrap_or_default();
    let profile = Profile {
        name: &agent.name,
        description: &agent.description,
        instructions: &agent.instructions,
        agent_type: &agent.agent_type,
    };
    words.rate(agent.id.clone(), created, profile)
}

fn lend(caller: &Caller, permission: &str) -> Caller {
    let mut borrower = caller.clone();
    if !borrower.permits(permission) {
        borrower.permissions.push(permission.to_owned());
    }
    borrower
}

fn failed(status: Status) -> Error {
    Error::Agents { status: Box::new(status), task_id: None }
}

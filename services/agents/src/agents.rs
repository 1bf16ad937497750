//! Designing agents: making them, changing them, listing them, ending them.
//!
//! Every change reads the agent, decides on what it read, and writes only if it is still so. A caller
//! who sent an etag hears of a race; for one who did not, the last writer wins, so the change is
//! decided again on what is there by then.

use std::sync::Arc;

use lightning_mesh::{
    channel::Peers,
    clock::{Clock, Timestamp},
    etag,
    idempotency::Key,
    identity::Caller,
    page::Page,
};
use lightning_proto::{
    agents::v1 as pb,
    workflows::v1::{GetWorkflowRequest, workflow_service_client::WorkflowServiceClient},
};
use tonic::Code;

use crate::{
    Error,
    access::{self, READ, WRITE},
    domain::{Agent, AgentId, Change, DEFAULT_PERMISSIONS, Design, Maker, NewAgent, Status},
    pages,
    peer::Failure,
    repeat::{self, Reply},
    store::{AgentFilter, Store, Written},
    tally::Tally,
    templates::Templates,
};

/// How often a change without etag is decided again when others were faster.
const ATTEMPTS: usize = 8;

/// The agents.
#[derive(Clone)]
pub(crate) struct Agents {
    store: Store,
    templates: Arc<Templates>,
    peers: Peers,
    clock: Clock,
    tally: Arc<Tally>,
}

// === impl Agents ===

impl Agents {
    pub(crate) fn new(
        store: Store,
        templates: Arc<Templates>,
        peers: Peers,
        clock: Clock,
        tally: Arc<Tally>,
    ) -> Self {
        Self { store, templates, peers, clock, tally }
    }

    pub(crate) async fn get(&self, caller: &Caller, id: &AgentId) -> Result<Agent, Error> {
        let agent = self.store.agent(caller.organization()?, id).await?;
        access::check(caller, READ, &agent)?;
        Ok(agent)
    }

    /// A page of agents and the token of the next.
    pub(crate) async fn list(
        &self,
        organization: &str,
        filter: &AgentFilter,
        page: &Page,
    ) -> Result<(Vec<Agent>, String), Error> {
        let ascending = page.order() == "create_time";
        pages::fill(
            page,
            |agent: &Agent| (agent.create_time.as_micros(), agent.id.to_string()),
            |agent| agent.design.size(),
            |after, limit| self.store.agents(organization, filter, ascending, after, limit),
        )
        .await
    }

    /// A page of the versions of an agent, newest first, and the token of the next.
    pub(crate) async fn versions(
        &self,
        caller: &Caller,
        id: &AgentId,
        page: &Page,
    ) -> Result<(Vec<Agent>, String), Error> {
        let agent = self.get(caller, id).await?;
        let organization = agent.organization_id.as_str();
        pages::fill(
            page,
            |agent: &Agent| (i64::from(agent.version), String::new()),
            |agent| agent.design.size(),
            |after, limit| {
                let below = after.map_or(i64::MAX, |(number, _)| number);
                self.store.versions(organization, id, below, limit)
            },
        )
        .await
    }

    /// Makes an agent, from its template if it names one.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: NewAgent,
        key: Option<Key>,
    ) -> Result<Reply<Agent>, Error> {
        if let Some(reply) = self.store.recall(key.as_ref()).await? {
            return Ok(Reply::Again(reply));
        }
        let base = match &new.template_id {
            Some(id) => self.templates.get(id)?.design.clone(),
            None => Design::default(),
        };
        let id = new.id.unwrap_or_else(AgentId::generate);
        let maker = maker(caller, new.permissions)?;
        let design = new.patch.apply(base);
        let agent = Agent::new(maker, id, new.template_id, design, self.clock.now());
        access::check(caller, WRITE, &agent)?;
        let once = key.map(|key| repeat::once(key, &pb::Agent::from(agent.clone())));
        match self.store.insert_agent(&agent, once).await? {
            Written::Before(reply) => Ok(Reply::Again(reply)),
            Written::Now(_) => {
                self.tally.agents(1);
                tracing::info!(agent_id = %agent.id, "agent created");
                Ok(Reply::First(agent))
            }
        }
    }

    /// Changes the design, which makes the next version.
    pub(crate) async fn update(&self, caller: &Caller, change: Change) -> Result<Agent, Error> {
        let Change { id, etag, template_id, patch, permissions } = change;
        self.evolve(caller, &id, &etag, |agent, now| {
            if template_id.is_some() && template_id != agent.template_id {
                return Err(Error::TemplateFixed);
            }
            let mut after = agent.redesigned(patch.clone().apply(agent.design.clone()), now);
            if let Some(permissions) = &permissions {
                let news = permissions.iter().filter(|one| !agent.permissions.contains(one));
                check_rights(caller, news)?;
                after.permissions.clone_from(permissions);
            }
            Ok(Some(after))
        })
        .await
    }

    /// Moves an agent to another status.
    pub(crate) async fn set_status(
        &self,
        caller: &Caller,
        id: &AgentId,
        status: Status,
        etag: &str,
    ) -> Result<Agent, Error> {
        self.evolve(caller, id, etag, |agent, now| {
            let moves = agent.status != status;
            moves.then(|| agent.moved(status, now)).transpose()
        })
        .await
    }

    /// Attaches a workflow, which makes the next version; or detaches it. Attaching what is attached
    /// changes nothing.
    pub(crate) async fn set_workflow(
        &self,
        caller: &Caller,
        id: &AgentId,
        workflow_id: Option<String>,
    ) -> Result<Agent, Error> {
        let agent = self.store.agent(caller.organization()?, id).await?;
        access::check(caller, WRITE, &agent)?;
        if let Some(workflow_id) = &workflow_id {
            self.check_workflow(caller, workflow_id).await?;
        }
        self.evolve(caller, id, "", |agent, now| {
            let design = Design { workflow_id: workflow_id.clone(), ..agent.design.clone() };
            Ok((design != agent.design).then(|| agent.redesigned(design, now)))
        })
        .await
    }

    /// Deletes an agent with its versions and deployments.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        id: &AgentId,
        etag: &str,
        force: bool,
    ) -> Result<(), Error> {
        let organization = caller.organization()?;
        for _ in 0..ATTEMPTS {
            let agent = self.store.agent(organization, id).await?;
            access::check(caller, WRITE, &agent)?;
            check_etag(etag, &agent)?;
            if agent.status == Status::Deployed && !force {
                return Err(Error::AgentDeployed { id: id.clone() });
            }
            if let Some(stopped) = self.store.delete_agent(&agent).await? {
                self.tally.agents(-1);
                self.tally.deployments_active(-i64::try_from(stopped).unwrap_or_default());
                tracing::info!(agent_id = %id, stopped, "agent deleted");
                return Ok(());
            }
        }
        Err(Error::Contended)
    }

    /// Reads an agent, lets `decide` say what becomes of it, and writes that unless it is `None`. The
    /// caller must be allowed to write it as it was and as it becomes, so that nobody changes labels to
    /// get around a policy.
    async fn evolve(
        &self,
        caller: &Caller,
        id: &AgentId,
        etag: &str,
        decide: impl Fn(&Agent, Timestamp) -> Result<Option<Agent>, Error>,
    ) -> Result<Agent, Error> {
        let organization = caller.organization()?;
        for _ in 0..ATTEMPTS {
            let before = self.store.agent(organization, id).await?;
            access::check(caller, WRITE, &before)?;
            check_etag(etag, &before)?;
            let Some(after) = decide(&before, self.clock.now())? else {
                return Ok(before);
            };
            if after.design.labels != before.design.labels {
                access::check(caller, WRITE, &after)?;
            }
            if self.store.update_agent(&before, &after).await? {
                let (version, status) = (after.version, after.status.as_str());
                tracing::info!(agent_id = %id, version, status, "agent changed");
                return Ok(after);
            }
        }
        Err(Error::Contended)
    }

    /// Asks the workflows service on the caller's own right: whoever may not read workflows should
    /// not learn here which there are.
    async fn check_workflow(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let mut workflows = WorkflowServiceClient::new(self.peers.channel("workflows"));
        let request = caller.request(GetWorkflowRequest { id: id.to_owned() });
        match workflows.get_workflow(request).await {
            Ok(_) => Ok(()),
            Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => {
                Err(Error::WorkflowNotFound { id: id.to_owned() })
            }
            Err(status) => Err(Error::PeerFailed(Box::new(Failure::of("workflows", &status)))),
        }
    }
}

/// Who makes an agent, with the rights that it gets: those that were asked for, which must be the
/// maker's own, or what is common to the maker and every new agent.
fn maker(caller: &Caller, asked: Option<Vec<String>>) -> Result<Maker, Error> {
    let permissions = if let Some(asked) = asked {
        check_rights(caller, &asked)?;
        asked
    } else {
        let usual = DEFAULT_PERMISSIONS.map(str::to_owned);
        caller.clone().acted_for_by("agent", &usual).permissions
    };
    Ok(Maker {
        organization_id: caller.organization()?.to_owned(),
        owner_id: caller.user_id().unwrap_or_default().to_owned(),
        permissions,
    })
}

/// Nobody gives an agent a right that is not theirs. A pattern is held by whoever holds all that it
/// covers.
fn check_rights<'a>(
    caller: &Caller,
    given: impl IntoIterator<Item = &'a String>,
) -> Result<(), Error> {
    match given.into_iter().find(|right| !caller.permits(right)) {
        Some(right) => Err(Error::RightNotHeld { permission: right.clone() }),
        None => Ok(()),
    }
}

fn check_etag(given: &str, agent: &Agent) -> Result<(), Error> {
    if etag::matches(given, agent.revision) { Ok(()) } else { Err(Error::EtagMismatch) }
}

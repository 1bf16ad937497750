//! Putting agents to work: deployments begin, supersede each other and end.

use std::sync::Arc;

use lightning_mesh::{clock::Clock, idempotency::Key, identity::Caller, page::Page};
use lightning_proto::agents::v1 as pb;

use crate::{
    Error,
    access::{self, DEPLOY, READ},
    domain::{AgentId, Deployment, DeploymentId, DeploymentStatus, Order},
    pages,
    repeat::{self, Reply},
    store::{DeploymentFilter, Store, Written},
    tally::Tally,
};

/// About how many bytes a deployment takes on the wire.
const SIZE: usize = 512;

/// The deployments.
#[derive(Clone)]
pub(crate) struct Deployments {
    store: Store,
    clock: Clock,
    tally: Arc<Tally>,
}

// === impl Deployments ===

impl Deployments {
    pub(crate) fn new(store: Store, clock: Clock, tally: Arc<Tally>) -> Self {
        Self { store, clock, tally }
    }

    pub(crate) async fn get(
        &self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<Deployment, Error> {
        self.allowed(caller, READ, id).await
    }

    /// A page of the deployments of an agent and the token of the next.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        agent: &AgentId,
        filter: &DeploymentFilter,
        page: &Page,
    ) -> Result<(Vec<Deployment>, String), Error> {
        let organization = caller.organization()?;
        access::check(caller, READ, &self.store.agent(organization, agent).await?)?;
        let ascending = page.order() == "create_time";
        pages::fill(
            page,
            |each: &Deployment| (each.create_time.as_micros(), each.id.to_string()),
            |_| SIZE,
            |after, limit| {
                self.store.deployments(organization, agent, filter, ascending, after, limit)
            },
        )
        .await
    }

    /// Deploys a version to an environment, in place of what is there.
    pub(crate) async fn deploy(
        &self,
        caller: &Caller,
        order: Order,
        key: Option<Key>,
    ) -> Result<Reply<Deployment>, Error> {
        if let Some(reply) = self.store.recall(key.as_ref()).await? {
            return Ok(Reply::Again(reply));
        }
        let organization = caller.organization()?;
        let agent = self.store.agent(organization, &order.agent_id).await?;
        access::check(caller, DEPLOY, &agent)?;
        agent.check_deployable()?;
        let version = order.version.unwrap_or(agent.version);
        self.store.check_version(&agent, version).await?;

        let (id, now) = (DeploymentId::generate(), self.clock.now());
        let new = order.deployment(organization, id, version, now);
        let once = key.map(|key| repeat::once(key, &pb::Deployment::from(new.clone())));
        let Some(written) = self.store.insert_deployment(&new, once).await? else {
            // Deleted or archived since it was read.
            self.store.agent(organization, &agent.id).await?;
            return Err(Error::AgentArchived { id: agent.id });
        };
        if let Some(superseded) = written.superseded() {
            self.tally.deployments_active(1 - i64::try_from(superseded).unwrap_or_default());
        }
        match written {
            Written::Before(reply) => Ok(Reply::Again(reply)),
            Written::Now(_) => {
                let environment = new.environment.as_str();
                tracing::info!(agent_id = %agent.id, version, environment, "agent deployed");
                Ok(Reply::First(new))
            }
        }
    }

    /// Stops a deployment. One that has ended is answered as it is.
    pub(crate) async fn stop(
        &self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<Deployment, Error> {
        let deployment = self.allowed(caller, DEPLOY, id).await?;
        if deployment.status == DeploymentStatus::Active
            && self.store.stop_deployment(&deployment, self.clock.now()).await?
        {
            self.tally.deployments_active(-1);
            tracing::info!(agent_id = %deployment.agent_id, deployment_id = %id, "deployment stopped");
        }
        self.store.deployment(caller.organization()?, id).await
    }

    /// A deployment of an agent to which the caller may do this.
    async fn allowed(
        &self,
        caller: &Caller,
        permission: &str,
        id: &DeploymentId,
    ) -> Result<Deployment, Error> {
        let organization = caller.organization()?;
        let deployment = self.store.deployment(organization, id).await?;
        let agent = self.store.agent(organization, &deployment.agent_id).await?;
        access::check(caller, permission, &agent)?;
        Ok(deployment)
    }
}

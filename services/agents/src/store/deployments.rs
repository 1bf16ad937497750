//! Rows of deployments.
//!
//! Every batch that begins or ends one touches the agent's row first. That row is the lock: on
//! PostgreSQL two of them would otherwise not see each other, and an agent whose last two deployments
//! stop at once would stay `deployed`.

use std::collections::BTreeMap;

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Expect, Once, Row, params};

use super::{
    After, Store, Written,
    agents::{design, map, permissions},
    not_as_expected, number,
};
use crate::{
    Error,
    domain::{AgentId, Deployment, DeploymentId, DeploymentStatus, Design},
};

/// Selects deployments; the tail filters and orders.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT d.organization_id, d.id, d.agent_id, d.agent_version, d.environment, d.replicas,
                d.status, d.create_time, d.end_time FROM deployments d ",
            $tail
        )
    };
}

const GET: &str = select!("WHERE d.organization_id = $1 AND d.id = $2");

const LIST: &str = select!(
    "WHERE d.organization_id = $7 AND d.agent_id = $1 AND (d.create_time, d.id) < ($2, $3)
        AND (CAST($4 AS TEXT) IS NULL OR d.status = $4)
        AND (CAST($5 AS TEXT) IS NULL OR d.environment = $5)
    ORDER BY d.create_time DESC, d.id DESC LIMIT $6"
);

const LIST_ASCENDING: &str = select!(
    "WHERE d.organization_id = $7 AND d.agent_id = $1 AND (d.create_time, d.id) > ($2, $3)
        AND (CAST($4 AS TEXT) IS NULL OR d.status = $4)
        AND (CAST($5 AS TEXT) IS NULL OR d.environment = $5)
    ORDER BY d.create_time, d.id LIMIT $6"
);

const ACTIVE: &str =
    "SELECT d.organization_id, d.id, d.agent_id, d.agent_version, d.environment, d.replicas, d.status,
        a.permissions, d.create_time, d.end_time, v.name, v.description, v.agent_type, v.model, v.instructions,
        v.temperature, v.max_output_tokens, v.config, v.labels, v.workflow_id, a.owner_id,
        h.labels AS labels_now
    FROM deployments d
    JOIN agents a ON a.organization_id = d.organization_id AND a.id = d.agent_id
    JOIN agent_versions v ON v.organization_id = d.organization_id AND v.agent_id = d.agent_id
        AND v.version = d.agent_version
    JOIN agent_versions h ON h.organization_id = a.organization_id AND h.agent_id = a.id
        AND h.version = a.version
    WHERE d.organization_id = $1 AND d.agent_id = $2 AND d.environment = $3 AND d.status = 'active'";

const MARK_DEPLOYED: &str =
    "UPDATE agents SET status = 'deployed', revision = revision + 1, update_time = $2
    WHERE organization_id = $3 AND id = $1 AND status <> 'archived'";

const SUPERSEDE: &str = "UPDATE deployments SET status = 'superseded', end_time = $3
    WHERE organization_id = $4 AND agent_id = $1 AND environment = $2 AND status = 'active'";

const INSERT: &str = "INSERT INTO deployments
    (id, agent_id, agent_version, environment, replicas, status, create_time, end_time, organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8)";

const TOUCH: &str = "UPDATE agents SET revision = revision + 1, update_time = $2
    WHERE organization_id = $3 AND id = $1";

const STOP: &str = "UPDATE deployments SET status = 'stopped', end_time = $2
    WHERE organization_id = $3 AND id = $1 AND status = 'active'";

const MARK_ACTIVE: &str = "UPDATE agents SET status = 'active'
    WHERE organization_id = $2 AND id = $1 AND status = 'deployed' AND NOT EXISTS
        (SELECT 1 FROM deployments
            WHERE organization_id = $2 AND agent_id = $1 AND status = 'active')";

/// A deployment that takes calls, and what is said of its agent now.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) deployment: Deployment,
    /// The design that the deployment pins.
    pub(crate) design: Design,
    /// What the agent may do at most.
    pub(crate) permissions: Vec<String>,
    /// The user who made the agent; empty if it was none.
    pub(crate) owner_id: String,
    /// The labels of the agent's newest version: a label that a policy looks at counts at once, also for
    /// what is deployed.
    pub(crate) labels: BTreeMap<String, String>,
}

/// Which deployments of an agent to list; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeploymentFilter {
    pub(crate) status: Option<DeploymentStatus>,
    pub(crate) environment: Option<String>,
}

// === impl Store ===

impl Store {
    pub(crate) async fn deployment(
        &self,
        organization: &str,
        id: &DeploymentId,
    ) -> Result<Deployment, Error> {
        let row = self.db.query_opt(GET, params![organization, id.as_str()]).await?;
        row.as_ref().map_or_else(|| Err(Error::DeploymentNotFound { id: id.clone() }), deployment)
    }

    /// The deployment that takes calls.
    pub(crate) async fn active_deployment(
        &self,
        organization: &str,
        agent: &AgentId,
        environment: &str,
    ) -> Result<Option<Active>, Error> {
        let params = params![organization, agent.as_str(), environment];
        let row = self.db.query_opt(ACTIVE, params).await?;
        let active = |row: Row| {
            Ok(Active {
                deployment: deployment(&row)?,
                design: design(&row)?,
                permissions: permissions(&row)?,
                owner_id: row.text("owner_id")?,
                labels: map(&row, "labels_now")?,
            })
        };
        row.map(active).transpose()
    }

    /// At most `limit` deployments of an agent by time of creation.
    pub(crate) async fn deployments(
        &self,
        organization: &str,
        agent: &AgentId,
        filter: &DeploymentFilter,
        ascending: bool,
        after: After,
        limit: i64,
    ) -> Result<Vec<Deployment>, Error> {
        let (sql, first) = if ascending { (LIST_ASCENDING, i64::MIN) } else { (LIST, i64::MAX) };
        let (time, id) = after.unwrap_or((first, String::new()));
        let status = filter.status.map(DeploymentStatus::as_str);
        let environment = filter.environment.as_ref();
        let params = params![agent.as_str(), time, id, status, environment, limit, organization];
        self.db.query(sql, params).await?.iter().map(deployment).collect()
    }

    /// Writes a new deployment in place of the active one. `None` if the agent is gone or archived.
    pub(crate) async fn insert_deployment(
        &self,
        new: &Deployment,
        once: Option<Once>,
    ) -> Result<Option<Written>, Error> {
        let (organization, agent) = (&new.organization_id, new.agent_id.as_str());
        let now = new.create_time.as_micros();
        let row = params![
            new.id.as_str(),
            agent,
            new.agent_version,
            &new.environment,
            new.replicas,
            new.status.as_str(),
            now,
            organization,
        ];
        let batch = Batch::new()
            .then_expect(MARK_DEPLOYED, params![agent, now, organization], Expect::Rows(1))
            .then(SUPERSEDE, params![agent, &new.environment, now, organization])
            .then(INSERT, row);
        match self.write_once(once, batch, now).await {
            Ok(written) => Ok(Some(written)),
            Err(error) if not_as_expected(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stops a deployment if it is active; tells whether it was.
    pub(crate) async fn stop_deployment(
        &self,
        deployment: &Deployment,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (id, agent) = (deployment.id.as_str(), deployment.agent_id.as_str());
        let (organization, now) = (&deployment.organization_id, now.as_micros());
        let batch = Batch::new()
            .then(TOUCH, params![agent, now, organization])
            .then_expect(STOP, params![id, now, organization], Expect::Rows(1))
            .then(MARK_ACTIVE, params![agent, organization]);
        match self.db.write(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if not_as_expected(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Written {
    /// How many active deployments the new one took the place of; nothing if it was written before.
    pub(crate) fn superseded(&self) -> Option<u64> {
        match self {
            Self::Now(done) => Some(done.get(1).map_or(0, |superseded| superseded.changed)),
            Self::Before(_) => None,
        }
    }
}

fn deployment(row: &Row) -> Result<Deployment, Error> {
    let stored = |what| Error::Stored { what };
    Ok(Deployment {
        organization_id: row.text("organization_id")?,
        id: DeploymentId::parse(&row.text("id")?).map_err(|_| stored("a deployment's id"))?,
        agent_id: AgentId::parse(&row.text("agent_id")?).map_err(|_| stored("an agent's id"))?,
        agent_version: number(row, "agent_version")?,
        environment: row.text("environment")?,
        replicas: number(row, "replicas")?,
        status: DeploymentStatus::parse(&row.text("status")?)
            .ok_or_else(|| stored("a deployment's status"))?,
        create_time: Timestamp::from_micros(row.integer("create_time")?),
        end_time: row.opt_integer("end_time")?.map(Timestamp::from_micros),
    })
}

//! Rows of agents: the head, joined with the version that it points at.

use std::collections::BTreeMap;

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Expect, Once, Params, Row, params};
use serde::de::DeserializeOwned;

use super::{After, Store, Written, not_as_expected, number, taken};
use crate::{
    Error,
    domain::{Agent, AgentId, AgentType, Design, Status},
};

/// Selects agents as they are now; the tail filters and orders.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT a.organization_id, a.id, a.template_id, a.status, a.version, a.revision, a.owner_id,
                a.permissions, a.create_time, a.update_time,
                v.name, v.description, v.agent_type, v.model, v.instructions, v.temperature,
                v.max_output_tokens, v.config, v.labels, v.workflow_id
            FROM agents a JOIN agent_versions v ON v.organization_id = a.organization_id
                AND v.agent_id = a.id AND v.version = a.version ",
            $tail
        )
    };
}

const GET: &str = select!("WHERE a.organization_id = $1 AND a.id = $2");

const LIST: &str = select!(
    "WHERE a.organization_id = $8 AND (a.create_time, a.id) < ($1, $2)
        AND (CAST($3 AS TEXT) IS NULL OR a.status = $3)
        AND (CAST($4 AS TEXT) IS NULL OR v.agent_type = $4)
        AND (CAST($5 AS TEXT) IS NULL OR v.name = $5)
        AND (CAST($6 AS TEXT) IS NULL OR a.template_id = $6)
    ORDER BY a.create_time DESC, a.id DESC LIMIT $7"
);

const LIST_ASCENDING: &str = select!(
    "WHERE a.organization_id = $8 AND (a.create_time, a.id) > ($1, $2)
        AND (CAST($3 AS TEXT) IS NULL OR a.status = $3)
        AND (CAST($4 AS TEXT) IS NULL OR v.agent_type = $4)
        AND (CAST($5 AS TEXT) IS NULL OR v.name = $5)
        AND (CAST($6 AS TEXT) IS NULL OR a.template_id = $6)
    ORDER BY a.create_time, a.id LIMIT $7"
);

const INSERT: &str = "INSERT INTO agents
    (id, template_id, status, version, revision, create_time, update_time, organization_id, owner_id,
        permissions)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const INSERT_VERSION: &str = "INSERT INTO agent_versions
    (agent_id, version, revision, status, name, description, agent_type, model, instructions,
        temperature, max_output_tokens, config, labels, workflow_id, create_time, organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

const UPDATE: &str = "UPDATE agents SET status = $3, version = $4, revision = $5, update_time = $6,
    permissions = $8 WHERE organization_id = $7 AND id = $1 AND revision = $2";

const STOP_ALL: &str = "DELETE FROM deployments
    WHERE organization_id = $1 AND agent_id = $2 AND status = 'active'";

const DELETE: &str = "DELETE FROM agents WHERE organization_id = $1 AND id = $2 AND revision = $3";

/// Which agents to list; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct AgentFilter {
    pub(crate) status: Option<Status>,
    pub(crate) agent_type: Option<AgentType>,
    pub(crate) name: Option<String>,
    pub(crate) template_id: Option<String>,
}

// === impl Store ===

impl Store {
    pub(crate) async fn agent(&self, organization: &str, id: &AgentId) -> Result<Agent, Error> {
        let row = self.db.query_opt(GET, params![organization, id.as_str()]).await?;
        row.as_ref().map_or_else(|| Err(Error::AgentNotFound { id: id.clone() }), agent)
    }

    /// At most `limit` agents by time of creation.
    pub(crate) async fn agents(
        &self,
        organization: &str,
        filter: &AgentFilter,
        ascending: bool,
        after: After,
        limit: i64,
    ) -> Result<Vec<Agent>, Error> {
        let (sql, first) = if ascending { (LIST_ASCENDING, i64::MIN) } else { (LIST, i64::MAX) };
        let (time, id) = after.unwrap_or((first, String::new()));
        let AgentFilter { status, agent_type, name, template_id } = filter;
        let params = params![
            time,
            id,
            status.map(Status::as_str),
            agent_type.map(AgentType::as_str),
            name.as_ref(),
            template_id.as_ref(),
            limit,
            organization,
        ];
        self.db.query(sql, params).await?.iter().map(agent).collect()
    }

    /// Writes a new agent with its first version.
    pub(crate) async fn insert_agent(
        &self,
        agent: &Agent,
        once: Option<Once>,
    ) -> Result<Written, Error> {
        let head = params![
            agent.id.as_str(),
            agent.template_id.as_ref(),
            agent.status.as_str(),
            agent.version,
            agent.revision,
            agent.create_time.as_micros(),
            agent.update_time.as_micros(),
            &agent.organization_id,
            &agent.owner_id,
            rights(agent),
        ];
        let batch = Batch::new().then(INSERT, head).then(INSERT_VERSION, version(agent));
        match self.write_once(once, batch, agent.create_time.as_micros()).await {
            Err(error) if taken(&error) => Err(Error::AgentExists { id: agent.id.clone() }),
            other => other,
        }
    }

    /// Writes what an agent became, if it still is what it was; tells whether it was.
    pub(crate) async fn update_agent(&self, before: &Agent, after: &Agent) -> Result<bool, Error> {
        let head = params![
            after.id.as_str(),
            before.revision,
            after.status.as_str(),
            after.version,
            after.revision,
            after.update_time.as_micros(),
            &after.organization_id,
            rights(after),
        ];
        let mut batch = Batch::new().then_expect(UPDATE, head, Expect::Rows(1));
        if after.version != before.version {
            batch = batch.then(INSERT_VERSION, version(after));
        }
        self.write_if(batch).await.map(|done| done.is_some())
    }

    /// Deletes an agent with its versions and deployments, if it still is what it was. Tells how many
    /// deployments were active, or nothing if it was not.
    pub(crate) async fn delete_agent(&self, agent: &Agent) -> Result<Option<u64>, Error> {
        let (organization, id) = (&agent.organization_id, agent.id.as_str());
        let batch = Batch::new().then(STOP_ALL, params![organization, id]).then_expect(
            DELETE,
            params![organization, id, agent.revision],
            Expect::Rows(1),
        );
        let done = self.write_if(batch).await?;
        Ok(done.map(|done| done.first().map_or(0, |stopped| stopped.changed)))
    }

    async fn write_if(&self, batch: Batch) -> Result<Option<Vec<lightning_store::Done>>, Error> {
        match self.db.write(batch).await.map_err(Error::from) {
            Ok(done) => Ok(Some(done)),
            Err(error) if not_as_expected(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The parameters of a version's row.
fn version(agent: &Agent) -> Params {
    let design = &agent.design;
    params![
        agent.id.as_str(),
        agent.version,
        agent.revision,
        agent.status.as_str(),
        &design.name,
        &design.description,
        design.agent_type.as_str(),
        &design.model,
        &design.instructions,
        design.temperature,
        design.max_output_tokens,
        serde_json::to_string(&design.config).expect("JSON values always serialize"),
        serde_json::to_string(&design.labels).expect("texts always serialize"),
        design.workflow_id.as_ref(),
        agent.update_time.as_micros(),
        &agent.organization_id,
    ]
}

fn rights(agent: &Agent) -> String {
    serde_json::to_string(&agent.permissions).expect("texts always serialize")
}

/// An agent from its row, as it is now or as a version froze it.
pub(super) fn agent(row: &Row) -> Result<Agent, Error> {
    Ok(Agent {
        organization_id: row.text("organization_id")?,
        owner_id: row.text("owner_id")?,
        permissions: permissions(row)?,
        id: AgentId::parse(&row.text("id")?)
            .map_err(|_| Error::Stored { what: "an agent's id" })?,
        template_id: row.opt_text("template_id")?,
        status: Status::parse(&row.text("status")?)
            .ok_or(Error::Stored { what: "an agent's status" })?,
        version: number(row, "version")?,
        revision: row.integer("revision")?,
        design: design(row)?,
        create_time: Timestamp::from_micros(row.integer("create_time")?),
        update_time: Timestamp::from_micros(row.integer("update_time")?),
    })
}

/// What an agent may do at most, from a row with that column.
pub(super) fn permissions(row: &Row) -> Result<Vec<String>, Error> {
    serde_json::from_str(&row.text("permissions")?)
        .map_err(|_| Error::Stored { what: "an agent's permissions" })
}

/// The design from a row with the columns of a version.
pub(super) fn design(row: &Row) -> Result<Design, Error> {
    let tokens = row.opt_integer("max_output_tokens")?;
    Ok(Design {
        name: row.text("name")?,
        description: row.text("description")?,
        agent_type: AgentType::parse(&row.text("agent_type")?)
            .ok_or(Error::Stored { what: "an agent's type" })?,
        model: row.text("model")?,
        instructions: row.text("instructions")?,
        temperature: row.opt_real("temperature")?,
        max_output_tokens: tokens
            .map(i32::try_from)
            .transpose()
            .map_err(|_| Error::Stored { what: "an agent's limit of tokens" })?,
        config: map(row, "config")?,
        labels: map(row, "labels")?,
        workflow_id: row.opt_text("workflow_id")?,
    })
}

pub(super) fn map<V: DeserializeOwned>(
    row: &Row,
    column: &'static str,
) -> Result<BTreeMap<String, V>, Error> {
    serde_json::from_str(&row.text(column)?).map_err(|_| Error::Stored { what: column })
}

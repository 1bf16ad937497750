//! Rows of versions: agents as they were.

use lightning_store::params;

use super::{Store, agents::agent};
use crate::{
    Error,
    domain::{Agent, AgentId},
};

/// Selects agents as a version froze them; the tail filters and orders.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT a.organization_id, a.owner_id, a.permissions, a.id, a.template_id, v.status, v.version, v.revision, a.create_time,
                v.create_time AS update_time, v.name, v.description, v.agent_type, v.model,
                v.instructions, v.temperature, v.max_output_tokens, v.config, v.labels, v.workflow_id
            FROM agent_versions v JOIN agents a ON a.organization_id = v.organization_id
                AND a.id = v.agent_id ",
            $tail
        )
    };
}

const EXISTS: &str = "SELECT version FROM agent_versions
    WHERE organization_id = $1 AND agent_id = $2 AND version = $3";

const LIST: &str = select!(
    "WHERE v.organization_id = $1 AND v.agent_id = $2 AND v.version < $3
    ORDER BY v.version DESC LIMIT $4"
);

// === impl Store ===

impl Store {
    /// Fails unless the agent has this version.
    pub(crate) async fn check_version(&self, agent: &Agent, version: i32) -> Result<(), Error> {
        let Agent { organization_id, id, .. } = agent;
        match self.db.query_opt(EXISTS, params![organization_id, id.as_str(), version]).await? {
            Some(_) => Ok(()),
            None => Err(Error::VersionNotFound { id: id.clone(), version }),
        }
    }

    /// At most `limit` versions below a number, newest first.
    pub(crate) async fn versions(
        &self,
        organization: &str,
        id: &AgentId,
        below: i64,
        limit: i64,
    ) -> Result<Vec<Agent>, Error> {
        let rows = self.db.query(LIST, params![organization, id.as_str(), below, limit]).await?;
        rows.iter().map(agent).collect()
    }
}

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
            "SELECT a.id, a.template_id, v.status, v.version, v.revision, a.create_time,
                v.create_time AS update_time, v.name, v.description, v.agent_type, v.model,
                v.instructions, v.temperature, v.max_output_tokens, v.config, v.labels, v.workflow_id
            FROM agent_versions v JOIN agents a ON a.id = v.agent_id ",
            $tail
        )
    };
}

const EXISTS: &str = "SELECT version FROM agent_versions WHERE agent_id = $1 AND version = $2";

const LIST: &str =
    select!("WHERE v.agent_id = $1 AND v.version < $2 ORDER BY v.version DESC LIMIT $3");

// === impl Store ===

impl Store {
    /// Fails unless the agent has this version.
    pub(crate) async fn check_version(&self, id: &AgentId, version: i32) -> Result<(), Error> {
        match self.db.query_opt(EXISTS, params![id.as_str(), version]).await? {
            Some(_) => Ok(()),
            None => Err(Error::VersionNotFound { id: id.clone(), version }),
        }
    }

    /// At most `limit` versions below a number, newest first.
    pub(crate) async fn versions(
        &self,
        id: &AgentId,
        below: i64,
        limit: i64,
    ) -> Result<Vec<Agent>, Error> {
        let rows = self.db.query(LIST, params![id.as_str(), below, limit]).await?;
        rows.iter().map(agent).collect()
    }
}

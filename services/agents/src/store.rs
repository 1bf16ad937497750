//! The rows of the service, and the only place with SQL.
//!
//! It writes what it is given: ids, times and numbers are made by its callers. What must hold together
//! is one batch; what must still be true when it is written is a condition in the batch, so two
//! processes on one PostgreSQL cannot cheat each other. One file per resource beside this one.

use lightning_mesh::idempotency::Key;
use lightning_store::{
    Batch, Database, Done, Migration, Once, Outcome, Row, Settings, once, params,
};

use crate::{Error, tally::Counts};

mod agents;
mod deployments;
mod schema;
mod versions;

pub(crate) use agents::AgentFilter;
pub(crate) use deployments::{Active, DeploymentFilter};

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "agents", sql: TABLES },
    Migration { version: 2, name: "idempotency_keys", sql: once::TABLE },
    Migration { version: 3, name: "organizations", sql: schema::ORGANIZATIONS },
];

const TABLES: &str = "
CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    template_id TEXT,
    status TEXT NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
CREATE INDEX agents_create_time ON agents (create_time, id);
CREATE TABLE agent_versions (
    agent_id TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    status TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    agent_type TEXT NOT NULL,
    model TEXT NOT NULL,
    instructions TEXT NOT NULL,
    temperature DOUBLE PRECISION,
    max_output_tokens BIGINT,
    config TEXT NOT NULL,
    labels TEXT NOT NULL,
    workflow_id TEXT,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (agent_id, version)
);
CREATE TABLE deployments (
    id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    agent_version BIGINT NOT NULL,
    environment TEXT NOT NULL,
    replicas BIGINT NOT NULL,
    status TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    end_time BIGINT
);
CREATE UNIQUE INDEX deployments_active ON deployments (agent_id, environment) WHERE status = 'active';
CREATE INDEX deployments_create_time ON deployments (agent_id, create_time, id);";

const COUNT: &str = "SELECT (SELECT COUNT(*) FROM agents) AS agents,
    (SELECT COUNT(*) FROM deployments WHERE status = 'active') AS deployments_active";

const RECALL: &str =
    "SELECT fingerprint, reply FROM idempotency_keys WHERE scope = $1 AND key = $2";

/// The rows. Clones share the database.
#[derive(Clone)]
pub(crate) struct Store {
    db: Database,
}

/// What became of a write that may be a repetition.
pub(crate) enum Written {
    /// It was written now.
    Now(Vec<Done>),
    /// The request was answered before, with these bytes.
    Before(Vec<u8>),
}

/// Where a list goes on: after the row with this number (a time or a version) and id.
pub(crate) type After = Option<(i64, String)>;

// === impl Store ===

impl Store {
    /// Opens the database and brings its tables up to date.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        Ok(Self { db: Database::open(settings, "agents", MIGRATIONS).await? })
    }

    /// Counts what the figures show.
    pub(crate) async fn counts(&self) -> Result<Counts, Error> {
        let row = self.db.query_opt(COUNT, params![]).await?;
        let row = row.ok_or(Error::Stored { what: "a count" })?;
        Ok(Counts {
            agents: row.integer("agents")?,
            deployments_active: row.integer("deployments_active")?,
        })
    }

    /// The answer that a request with this key got before. Asked first, so that a repetition is
    /// answered even if the request would be refused by now.
    pub(crate) async fn recall(&self, key: Option<&Key>) -> Result<Option<Vec<u8>>, Error> {
        let Some(key) = key else { return Ok(None) };
        let Some(row) = self.db.query_opt(RECALL, params![&key.scope, &key.key]).await? else {
            return Ok(None);
        };
        if row.text("fingerprint")? != key.fingerprint {
            return Err(Error::KeyReused);
        }
        Ok(Some(row.blob("reply")?))
    }

    /// Forgets request ids that are older than a time in microseconds.
    pub(crate) async fn forget(&self, oldest: i64) -> Result<u64, Error> {
        Ok(self.db.forget_once(oldest).await?)
    }

    async fn write_once(
        &self,
        once: Option<Once>,
        batch: Batch,
        now: i64,
    ) -> Result<Written, Error> {
        match self.db.write_once(once, batch, now).await? {
            Outcome::Done(done) => Ok(Written::Now(done)),
            Outcome::Replayed(reply) => Ok(Written::Before(reply)),
            // Somebody else used the key between the look and the write.
            Outcome::Mismatch => Err(Error::KeyReused),
        }
    }
}

/// Whether a batch was rolled back because a row was not as it had to be.
fn not_as_expected(error: &Error) -> bool {
    matches!(error, Error::Store(lightning_store::Error::Unexpected { .. }))
}

/// Whether a batch was rolled back because the id is taken.
fn taken(error: &Error) -> bool {
    matches!(error, Error::Store(store) if store.is_conflict())
}

fn number(row: &Row, column: &'static str) -> Result<i32, Error> {
    i32::try_from(row.integer(column)?).map_err(|_| Error::Stored { what: column })
}

#[cfg(test)]
mod tests;

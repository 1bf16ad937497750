//! The rows of tasks, and the only place with SQL.
//!
//! A task is written before its agent is asked and again when it has ended. The end is written whatever
//! the row says by then: if another process that starts has marked it interrupted meanwhile, the real
//! outcome wins.

use std::collections::BTreeMap;

use lightning_mesh::clock::Timestamp;
use lightning_store::{Database, Migration, Row, Settings, params};

use crate::{
    Error,
    domain::{Owner, Selection, Status, Task, TaskId},
};

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "tasks", sql: TABLE },
    Migration { version: 2, name: "organizations", sql: ORGANIZATIONS },
];

const TABLE: &str = "
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL,
    selection TEXT NOT NULL,
    task TEXT NOT NULL,
    context TEXT NOT NULL,
    status TEXT NOT NULL,
    result TEXT NOT NULL,
    error TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT,
    create_time BIGINT NOT NULL,
    end_time BIGINT
);
CREATE INDEX tasks_running ON tasks (create_time) WHERE status = 'running';";

/// Every task belongs to an organisation; what is there belongs to the first one.
const ORGANIZATIONS: &str = "
ALTER TABLE tasks ADD COLUMN organization_id TEXT NOT NULL DEFAULT 'default';
CREATE INDEX tasks_organization ON tasks (organization_id, create_time);";

const GET: &str = "SELECT id, agent_id, selection, task, context, status, result, error, subject,
    user_id, create_time, end_time, organization_id FROM tasks
    WHERE organization_id = $1 AND id = $2";

const INSERT: &str =
    "INSERT INTO tasks (id, agent_id, selection, task, context, status, result, error,
    subject, user_id, create_time, end_time, organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, '', '', $7, $8, $9, NULL, $10)";

const END: &str =
    "UPDATE tasks SET agent_id = $2, status = $3, result = $4, error = $5, end_time = $6
    WHERE organization_id = $7 AND id = $1";

const INTERRUPT: &str = "UPDATE tasks SET status = 'failed', error = 'interrupted by a restart',
    end_time = $1 WHERE status = 'running'";

/// The rows. Clones share the database.
#[derive(Clone)]
pub(crate) struct Store {
    db: Database,
}

// === impl Store ===

impl Store {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        Ok(Self { db: Database::open(settings, "enhanced", MIGRATIONS).await? })
    }

    /// Marks what a former process left running as failed; tells how many there were.
    pub(crate) async fn interrupt(&self, now: Timestamp) -> Result<u64, Error> {
        Ok(self.db.execute(INTERRUPT, params![now.as_micros()]).await?.changed)
    }

    pub(crate) async fn get(&self, organization: &str, id: &TaskId) -> Result<Task, Error> {
        let row = self.db.query_opt(GET, params![organization, id.as_str()]).await?;
        row.as_ref().map_or_else(|| Err(Error::TaskNotFound { id: id.clone() }), task)
    }

    /// Writes a task that begins.
    pub(crate) async fn insert(&self, task: &Task) -> Result<(), Error> {
        let params = params![
            task.id.as_str(),
            &task.agent_id,
            task.selection.as_str(),
            &task.task,
            serde_json::to_string(&task.context).expect("JSON values always serialize"),
            task.status.as_str(),
            &task.owner.subject,
            task.owner.user_id.as_ref(),
            task.create_time.as_micros(),
            &task.owner.organization_id,
        ];
        self.db.execute(INSERT, params).await?;
        Ok(())
    }

    /// Writes how a task ended.
    pub(crate) async fn end(&self, task: &Task) -> Result<(), Error> {
        let params = params![
            task.id.as_str(),
            &task.agent_id,
            task.status.as_str(),
            &task.result,
            &task.error,
            task.end_time.map(Timestamp::as_micros),
            &task.owner.organization_id,
        ];
        self.db.execute(END, params).await?;
        Ok(())
    }
}

fn task(row: &Row) -> Result<Task, Error> {
    let stored = |what| Error::Stored { what };
    let context: BTreeMap<_, _> =
        serde_json::from_str(&row.text("context")?).map_err(|_| stored("a task's context"))?;
    Ok(Task {
        id: TaskId::parse(&row.text("id")?).map_err(|_| stored("a task's id"))?,
        agent_id: row.text("agent_id")?,
        selection: Selection::parse(&row.text("selection")?)
            .ok_or_else(|| stored("a task's selection"))?,
        task: row.text("task")?,
        context,
        status: Status::parse(&row.text("status")?).ok_or_else(|| stored("a task's status"))?,
        result: row.text("result")?,
        error: row.text("error")?,
        owner: Owner {
            organization_id: row.text("organization_id")?,
            subject: row.text("subject")?,
            user_id: row.opt_text("user_id")?,
        },
        create_time: Timestamp::from_micros(row.integer("create_time")?),
        end_time: row.opt_integer("end_time")?.map(Timestamp::from_micros),
    })
}

#[cfg(test)]
mod tests;

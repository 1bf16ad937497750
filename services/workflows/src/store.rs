//! The rows of the service, and the only place with SQL.
//!
//! It writes what it is given: ids, times and numbers are made by its callers. What must hold together
//! is one batch; what must still be true when it is written is a condition in the batch. The journal
//! is append-only under a growing number; an execution's own row is only what lists and filters need.
//! One file per resource beside this one.

use lightning_mesh::idempotency::Key;
use lightning_store::{Batch, Database, Migration, Once, Outcome, Settings, once, params};
use serde_json::Value;

use crate::{
    Error,
    domain::{Labels, Problem},
};

mod callbacks;
mod executions;
mod journal;
mod schema;
mod workflows;

pub(crate) use callbacks::Callback;
pub(crate) use executions::{ExecutionFilter, Progress};
pub(crate) use journal::Row as JournalRow;

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "workflows", sql: TABLES },
    Migration { version: 2, name: "idempotency_keys", sql: once::TABLE },
    Migration { version: 3, name: "organizations", sql: schema::ORGANIZATIONS },
];

const TABLES: &str = "
CREATE TABLE workflows (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
CREATE INDEX workflows_create_time ON workflows (create_time, id);
CREATE TABLE workflow_versions (
    workflow_id TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    definition TEXT NOT NULL,
    source TEXT,
    hash TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (workflow_id, version)
);
CREATE TABLE executions (
    id TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL,
    workflow_version BIGINT NOT NULL,
    status TEXT NOT NULL,
    input TEXT NOT NULL,
    output TEXT,
    problem TEXT,
    callback_url TEXT,
    labels TEXT NOT NULL,
    subject TEXT NOT NULL,
    caller TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    start_time BIGINT,
    end_time BIGINT
);
CREATE INDEX executions_create_time ON executions (create_time, id);
CREATE INDEX executions_workflow ON executions (workflow_id, create_time, id);
CREATE INDEX executions_open ON executions (create_time, id) WHERE end_time IS NULL;
CREATE TABLE journal (
    lsn BIGINT PRIMARY KEY,
    execution_id TEXT NOT NULL,
    entry TEXT NOT NULL
);
CREATE INDEX journal_execution ON journal (execution_id, lsn);
CREATE TABLE callbacks (
    execution_id TEXT PRIMARY KEY,
    attempts BIGINT NOT NULL,
    due_time BIGINT NOT NULL
);
CREATE INDEX callbacks_due ON callbacks (due_time);";

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
    Now,
    /// The request was answered before, with these bytes.
    Before(Vec<u8>),
}

/// How many characters are shown of what cannot be read.
const SHOWN: usize = 1_000;

/// Where a list goes on: after the row with this number (a time or a version) and id.
pub(crate) type After = Option<(i64, String)>;

// === impl Store ===

impl Store {
    /// Opens the database and brings its tables up to date.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        Ok(Self { db: Database::open(settings, "workflows", MIGRATIONS).await? })
    }

    /// The answer that a repeated request got the first time. Asked before anything else, so that a
    /// repetition is answered even if what it named has gone since.
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

    /// Forgets the request ids that are older than a time in microseconds.
    pub(crate) async fn forget(&self, older_than: i64) -> Result<u64, Error> {
        Ok(self.db.forget_once(older_than).await?)
    }

    async fn write_once(
        &self,
        once: Option<Once>,
        batch: Batch,
        now: i64,
    ) -> Result<Written, Error> {
        match self.db.write_once(once, batch, now).await? {
            Outcome::Done(_) => Ok(Written::Now),
            Outcome::Replayed(reply) => Ok(Written::Before(reply)),
            Outcome::Mismatch => Err(Error::KeyReused),
        }
    }
}

/// JSON as the columns hold it: as text, with escapes for the characters that databases refuse.
fn json(value: &Value) -> String {
    value.to_string()
}

fn parse(text: &str, what: &'static str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|_| Error::Damaged { what })
}

/// What a column holds, or a note and its beginning if that cannot be read: nested deeper than any value
/// that is written, or damaged.
fn readable(text: &str, what: &'static str) -> Value {
    parse(text, what).unwrap_or_else(|error| {
        tracing::warn!(%error, "shown as text");
        let begin: String = text.chars().take(SHOWN).collect();
        Value::from(format!("[cannot be read; it begins with] {begin}"))
    })
}

fn labels_text(labels: &Labels) -> String {
    Value::Object(
        labels.iter().map(|(key, label)| (key.clone(), Value::from(label.as_str()))).collect(),
    )
    .to_string()
}

/// The labels of a column; damaged ones are left out.
fn labels(text: &str) -> Labels {
    let Value::Object(fields) = readable(text, "labels") else { return Labels::new() };
    let labels = fields.into_iter().filter_map(|(key, label)| match label {
        Value::String(label) => Some((key, label)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    });
    labels.collect()
}

fn problem(text: Option<String>) -> Option<Problem> {
    text.map(|text| {
        let value = readable(&text, "a problem");
        let note = value.as_str().map(|note| Problem::standard("runtime", 500, note));
        note.unwrap_or_else(|| Problem::from_value(&value))
    })
}

fn number(value: i64, what: &'static str) -> Result<i32, Error> {
    i32::try_from(value).map_err(|_| Error::Damaged { what })
}

/// How many rows a list fetches.
fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

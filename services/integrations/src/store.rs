//! The memory of this service: integrations, webhooks and events as rows.
//!
//! It writes what the logic decided and makes neither ids nor times. Secrets arrive here sealed.

use std::{collections::BTreeMap, sync::Arc};

use lightning_mesh::clock::Timestamp;
use lightning_store::{Database, Migration, Once, Outcome, Row, Settings, params};

use crate::Error;

mod integrations;
mod schema;
mod webhooks;

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "integrations",
        sql: "CREATE TABLE integrations (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            connector_type TEXT NOT NULL,
            config TEXT NOT NULL,
            credentials TEXT NOT NULL,
            revision BIGINT NOT NULL,
            create_time BIGINT NOT NULL,
            update_time BIGINT NOT NULL
        );
        CREATE INDEX integrations_create_time ON integrations (create_time, id);
        CREATE TABLE webhooks (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            signature_scheme TEXT NOT NULL,
            workflow_id TEXT,
            secret TEXT NOT NULL,
            owner TEXT NOT NULL,
            create_time BIGINT NOT NULL
        );
        CREATE INDEX webhooks_create_time ON webhooks (create_time, id);
        CREATE TABLE webhook_events (
            webhook_id TEXT NOT NULL,
            id TEXT NOT NULL,
            status TEXT NOT NULL,
            content_type TEXT NOT NULL,
            body BYTEA NOT NULL,
            execution_id TEXT,
            error TEXT,
            attempts BIGINT NOT NULL,
            due_time BIGINT NOT NULL,
            create_time BIGINT NOT NULL,
            PRIMARY KEY (webhook_id, id)
        );
        CREATE INDEX webhook_events_create_time ON webhook_events (webhook_id, create_time, id);
        CREATE INDEX webhook_events_due ON webhook_events (status, due_time)",
    },
    Migration { version: 2, name: "idempotency", sql: lightning_store::once::TABLE },
    Migration { version: 3, name: "organizations", sql: schema::ORGANIZATIONS },
];

const HAS_SEALED: &str = "SELECT id FROM integrations WHERE credentials <> '{}'
    UNION ALL SELECT id FROM webhooks LIMIT 1";

/// A list, in which direction and from where.
pub(crate) struct Listing<'a> {
    /// Whose rows.
    pub(crate) organization: &'a str,
    pub(crate) newest_first: bool,
    pub(crate) after: Option<(i64, String)>,
    /// How many rows to read.
    pub(crate) limit: usize,
    /// The fields that must be equal, in the order of the list's filter.
    pub(crate) equal: [Option<&'a str>; 2],
}

/// The rows of this service.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
}

// === impl Store ===

impl Store {
    /// Opens the database and brings its tables up to date.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        Ok(Self { database: Database::open(settings, "integrations", MIGRATIONS).await? })
    }

    /// Whether anything is sealed, so that a lost key file is noticed.
    pub(crate) async fn has_sealed(&self) -> Result<bool, Error> {
        Ok(self.database.query_opt(HAS_SEALED, params![]).await?.is_some())
    }

    /// Forgets idempotency keys that are older than a time.
    pub(crate) async fn forget_keys(&self, older_than: Timestamp) -> Result<u64, Error> {
        Ok(self.database.forget_once(older_than.as_micros()).await?)
    }

    async fn write_once(
        &self,
        once: Option<Once>,
        batch: lightning_store::Batch,
        now: Timestamp,
    ) -> Result<Outcome, Error> {
        Ok(self.database.write_once(once, batch, now.as_micros()).await?)
    }
}

// === impl Listing ===

impl Listing<'_> {
    /// The key to go on after, or one that lies before everything.
    fn start(&self) -> (i64, String) {
        let edge = if self.newest_first { i64::MAX } else { i64::MIN };
        self.after.clone().unwrap_or((edge, String::new()))
    }

    fn limit(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX)
    }
}

fn time(row: &Row, column: &str) -> Result<Timestamp, Error> {
    Ok(Timestamp::from_micros(row.integer(column)?))
}

fn damaged<E: std::error::Error + Send + Sync + 'static>(
    what: &'static str,
) -> impl Fn(E) -> Error {
    move |error| Error::Damaged(what, Arc::new(error))
}

/// Why a stored word means nothing.
#[derive(Debug, thiserror::Error)]
#[error("a stored word is not one of those that this program writes")]
struct UnknownWord;

type Sealed = BTreeMap<String, String>;

#[cfg(test)]
mod tests;

//! Rows of callbacks that are still to be delivered.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, params};

use super::{Store, limit, number};
use crate::{Error, domain::ExecutionId};

const INSERT: &str = "INSERT INTO callbacks (execution_id, attempts, due_time, organization_id)
    VALUES ($1, 0, $2, $3)";
const DUE: &str =
    "SELECT organization_id, execution_id, attempts, due_time FROM callbacks WHERE due_time <= $1
    ORDER BY due_time LIMIT $2";
const NEXT: &str = "SELECT MIN(due_time) AS due_time FROM callbacks";
const POSTPONE: &str = "UPDATE callbacks SET attempts = $1, due_time = $2 WHERE execution_id = $3";
const DELETE: &str = "DELETE FROM callbacks WHERE execution_id = $1";

/// A callback to be delivered.
#[derive(Debug, Clone)]
pub(crate) struct Callback {
    pub(crate) organization_id: String,
    pub(crate) execution_id: ExecutionId,
    /// How often it was tried.
    pub(crate) attempts: i32,
}

pub(super) fn insert(organization: &str, id: &ExecutionId, due: Timestamp) -> Batch {
    Batch::new().then(INSERT, params![id.as_str(), due.as_micros(), organization])
}

// === impl Store ===

impl Store {
    /// The callbacks that are due, the longest overdue first.
    pub(crate) async fn due_callbacks(
        &self,
        now: Timestamp,
        rows: usize,
    ) -> Result<Vec<Callback>, Error> {
        let rows = self.db.query(DUE, params![now.as_micros(), limit(rows)]).await?;
        let callbacks = rows.iter().map(|row| {
            let id = row.text("execution_id")?;
            Ok(Callback {
                organization_id: row.text("organization_id")?,
                execution_id: ExecutionId::parse(&id)
                    .map_err(|_| Error::Damaged { what: "an id" })?,
                attempts: number(row.integer("attempts")?, "a count")?,
            })
        });
        callbacks.collect()
    }

    /// When the next callback is due.
    pub(crate) async fn next_callback(&self) -> Result<Option<Timestamp>, Error> {
        let row = self.db.query_opt(NEXT, params![]).await?;
        let due = row.map(|row| row.opt_integer("due_time")).transpose()?.flatten();
        Ok(due.map(Timestamp::from_micros))
    }

    pub(crate) async fn postpone_callback(
        &self,
        id: &ExecutionId,
        attempts: i32,
        due: Timestamp,
    ) -> Result<(), Error> {
        self.db.execute(POSTPONE, params![attempts, due.as_micros(), id.as_str()]).await?;
        Ok(())
    }

    pub(crate) async fn remove_callback(&self, id: &ExecutionId) -> Result<(), Error> {
        self.db.execute(DELETE, params![id.as_str()]).await?;
        Ok(())
    }
}

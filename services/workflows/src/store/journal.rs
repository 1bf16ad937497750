//! Rows of the journal: appended, never changed, in the order of their numbers.

use lightning_store::{Batch, params};

use super::{Store, limit};
use crate::{Error, domain::ExecutionId};

const INSERT: &str = "INSERT INTO journal (lsn, execution_id, entry, organization_id)
    VALUES ($1, $2, $3, $4)";
const READ: &str = "SELECT lsn, entry FROM journal WHERE execution_id = $1 AND lsn > $2
    AND organization_id = $4 ORDER BY lsn LIMIT $3";
const LAST: &str = "SELECT COALESCE(MAX(lsn), 0) AS lsn FROM journal";

/// Rows that are read at once, unless they are too large for that.
const CHUNK: usize = 500;

/// One entry and its number.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) lsn: i64,
    /// JSON.
    pub(crate) entry: String,
}

pub(super) fn insert(organization: &str, id: &ExecutionId, rows: &[Row]) -> Batch {
    rows.iter().fold(Batch::new(), |batch, row| {
        batch.then(INSERT, params![row.lsn, id.as_str(), &row.entry, organization])
    })
}

// === impl Store ===

impl Store {
    /// The number of the newest entry; 0 if there is none.
    pub(crate) async fn last_lsn(&self) -> Result<i64, Error> {
        match self.db.query_opt(LAST, params![]).await? {
            Some(row) => Ok(row.integer("lsn")?),
            None => Ok(0),
        }
    }

    /// The journal of an execution.
    pub(crate) async fn journal(
        &self,
        organization: &str,
        id: &ExecutionId,
    ) -> Result<Vec<Row>, Error> {
        let mut journal: Vec<Row> = Vec::new();
        let mut chunk = CHUNK;
        loop {
            let after = journal.last().map_or(0, |row| row.lsn);
            let params = params![id.as_str(), after, limit(chunk), organization];
            let rows = match self.db.query(READ, params).await {
                // Large entries: fewer at once.
                Err(lightning_store::Error::TooLarge { .. }) if chunk > 1 => {
                    chunk = (chunk / 8).max(1);
                    continue;
                }
                result => result?,
            };
            for row in &rows {
                journal.push(Row { lsn: row.integer("lsn")?, entry: row.text("entry")? });
            }
            if rows.len() < chunk {
                return Ok(journal);
            }
        }
    }
}

//! Notices of logouts that applications still have to get. They are kept until they arrived or a day is
//! over; the token is made anew for each attempt, so none is kept.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Row, params};

use super::Store;
use crate::Error;

/// That a user signed out, for one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) id: String,
    pub(crate) client_id: String,
    /// The `sub` that the application knows.
    pub(crate) sub: String,
    /// The `sid` that it knows.
    pub(crate) sid: String,
    /// How often it was tried.
    pub(crate) attempts: i64,
    pub(crate) created_at: Timestamp,
}

const INSERT: &str =
    "INSERT INTO logout_notices (id, client_id, sub, sid, attempts, next_time, create_time)
    VALUES ($1, $2, $3, $4, 0, $5, $5)";

// The next attempt is written down before this one is made: several instances share the work, and one
// that dies leaves it to the others.
const CLAIM: &str = "UPDATE logout_notices SET attempts = attempts + 1, next_time = $2
    WHERE id IN (SELECT id FROM logout_notices WHERE next_time <= $1 ORDER BY next_time, id LIMIT 20)
      AND next_time <= $1
    RETURNING id, client_id, sub, sid, attempts, create_time";

const LATER: &str = "UPDATE logout_notices SET next_time = $2 WHERE id = $1";

const DONE: &str = "DELETE FROM logout_notices WHERE id = $1";

impl Store {
    pub(crate) async fn insert_notices(&self, notices: &[Notice]) -> Result<(), Error> {
        let batch = notices.iter().fold(Batch::new(), |batch, notice| {
            let values = params![
                &notice.id,
                &notice.client_id,
                &notice.sub,
                &notice.sid,
                notice.created_at.as_micros(),
            ];
            batch.then(INSERT, values)
        });
        if !batch.is_empty() {
            self.0.write(batch).await?;
        }
        Ok(())
    }

    /// Takes up to 20 notices whose time has come; if they are not finished within `lease`, their time
    /// comes again.
    pub(crate) async fn claim_notices(
        &self,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Notice>, Error> {
        let until = now + lease;
        let done = self.0.execute(CLAIM, params![now.as_micros(), until.as_micros()]).await?;
        done.rows.iter().map(notice_of).collect()
    }

    /// Puts a notice off.
    pub(crate) async fn put_off(&self, id: &str, until: Timestamp) -> Result<(), Error> {
        self.0.execute(LATER, params![id, until.as_micros()]).await?;
        Ok(())
    }

    pub(crate) async fn notice_done(&self, id: &str) -> Result<(), Error> {
        self.0.execute(DONE, params![id]).await?;
        Ok(())
    }
}

fn notice_of(row: &Row) -> Result<Notice, Error> {
    Ok(Notice {
        id: row.text("id")?,
        client_id: row.text("client_id")?,
        sub: row.text("sub")?,
        sid: row.text("sid")?,
        attempts: row.integer("attempts")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
    })
}

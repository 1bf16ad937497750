//! Who is stopped.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Expect, Row, params};

use super::PAGE;
use crate::{
    Error,
    domain::UserId,
    store::{Store, sessions, users},
};

/// Somebody who may do nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// As the mesh writes subjects.
    pub(crate) subject: String,
    pub(crate) organization_id: String,
    pub(crate) reason: String,
    /// Who did it.
    pub(crate) by: String,
    pub(crate) at: Timestamp,
}

const SUBJECTS: &str =
    "SELECT subject FROM stopped_subjects WHERE subject > $1 ORDER BY subject LIMIT $2";

const LIST: &str = "SELECT subject, organization_id, reason, stopped_by, create_time
    FROM stopped_subjects WHERE organization_id = $1 ORDER BY create_time DESC, subject LIMIT $2";

const GET: &str = "SELECT subject, organization_id, reason, stopped_by, create_time
    FROM stopped_subjects WHERE subject = $1 AND organization_id = $2";

const STOP: &str = "INSERT INTO stopped_subjects
        (subject, organization_id, reason, stopped_by, create_time)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (subject) DO NOTHING";

const START: &str = "DELETE FROM stopped_subjects WHERE subject = $1 AND organization_id = $2";

/// Stops somebody. A user loses all sessions; refused if it is the last admin who may act.
pub(crate) fn stop(stopped: &Stopped, user: Option<&UserId>) -> Batch {
    let params = params![
        &stopped.subject,
        &stopped.organization_id,
        &stopped.reason,
        &stopped.by,
        stopped.at.as_micros(),
    ];
    let batch = Batch::new().then(STOP, params);
    let Some(user) = user else { return batch };
    batch
        .then_expect(
            users::ONLY_WITH_ANOTHER_ADMIN,
            params![user.as_str(), &stopped.organization_id],
            Expect::Rows(1),
        )
        .then(sessions::END_OF_USER, params![user.as_str(), stopped.at.as_micros()])
}

/// Lets somebody go on. Refused if they are not stopped.
pub(crate) fn start(subject: &str, organization: &str) -> Batch {
    Batch::new().then_expect(START, params![subject, organization], Expect::Rows(1))
}

impl Store {
    /// All who are stopped, of every organisation.
    pub(super) async fn stopped_subjects(&self) -> Result<Vec<String>, Error> {
        let mut all: Vec<String> = Vec::new();
        let mut after = String::new();
        loop {
            let rows = self.0.query(SUBJECTS, params![&after, PAGE]).await?;
            for row in &rows {
                all.push(row.text("subject")?);
            }
            match all.last() {
                Some(last) if super::is_full(&rows) => after.clone_from(last),
                Some(_) | None => return Ok(all),
            }
        }
    }

    /// Those of an organisation, the newest first.
    pub(crate) async fn stopped(
        &self,
        organization: &str,
        most: i64,
    ) -> Result<Vec<Stopped>, Error> {
        let rows = self.0.query(LIST, params![organization, most]).await?;
        rows.iter().map(stopped_of).collect()
    }

    pub(crate) async fn stopped_subject(
        &self,
        subject: &str,
        organization: &str,
    ) -> Result<Option<Stopped>, Error> {
        let row = self.0.query_opt(GET, params![subject, organization]).await?;
        row.as_ref().map(stopped_of).transpose()
    }
}

fn stopped_of(row: &Row) -> Result<Stopped, Error> {
    Ok(Stopped {
        subject: row.text("subject")?,
        organization_id: row.text("organization_id")?,
        reason: row.text("reason")?,
        by: row.text("stopped_by")?,
        at: Timestamp::from_micros(row.integer("create_time")?),
    })
}

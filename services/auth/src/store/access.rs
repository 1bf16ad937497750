//! What decides about callers, read as a whole.

use std::sync::Arc;

use lightning_mesh::clock::Timestamp;
use lightning_store::params;

use super::Store;
use crate::{Error, domain::policies::PolicySet};

/// The most ended sessions that are told of. They are told only until their last access token has
/// expired, so this is more than 100 ended sessions a second.
const MAX_REVOKED: i64 = 50_000;

/// What decides about callers, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) revision: i64,
    /// The number of the directory.
    pub(crate) directory: i64,
    /// How many users there are.
    pub(crate) users: i64,
    /// Sessions that ended after the time that was asked for.
    pub(crate) revoked: Vec<String>,
    /// Single access tokens that were revoked and have not expired, by `jti`, sorted.
    pub(crate) revoked_tokens: Vec<String>,
    /// The public keys of access tokens; filled in by whoever has them.
    pub(crate) jwks: String,
    /// Who may do nothing, out of the directory.
    pub(crate) stopped: Vec<String>,
    /// The published policies of all organisations.
    pub(crate) policy_sets: Vec<Arc<PolicySet>>,
}

const REVISION: &str = "SELECT revision, directory FROM access WHERE id = 1";

const USERS: &str = "SELECT COUNT(*) AS users FROM users";

const REVOKED: &str =
    "SELECT id FROM sessions WHERE end_time > $1 ORDER BY end_time DESC, id LIMIT $2";

impl Store {
    /// Reads the state at `now`; sessions that ended up to `since` are left out. Policies that are `known`
    /// are not read again.
    pub(crate) async fn snapshot(
        &self,
        now: Timestamp,
        since: Timestamp,
        known: &[Arc<PolicySet>],
    ) -> Result<Snapshot, Error> {
        // The revision first: a change in between makes the next reading different, never this one stale.
        let (revision, directory) = self.revision().await?;
        let users = self.users().await?;
        let rows = self.0.query(REVOKED, params![since.as_micros(), MAX_REVOKED]).await?;
        if i64::try_from(rows.len()) == Ok(MAX_REVOKED) {
            tracing::error!(limit = MAX_REVOKED, "more sessions ended than services are told of");
        }
        let mut revoked = rows.iter().map(|row| row.text("id")).collect::<Result<Vec<_>, _>>()?;
        revoked.sort();
        let revoked_tokens = self.revoked_tokens(now).await?;
        let policy_sets = self.policy_sets(known).await?;
        let jwks = String::new();
        Ok(Snapshot {
            revision,
            directory,
            users,
            revoked,
            revoked_tokens,
            jwks,
            stopped: Vec::new(),
            policy_sets,
        })
    }

    /// The revision, and the number of the directory.
    async fn revision(&self) -> Result<(i64, i64), Error> {
        let row = self.0.query_opt(REVISION, params![]).await?;
        let row = row.ok_or(Error::Row { what: "access state" })?;
        Ok((row.integer("revision")?, row.integer("directory")?))
    }

    /// How many users there are.
    pub(crate) async fn users(&self) -> Result<i64, Error> {
        let row = self.0.query_opt(USERS, params![]).await?;
        Ok(row.ok_or(Error::Row { what: "count of users" })?.integer("users")?)
    }
}

//! Single access tokens that were revoked before they expired.

use lightning_mesh::clock::Timestamp;
use lightning_store::params;

use super::{Store, decisive};
use crate::Error;

/// The most revoked tokens that are told of: at an access token's usual life more than 30 a second.
const MAX_REVOKED: i64 = 10_000;

const REVOKED: &str = "SELECT id FROM revoked_tokens WHERE expire_time > $1 ORDER BY id LIMIT $2";

const COUNT: &str = "SELECT COUNT(*) AS tokens FROM revoked_tokens WHERE expire_time > $1";

const INSERT: &str = "INSERT INTO revoked_tokens (id, expire_time) VALUES ($1, $2)
    ON CONFLICT (id) DO NOTHING";

pub(super) const FORGET: &str = "DELETE FROM revoked_tokens WHERE expire_time < $1";

impl Store {
    /// The tokens that are revoked and would still be good, sorted.
    pub(super) async fn revoked_tokens(&self, now: Timestamp) -> Result<Vec<String>, Error> {
        let rows = self.0.query(REVOKED, params![now.as_micros(), MAX_REVOKED]).await?;
        let mut ids = rows.iter().map(|row| row.text("id")).collect::<Result<Vec<_>, _>>()?;
        // The database may sort by another rule than bytes.
        ids.sort();
        Ok(ids)
    }

    /// Revokes a token until it expires. False if there is no room for one more.
    pub(crate) async fn revoke_token(
        &self,
        id: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let row = self.0.query_opt(COUNT, params![now.as_micros()]).await?;
        let count = row.ok_or(Error::Row { what: "count of revoked tokens" })?.integer("tokens")?;
        if count >= MAX_REVOKED {
            return Ok(false);
        }
        self.0.write(decisive().then(INSERT, params![id, expires.as_micros()])).await?;
        Ok(true)
    }
}

//! API keys.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Error as StoreError, Expect, Once, Outcome, Row, params};

use super::{Slice, Store, bounds, decisive, list, unlist};
use crate::{
    Error,
    domain::{
        ApiKeyId, UserId,
        api_keys::{ApiKey, MAX_PER_USER},
    },
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, name, prefix, scopes, expire_time, last_use_time, create_time FROM api_keys ",
            $rest
        )
    };
}

const GET: &str = select!("WHERE id = $1");

const BY_HASH: &str = select!("WHERE key_hash = $1");

const NEWEST: &str = select!(
    "WHERE (create_time < $1 OR (create_time = $1 AND id < $2))
      AND (CAST($3 AS TEXT) IS NULL OR user_id = $3)
      AND (CAST($4 AS TEXT) IS NULL OR name = $4)
     ORDER BY create_time DESC, id DESC LIMIT $5"
);

const OLDEST: &str = select!(
    "WHERE (create_time > $1 OR (create_time = $1 AND id > $2))
      AND (CAST($3 AS TEXT) IS NULL OR user_id = $3)
      AND (CAST($4 AS TEXT) IS NULL OR name = $4)
     ORDER BY create_time, id LIMIT $5"
);

// Locks the owner, so that the next statement counts what is really there.
const LOCK_OWNER: &str = "UPDATE users SET revision = revision WHERE id = $1";

const ONLY_BELOW_LIMIT: &str = "UPDATE users SET revision = revision WHERE id = $1
    AND (SELECT COUNT(*) FROM api_keys WHERE user_id = $1) < $2";

const INSERT: &str =
    "INSERT INTO api_keys (id, user_id, name, prefix, key_hash, scopes, expire_time, create_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const DELETE: &str = "DELETE FROM api_keys WHERE id = $1";

const USED: &str = "UPDATE api_keys SET last_use_time = $2
    WHERE id = $1 AND (last_use_time IS NULL OR last_use_time < $2)";

impl Store {
    pub(crate) async fn api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, Error> {
        let row = self.0.query_opt(GET, params![id.as_str()]).await?;
        row.as_ref().map(key_of).transpose()
    }

    pub(crate) async fn api_key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, Error> {
        let row = self.0.query_opt(BY_HASH, params![hash]).await?;
        row.as_ref().map(key_of).transpose()
    }

    pub(crate) async fn api_keys_in(
        &self,
        slice: &Slice,
        user: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<ApiKey>, Error> {
        let (time, id) = bounds(slice);
        let sql = if slice.newest_first { NEWEST } else { OLDEST };
        let rows = self.0.query(sql, params![time, id, user, name, slice.limit]).await?;
        rows.iter().map(key_of).collect()
    }

    /// Keeps a key, at most once per request.
    pub(crate) async fn insert_api_key(
        &self,
        key: &ApiKey,
        hash: &str,
        once: Option<Once>,
    ) -> Result<Outcome, Error> {
        let owner = key.user_id.as_str();
        let batch = Batch::new()
            .then_expect(LOCK_OWNER, params![owner], Expect::Rows(1))
            .then_expect(ONLY_BELOW_LIMIT, params![owner, MAX_PER_USER], Expect::Rows(1))
            .then(
                INSERT,
                params![
                    key.id.as_str(),
                    owner,
                    &key.name,
                    &key.prefix,
                    hash,
                    list(&key.scopes),
                    key.expires_at.map(Timestamp::as_micros),
                    key.created_at.as_micros(),
                ],
            );
        match self.0.write_once(once, batch, key.created_at.as_micros()).await {
            Ok(outcome) => Ok(outcome),
            Err(StoreError::Unexpected { statement: 0, .. }) => {
                Err(Error::UserNotFound { id: owner.to_owned() })
            }
            Err(StoreError::Unexpected { .. }) => {
                Err(Error::TooManyApiKeys { limit: MAX_PER_USER })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a key. False if it was gone.
    pub(crate) async fn delete_api_key(&self, id: &ApiKeyId) -> Result<bool, Error> {
        let batch = decisive().then_expect(DELETE, params![id.as_str()], Expect::Rows(1));
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn api_key_used(&self, id: &ApiKeyId, minute: Timestamp) -> Result<(), Error> {
        self.0.execute(USED, params![id.as_str(), minute.as_micros()]).await?;
        Ok(())
    }
}

fn key_of(row: &Row) -> Result<ApiKey, Error> {
    let broken = |_| Error::Row { what: "API key" };
    Ok(ApiKey {
        id: ApiKeyId::parse(&row.text("id")?).map_err(broken)?,
        user_id: UserId::parse(&row.text("user_id")?).map_err(broken)?,
        name: row.text("name")?,
        prefix: row.text("prefix")?,
        scopes: unlist(&row.text("scopes")?, "API key")?,
        expires_at: row.opt_integer("expire_time")?.map(Timestamp::from_micros),
        used_at: row.opt_integer("last_use_time")?.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(row.integer("create_time")?),
    })
}

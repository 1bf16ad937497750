//! API keys.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Error as StoreError, Expect, Once, Outcome, Row, params};

use super::{Slice, Store, bounds, decisive, list, unlist};
use crate::{
    Error,
    domain::{
        ApiKeyId, ServiceAccountId, UserId,
        api_keys::{ApiKey, MAX_PER_OWNER, Owner},
    },
    error::CredentialError,
};

// Keys may belong to service accounts too, so `user_id` may be missing: the table is made anew, because
// neither database drops a constraint in the same way.
pub(super) const TABLE: &str = "CREATE TABLE api_keys_next (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    user_id TEXT REFERENCES users (id),
    service_account_id TEXT,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    suffix TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    allowed_addresses TEXT NOT NULL,
    expire_time BIGINT,
    last_use_time BIGINT,
    create_time BIGINT NOT NULL
);
INSERT INTO api_keys_next (id, organization_id, user_id, name, prefix, suffix, key_hash, scopes,
        allowed_addresses, expire_time, last_use_time, create_time)
    SELECT api_keys.id, users.organization_id, api_keys.user_id, api_keys.name, api_keys.prefix, '',
        api_keys.key_hash, api_keys.scopes, '[]', api_keys.expire_time, api_keys.last_use_time,
        api_keys.create_time
    FROM api_keys JOIN users ON users.id = api_keys.user_id;
DROP TABLE api_keys;
ALTER TABLE api_keys_next RENAME TO api_keys;
CREATE UNIQUE INDEX api_keys_key_hash ON api_keys (key_hash);
CREATE INDEX api_keys_create_time ON api_keys (organization_id, create_time, id);
CREATE INDEX api_keys_user ON api_keys (user_id, create_time, id);
CREATE INDEX api_keys_service_account ON api_keys (service_account_id, create_time, id);";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, organization_id, user_id, service_account_id, name, prefix, suffix, scopes,
                allowed_addresses, expire_time, last_use_time, create_time
            FROM api_keys ",
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
      AND (CAST($7 AS TEXT) IS NULL OR service_account_id = $7)
      AND organization_id = $6
     ORDER BY create_time DESC, id DESC LIMIT $5"
);

const OLDEST: &str = select!(
    "WHERE (create_time > $1 OR (create_time = $1 AND id > $2))
      AND (CAST($3 AS TEXT) IS NULL OR user_id = $3)
      AND (CAST($4 AS TEXT) IS NULL OR name = $4)
      AND (CAST($7 AS TEXT) IS NULL OR service_account_id = $7)
      AND organization_id = $6
     ORDER BY create_time, id LIMIT $5"
);

// Locks the owner, so that the next statement counts what is really there.
const LOCK_USER: &str = "UPDATE users SET revision = revision WHERE id = $1";

const LOCK_ACCOUNT: &str = "UPDATE service_accounts SET revision = revision WHERE id = $1";

const ONLY_BELOW_LIMIT: &str = "UPDATE access SET revision = revision WHERE id = 1
    AND (SELECT COUNT(*) FROM api_keys WHERE user_id = $1 OR service_account_id = $1) < $2";

const INSERT: &str = "INSERT INTO api_keys (id, organization_id, user_id, service_account_id, name,
        prefix, suffix, key_hash, scopes, allowed_addresses, expire_time, create_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

const DELETE: &str = "DELETE FROM api_keys WHERE id = $1";

const USED: &str = "UPDATE api_keys SET last_use_time = $2
    WHERE id = $1 AND (last_use_time IS NULL OR last_use_time < $2)";

/// Which keys of an organisation to read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Which<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) account: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

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
        organization: &str,
        which: &Which<'_>,
    ) -> Result<Vec<ApiKey>, Error> {
        let (time, id) = bounds(slice);
        let sql = if slice.newest_first { NEWEST } else { OLDEST };
        let Which { user, account, name } = *which;
        let params = params![time, id, user, name, slice.limit, organization, account];
        let rows = self.0.query(sql, params).await?;
        rows.iter().map(key_of).collect()
    }

    /// Keeps a key, at most once per request.
    pub(crate) async fn insert_api_key(
        &self,
        key: &ApiKey,
        hash: &str,
        once: Option<Once>,
    ) -> Result<Outcome, Error> {
        let owner = key.owner.id();
        let lock = match key.owner {
            Owner::User(_) => LOCK_USER,
            Owner::Account(_) => LOCK_ACCOUNT,
        };
        let batch = Batch::new()
            .then_expect(lock, params![owner], Expect::Rows(1))
            .then_expect(ONLY_BELOW_LIMIT, params![owner, MAX_PER_OWNER], Expect::Rows(1))
            .then(
                INSERT,
                params![
                    key.id.as_str(),
                    &key.organization_id,
                    key.owner.user_id().map(UserId::as_str),
                    key.owner.account_id().map(ServiceAccountId::as_str),
                    &key.name,
                    &key.prefix,
                    &key.suffix,
                    hash,
                    list(&key.scopes),
                    list(&key.allowed_addresses),
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
                Err(Error::Credential(CredentialError::TooManyApiKeys { limit: MAX_PER_OWNER }))
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
    let owner = match (row.opt_text("user_id")?, row.opt_text("service_account_id")?) {
        (Some(id), _) => Owner::User(UserId::parse(&id).map_err(broken)?),
        (None, Some(id)) => Owner::Account(ServiceAccountId::parse(&id).map_err(broken)?),
        (None, None) => return Err(Error::Row { what: "API key" }),
    };
    Ok(ApiKey {
        id: ApiKeyId::parse(&row.text("id")?).map_err(broken)?,
        organization_id: row.text("organization_id")?,
        owner,
        suffix: row.text("suffix")?,
        allowed_addresses: unlist(&row.text("allowed_addresses")?, "API key")?,
        name: row.text("name")?,
        prefix: row.text("prefix")?,
        scopes: unlist(&row.text("scopes")?, "API key")?,
        expires_at: row.opt_integer("expire_time")?.map(Timestamp::from_micros),
        used_at: row.opt_integer("last_use_time")?.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(row.integer("create_time")?),
    })
}

//! Signing keys. Their private halves are sealed before they come here.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Error as StoreError, Expect, Row, params};

use super::{Store, decisive};
use crate::{
    Error,
    domain::keys::{Algorithm, KeyTimes},
};

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRow {
    pub(crate) times: KeyTimes,
    pub(crate) sealed: Vec<u8>,
}

const ALL: &str = "SELECT kid, algorithm, sealed, create_time, active_time FROM signing_keys";

const GENERATION: &str = "SELECT generation FROM signing_rotations WHERE algorithm = $1";

// One instance wins: the others find another number.
const ROTATE: &str = "UPDATE signing_rotations SET generation = generation + 1
    WHERE algorithm = $1 AND generation = $2";

const INSERT: &str = "INSERT INTO signing_keys (kid, algorithm, sealed, create_time, active_time)
    VALUES ($1, $2, $3, $4, $5)";

const DELETE: &str = "DELETE FROM signing_keys WHERE kid = $1";

impl Store {
    /// All keys, in no order.
    pub(crate) async fn signing_keys(&self) -> Result<Vec<KeyRow>, Error> {
        let rows = self.0.query(ALL, params![]).await?;
        rows.iter().map(key_of).collect()
    }

    /// Counts the keys of an algorithm that were ever made: read before the keys, it tells at
    /// [`Self::insert_signing_key`] whether they are still the same.
    pub(crate) async fn key_generation(&self, algorithm: Algorithm) -> Result<i64, Error> {
        let row = self.0.query_opt(GENERATION, params![algorithm.name()]).await?;
        Ok(row.ok_or(Error::Row { what: "count of keys" })?.integer("generation")?)
    }

    /// Keeps a new key. False if another instance made one since the generation was read.
    pub(crate) async fn insert_signing_key(
        &self,
        key: &KeyRow,
        generation: i64,
    ) -> Result<bool, Error> {
        let KeyRow { times, sealed } = key;
        let insert = params![
            &times.kid,
            times.algorithm.name(),
            sealed.clone(),
            times.created_at.as_micros(),
            times.active_at.as_micros(),
        ];
        let rotate = params![times.algorithm.name(), generation];
        let batch = decisive().then_expect(ROTATE, rotate, Expect::Rows(1)).then(INSERT, insert);
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a key that is for nothing any more.
    pub(crate) async fn delete_signing_key(&self, kid: &str) -> Result<(), Error> {
        self.0.write(decisive().then(DELETE, params![kid])).await?;
        Ok(())
    }
}

fn key_of(row: &Row) -> Result<KeyRow, Error> {
    let algorithm = Algorithm::parse(&row.text("algorithm")?);
    Ok(KeyRow {
        times: KeyTimes {
            kid: row.text("kid")?,
            algorithm: algorithm.ok_or(Error::Row { what: "signing key" })?,
            created_at: Timestamp::from_micros(row.integer("create_time")?),
            active_at: Timestamp::from_micros(row.integer("active_time")?),
        },
        sealed: row.blob("sealed")?,
    })
}

//! Factors and recovery codes.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Error as StoreError, Expect, Row, params};

use super::Store;
use crate::{
    Error,
    domain::{
        FactorId, UserId,
        factors::{Factor, Kind},
    },
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, kind, name, data, credential_id, counter, confirm_time, create_time, \
             last_use_time FROM factors ",
            $rest
        )
    };
}

const OF_USER: &str = select!("WHERE user_id = $1 ORDER BY create_time, id LIMIT 100");

const BY_CREDENTIAL: &str = select!("WHERE credential_id = $1");

const INSERT: &str = "INSERT INTO factors (id, user_id, kind, name, data, credential_id, counter,
        confirm_time, create_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

// Enrolments that were given up make room for the next.
const FORGET_UNCONFIRMED: &str =
    "DELETE FROM factors WHERE user_id = $1 AND confirm_time IS NULL AND create_time < $2";

const CONFIRM: &str = "UPDATE factors SET confirm_time = $3, last_use_time = $3, counter = $4
    WHERE id = $1 AND user_id = $2 AND confirm_time IS NULL";

// Two logins with one code: one finds the step used.
const USE: &str = "UPDATE factors SET counter = $2, last_use_time = $3
    WHERE id = $1 AND confirm_time IS NOT NULL AND counter < $2";

// A passkey without a count stays at zero for ever.
const USE_PASSKEY: &str = "UPDATE factors SET counter = $2, data = $3, last_use_time = $4
    WHERE id = $1 AND (counter < $2 OR (counter = 0 AND CAST($2 AS BIGINT) = 0))";

const DELETE: &str = "DELETE FROM factors WHERE id = $1 AND user_id = $2";

const DELETE_CODES: &str = "DELETE FROM recovery_codes WHERE user_id = $1";

const DELETE_CODES_OF_NOTHING: &str = "DELETE FROM recovery_codes WHERE user_id = $1
    AND NOT EXISTS (SELECT 1 FROM factors WHERE user_id = $1 AND kind = 'totp'
        AND confirm_time IS NOT NULL)";

const INSERT_CODE: &str = "INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)";

const USE_CODE: &str = "UPDATE recovery_codes SET use_time = $3
    WHERE user_id = $1 AND hash = $2 AND use_time IS NULL";

const COUNT_CODES: &str =
    "SELECT COUNT(*) AS left_over FROM recovery_codes WHERE user_id = $1 AND use_time IS NULL";

impl Store {
    /// All factors of a user, the oldest first, those that are not confirmed among them.
    pub(crate) async fn factors(&self, user: &UserId) -> Result<Vec<Factor>, Error> {
        let rows = self.0.query(OF_USER, params![user.as_str()]).await?;
        rows.iter().map(factor_of).collect()
    }

    /// The passkey that calls itself so.
    pub(crate) async fn passkey(&self, credential_id: &str) -> Result<Option<Factor>, Error> {
        let row = self.0.query_opt(BY_CREDENTIAL, params![credential_id]).await?;
        row.as_ref().map(factor_of).transpose()
    }

    /// Keeps a factor, and forgets enrolments from before `abandoned`. False if the passkey is
    /// registered already.
    pub(crate) async fn insert_factor(
        &self,
        factor: &Factor,
        abandoned: Timestamp,
    ) -> Result<bool, Error> {
        let insert = params![
            factor.id.as_str(),
            factor.user_id.as_str(),
            factor.kind.name(),
            &factor.name,
            &factor.data,
            factor.credential_id.as_deref(),
            factor.counter,
            factor.confirmed_at.map(Timestamp::as_micros),
            factor.created_at.as_micros(),
        ];
        let forget = params![factor.user_id.as_str(), abandoned.as_micros()];
        let batch = Batch::new().then(FORGET_UNCONFIRMED, forget).then(INSERT, insert);
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets an app count from now on, with new recovery codes if there are any here. False if it was
    /// confirmed or deleted meanwhile.
    pub(crate) async fn confirm_factor(
        &self,
        factor: &Factor,
        step: i64,
        codes: &[String],
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (id, user) = (factor.id.as_str(), factor.user_id.as_str());
        let confirm = params![id, user, now.as_micros(), step];
        let mut batch = Batch::new().then_expect(CONFIRM, confirm, Expect::Rows(1));
        if !codes.is_empty() {
            batch = batch.append(new_codes(&factor.user_id, codes));
        }
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Uses up a step of an app. False if it or a later one was used.
    pub(crate) async fn use_step(
        &self,
        factor: &FactorId,
        step: i64,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let params = params![factor.as_str(), step, now.as_micros()];
        Ok(self.0.execute(USE, params).await?.changed == 1)
    }

    /// Notes a use of a passkey. False if its count did not grow.
    pub(crate) async fn use_passkey(
        &self,
        factor: &FactorId,
        counter: i64,
        data: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let params = params![factor.as_str(), counter, data, now.as_micros()];
        Ok(self.0.execute(USE_PASSKEY, params).await?.changed == 1)
    }

    /// Deletes a factor of a user, and the recovery codes when no app is left. False if there is none.
    pub(crate) async fn delete_factor(
        &self,
        user: &UserId,
        factor: &FactorId,
    ) -> Result<bool, Error> {
        let batch = Batch::new()
            .then_expect(DELETE, params![factor.as_str(), user.as_str()], Expect::Rows(1))
            .then(DELETE_CODES_OF_NOTHING, params![user.as_str()]);
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces all recovery codes of a user by these, given as hashes.
    pub(crate) async fn replace_codes(&self, user: &UserId, codes: &[String]) -> Result<(), Error> {
        self.0.write(new_codes(user, codes)).await?;
        Ok(())
    }

    /// Uses up a recovery code. False if it is none or was used.
    pub(crate) async fn use_code(
        &self,
        user: &UserId,
        hash: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let params = params![user.as_str(), hash, now.as_micros()];
        Ok(self.0.execute(USE_CODE, params).await?.changed == 1)
    }

    pub(crate) async fn codes_left(&self, user: &UserId) -> Result<i64, Error> {
        let row = self.0.query_opt(COUNT_CODES, params![user.as_str()]).await?;
        row.map_or(Ok(0), |row| Ok(row.integer("left_over")?))
    }
}

fn new_codes(user: &UserId, codes: &[String]) -> Batch {
    let batch = Batch::new().then(DELETE_CODES, params![user.as_str()]);
    codes.iter().fold(batch, |batch, hash| batch.then(INSERT_CODE, params![user.as_str(), hash]))
}

fn factor_of(row: &Row) -> Result<Factor, Error> {
    let broken = || Error::Row { what: "factor" };
    Ok(Factor {
        id: FactorId::parse(&row.text("id")?).map_err(|_| broken())?,
        user_id: UserId::parse(&row.text("user_id")?).map_err(|_| broken())?,
        kind: Kind::parse(&row.text("kind")?).ok_or_else(broken)?,
        name: row.text("name")?,
        data: row.text("data")?,
        credential_id: row.opt_text("credential_id")?,
        counter: row.integer("counter")?,
        confirmed_at: row.opt_integer("confirm_time")?.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        used_at: row.opt_integer("last_use_time")?.map(Timestamp::from_micros),
    })
}

//! Doing a thing once although it is asked for twice.
//!
//! The key row is inserted in the same transaction as the work, so there is no moment in which the
//! work
//! is done and the key is unknown, or the other way round. The answer is kept with the key and
//! given
//! again to a repetition. The table belongs to the service: it adds [`TABLE`] as one of its
//! migrations.

use crate::{Batch, Database, Done, Error, Expect, params};

/// The SQL of the migration that makes the table of keys.
pub const TABLE: &str = "CREATE TABLE idempotency_keys (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    reply BYTEA NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_create_time ON idempotency_keys (create_time);";

const REMEMBER: &str = "INSERT INTO idempotency_keys (scope, key, fingerprint, reply, create_time)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scope, key) DO NOTHING";

const RECALL: &str =
    "SELECT fingerprint, reply FROM idempotency_keys WHERE scope = $1 AND key = $2";

const FORGET: &str = "DELETE FROM idempotency_keys WHERE create_time < $1";

/// How often a key that vanishes between the attempt and the look is tried again.
const ATTEMPTS: usize = 3;

/// A request that may be repeated.
#[derive(Clone)]
pub struct Once {
    /// Who asks for what: caller and method. Keys of one scope never meet those of another.
    pub scope: String,
    /// The caller's key.
    pub key: String,
    /// A hash of the request: a key used again for another request is a mistake of the caller.
    pub fingerprint: String,
    /// The answer to give now and to every repetition.
    pub reply: Vec<u8>,
}

/// What became of a batch that may be a repetition.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The batch was run now.
    Done(Vec<Done>),
    /// The same request was done before; here is its answer, and nothing was changed.
    Replayed(Vec<u8>),
    /// The key was used before for another request; nothing was changed.
    Mismatch,
}

// === impl Database ===

impl Database {
    /// Runs a batch, at most once per key. Without a key it always runs. `now_micros` is the time
    /// in microseconds since 1970.
    pub async fn write_once(
        &self,
        once: Option<Once>,
        batch: Batch,
        now_micros: i64,
    ) -> Result<Outcome, Error> {
        let Some(once) = once else {
            return self.write(batch).await.map(Outcome::Done);
        };
        let Once { scope, key, fingerprint, reply } = once;
        let remember = params![&scope, &key, &fingerprint, reply, now_micros];
        let whole = Batch::new().then_expect(REMEMBER, remember, Expect::Rows(1)).append(batch);
        let mut last = Error::Closed;
        for _ in 0..ATTEMPTS {
            match self.write(whole.clone()).await {
                Ok(mut done) => {
                    done.remove(0);
                    return Ok(Outcome::Done(done));
                }
                Err(error @ Error::Unexpected { statement: 0, .. }) => last = error,
                Err(error) => return Err(error.before_first()),
            }
            // Another request holds the key. If it was forgotten in between, the key is free again.
            if let Some(row) = self.query_opt(RECALL, params![&scope, &key]).await? {
                if row.text("fingerprint")? != fingerprint {
                    return Ok(Outcome::Mismatch);
                }
                return row.blob("reply").map(Outcome::Replayed);
            }
        }
        Err(last)
    }

    /// Deletes the keys that are older than a time in microseconds since 1970; answers how many
    /// there were.
    pub async fn forget_once(&self, older_than_micros: i64) -> Result<u64, Error> {
        Ok(self.execute(FORGET, params![older_than_micros]).await?.changed)
    }
}

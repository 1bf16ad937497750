//! The database of auth: the only rooms with SQL.
//!
//! Everything that decides about callers changes together with the number in `access`. That row comes
//! first in its batch, so that two such changes wait for each other on either database: rules over
//! several rows ("the first user", "the last admin") hold although each statement sees only its own
//! moment. Secrets are here only as hashes.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Database, Migration, Settings, once, params};

use crate::Error;

mod access;
mod api_keys;
pub(crate) mod audit;
mod browser_sessions;
mod clients;
mod codes;
mod consents;
mod devices;
mod directory;
mod factors;
mod keys;
mod logouts;
mod policies;
mod requests;
mod revocations;
mod schema;
mod schema_browser;
mod sessions;
mod tickets;
mod upstream;
mod users;

pub(crate) use access::Snapshot;
pub(crate) use api_keys::Which;
pub(crate) use directory::{
    Wrote, changes,
    stopped::{self, Stopped},
};
pub(crate) use keys::KeyRow;
pub(crate) use logouts::Notice;
pub(crate) use requests::{Kind, Waiting};
pub(crate) use tickets::Ends;
pub(crate) use users::Changed;

/// Which part of a list to read.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// Go on after the item with this time and id.
    pub(crate) after: Option<(i64, String)>,
    /// Whether the newest comes first.
    pub(crate) newest_first: bool,
    /// How many, one more than are shown.
    pub(crate) limit: i64,
}

// === impl Slice ===

impl Slice {
    /// The same part of a list that is in memory.
    pub(crate) fn cut<T>(&self, mut all: Vec<T>, key: impl Fn(&T) -> (i64, String)) -> Vec<T> {
        all.sort_by_cached_key(&key);
        if self.newest_first {
            all.reverse();
        }
        let is_later = |item: &T| match &self.after {
            Some(after) if self.newest_first => key(item) < *after,
            Some(after) => key(item) > *after,
            None => true,
        };
        let limit = usize::try_from(self.limit).unwrap_or_default();
        all.into_iter().filter(is_later).take(limit).collect()
    }
}

/// The database of auth. Clones share it.
#[derive(Clone)]
pub(crate) struct Store(Database);

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "users_sessions_codes_keys", sql: schema::FIRST },
    Migration { version: 2, name: "idempotency_keys", sql: once::TABLE },
    Migration { version: 3, name: "organizations_and_terms", sql: schema::TERMS },
    Migration { version: 4, name: "clients", sql: schema::CLIENTS },
    Migration { version: 5, name: "signing_keys", sql: schema::SIGNING_KEYS },
    Migration { version: 6, name: "browser_sessions", sql: schema_browser::PAGES },
    Migration { version: 7, name: "directory", sql: directory::TABLES },
    Migration { version: 8, name: "keys_of_service_accounts", sql: api_keys::TABLE },
    Migration { version: 9, name: "audit", sql: audit::TABLES },
    Migration { version: 10, name: "policies", sql: policies::TABLES },
    Migration { version: 11, name: "factors_and_tickets", sql: schema::ACCOUNTS },
];

const BUMP: &str = "UPDATE access SET revision = revision + 1 WHERE id = 1";

impl Store {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        Ok(Self(Database::open(settings, "auth", MIGRATIONS).await?))
    }

    pub(crate) async fn close(self) {
        self.0.close().await;
    }

    /// Deletes what is of no use to anyone: codes and sessions that are long over, kept answers of the
    /// day before yesterday, clients that registered themselves and got no token within `unused`.
    pub(crate) async fn forget(&self, now: Timestamp, unused: Duration) -> Result<(), Error> {
        let day = Duration::from_hours(24);
        let yesterday = now.before(day).as_micros();
        let batch = Batch::new()
            .then(codes::FORGET, params![yesterday])
            .then(sessions::FORGET, params![yesterday])
            .then(clients::FORGET, params![now.before(unused).as_micros()])
            .then(clients::FORGET_ASSERTIONS, params![now.as_micros()])
            .then(revocations::FORGET, params![now.as_micros()])
            .then(browser_sessions::FORGET, params![yesterday])
            .then(devices::FORGET, params![yesterday])
            .then(requests::FORGET, params![yesterday])
            .then(tickets::FORGET, params![now.as_micros()]);
        self.0.write(batch).await?;
        self.0.forget_once(yesterday).await?;
        Ok(())
    }
}

/// A batch that changes what callers may do.
fn decisive() -> Batch {
    Batch::new().then(BUMP, params![])
}

/// The time and the id to go on after; a time beyond all others stands for "from the start" together
/// with the direction, so that one SQL text serves every page.
fn bounds(slice: &Slice) -> (i64, String) {
    match &slice.after {
        Some(after) => after.clone(),
        None if slice.newest_first => (i64::MAX, String::new()),
        None => (i64::MIN, String::new()),
    }
}

fn list(texts: &[String]) -> String {
    serde_json::to_string(texts).expect("strings always serialize")
}

fn unlist(text: &str, what: &'static str) -> Result<Vec<String>, Error> {
    serde_json::from_str(text).map_err(|_| Error::Row { what })
}

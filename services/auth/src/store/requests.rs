//! Authorization requests that wait: pushed ones, and those whose user is signing in. What they say is
//! sealed before it comes here.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Row, params};

use super::Store;
use crate::{
    Error,
    domain::{SessionId, requests::Progress},
};

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Hash of its name.
    pub(crate) hash: String,
    pub(crate) kind: Kind,
    pub(crate) client_id: String,
    /// The parameters, sealed.
    pub(crate) parameters: Vec<u8>,
    /// Hash of the secret in the cookie of the browser it belongs to.
    pub(crate) browser_hash: Option<String>,
    pub(crate) progress: Progress,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client itself pushed it (RFC 9126).
    Pushed,
    /// A browser posted it.
    Posted,
    /// It is shown to a user.
    Pending,
}

/// The most requests that wait at a time.
const MAX_WAITING: i64 = 50_000;

const SWEEP: &str = "DELETE FROM authorization_requests WHERE expire_time < $1";

const INSERT: &str =
    "INSERT INTO authorization_requests (hash, kind, client_id, parameters, browser_hash,
        session_before, chosen, create_time, expire_time)
    VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)";

const COUNT: &str = "SELECT COUNT(*) AS waiting FROM authorization_requests";

const COLUMNS_OF: &str =
    "SELECT hash, kind, client_id, parameters, browser_hash, session_before, chosen,
        create_time, expire_time
    FROM authorization_requests WHERE hash = $1";

const TAKE: &str = "DELETE FROM authorization_requests WHERE hash = $1
    RETURNING hash, kind, client_id, parameters, browser_hash, session_before, chosen, create_time,
        expire_time";

const CHOSEN: &str = "UPDATE authorization_requests SET chosen = 1 WHERE hash = $1";

const REBIND: &str = "UPDATE authorization_requests SET browser_hash = $2 WHERE browser_hash = $1";

pub(super) const FORGET: &str = SWEEP;

impl Store {
    /// Keeps a request; forgets those whose time is over. False if too many wait.
    pub(crate) async fn insert_waiting(&self, waiting: &Waiting) -> Result<bool, Error> {
        // A bound on what strangers can fill, so it may be passed by the few that come at once.
        let row = self.0.query_opt(COUNT, params![]).await?;
        let count = row.ok_or(Error::Row { what: "count of requests" })?.integer("waiting")?;
        if count >= MAX_WAITING {
            self.0.execute(SWEEP, params![waiting.created_at.as_micros()]).await?;
            return Ok(false);
        }
        let values = params![
            &waiting.hash,
            waiting.kind.name(),
            &waiting.client_id,
            waiting.parameters.clone(),
            waiting.browser_hash.as_deref(),
            waiting.progress.session_before.as_ref().map(SessionId::as_str),
            waiting.created_at.as_micros(),
            waiting.expires_at.as_micros(),
        ];
        let batch =
            Batch::new().then(SWEEP, params![waiting.created_at.as_micros()]).then(INSERT, values);
        self.0.write(batch).await?;
        Ok(true)
    }

    pub(crate) async fn waiting(&self, hash: &str) -> Result<Option<Waiting>, Error> {
        let row = self.0.query_opt(COLUMNS_OF, params![hash]).await?;
        row.as_ref().map(waiting_of).transpose()
    }

    /// Takes a request out; only one who asks gets it.
    pub(crate) async fn take_waiting(&self, hash: &str) -> Result<Option<Waiting>, Error> {
        let done = self.0.execute(TAKE, params![hash]).await?;
        done.rows.first().map(waiting_of).transpose()
    }

    /// Notes that the user chose the account.
    pub(crate) async fn choose(&self, hash: &str) -> Result<(), Error> {
        self.0.execute(CHOSEN, params![hash]).await?;
        Ok(())
    }

    /// Gives the requests of a browser to the cookie that it has from now on.
    pub(crate) async fn rebind(&self, before: &str, now: &str) -> Result<(), Error> {
        self.0.execute(REBIND, params![before, now]).await?;
        Ok(())
    }
}

// === impl Kind ===

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Pushed => "pushed",
            Self::Posted => "posted",
            Self::Pending => "pending",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Pushed, Self::Posted, Self::Pending].into_iter().find(|kind| kind.name() == name)
    }
}

fn waiting_of(row: &Row) -> Result<Waiting, Error> {
    let broken = || Error::Row { what: "authorization request" };
    let before = row.opt_text("session_before")?;
    Ok(Waiting {
        hash: row.text("hash")?,
        kind: Kind::parse(&row.text("kind")?).ok_or_else(broken)?,
        client_id: row.text("client_id")?,
        parameters: row.blob("parameters")?,
        browser_hash: row.opt_text("browser_hash")?,
        progress: Progress {
            session_before: before
                .map(|id| SessionId::parse(&id).map_err(|_| broken()))
                .transpose()?,
            is_chosen: row.integer("chosen")? != 0,
        },
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        expires_at: Timestamp::from_micros(row.integer("expire_time")?),
    })
}

//! Sessions of browsers.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Expect, Row, params};

use super::{Store, list, unlist};
use crate::{
    Error,
    domain::{
        SessionId, UserId,
        browser_sessions::{BrowserSession, Origin},
        principals::Authentication,
    },
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, chain_id, user_id, secret_hash, auth_time, auth_methods, half, address, agent, \
             create_time, seen_time, expire_time, end_time FROM browser_sessions ",
            $rest
        )
    };
}

const GET: &str = select!("WHERE id = $1");

const BY_SECRET: &str = select!("WHERE secret_hash = $1");

const OF_USER: &str = select!(
    "WHERE user_id = $1 AND half = 0 AND end_time IS NULL AND expire_time > $2 AND seen_time > $3
     ORDER BY seen_time DESC, id DESC LIMIT 200"
);

const INSERT: &str = "INSERT INTO browser_sessions (id, chain_id, user_id, secret_hash, auth_time,
        auth_methods, half, address, agent, create_time, seen_time, expire_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

const SEEN: &str = "UPDATE browser_sessions SET seen_time = $2 WHERE id = $1 AND seen_time < $2";

const END: &str = "UPDATE browser_sessions SET end_time = $2 WHERE id = $1 AND end_time IS NULL";

const END_CHAIN: &str =
    "UPDATE browser_sessions SET end_time = $2 WHERE chain_id = $1 AND end_time IS NULL";

const GRANTS_OF_CHAIN: &str = "SELECT id FROM sessions WHERE end_time IS NULL AND expire_time > $2
    AND browser_session_id IN (SELECT id FROM browser_sessions WHERE chain_id = $1)
    ORDER BY create_time, id LIMIT 1000";

pub(super) const FORGET: &str = "DELETE FROM browser_sessions WHERE expire_time < $1";

impl Store {
    pub(crate) async fn browser_session(
        &self,
        id: &SessionId,
    ) -> Result<Option<BrowserSession>, Error> {
        let row = self.0.query_opt(GET, params![id.as_str()]).await?;
        row.as_ref().map(session_of).transpose()
    }

    /// The session whose cookie holds the secret with this hash.
    pub(crate) async fn browser_session_by_secret(
        &self,
        hash: &str,
    ) -> Result<Option<BrowserSession>, Error> {
        let row = self.0.query_opt(BY_SECRET, params![hash]).await?;
        row.as_ref().map(session_of).transpose()
    }

    /// The sessions of a user that are alive and were used after `seen`, the latest first; at most 200.
    pub(crate) async fn browser_sessions_of(
        &self,
        user: &UserId,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<BrowserSession>, Error> {
        let params = params![user.as_str(), now.as_micros(), seen.as_micros()];
        self.0.query(OF_USER, params).await?.iter().map(session_of).collect()
    }

    /// Keeps a session, and ends the one it follows in the same step.
    pub(crate) async fn insert_browser_session(
        &self,
        session: &BrowserSession,
        before: Option<&SessionId>,
    ) -> Result<(), Error> {
        let mut batch = Batch::new();
        if let Some(before) = before {
            batch = batch.then(END, params![before.as_str(), session.created_at.as_micros()]);
        }
        let params = params![
            session.id.as_str(),
            session.chain_id.as_str(),
            session.user_id.as_str(),
            &session.secret_hash,
            session.authentication.at.as_micros(),
            list(&session.authentication.methods),
            i64::from(session.is_half),
            &session.origin.address,
            &session.origin.agent,
            session.created_at.as_micros(),
            session.seen_at.as_micros(),
            session.expires_at.as_micros(),
        ];
        self.0.write(batch.then_expect(INSERT, params, Expect::Rows(1))).await?;
        Ok(())
    }

    pub(crate) async fn browser_session_seen(
        &self,
        id: &SessionId,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.0.execute(SEEN, params![id.as_str(), at.as_micros()]).await?;
        Ok(())
    }

    /// Ends all sessions of a chain.
    pub(crate) async fn end_chain(&self, chain: &SessionId, now: Timestamp) -> Result<(), Error> {
        self.0.execute(END_CHAIN, params![chain.as_str(), now.as_micros()]).await?;
        Ok(())
    }

    /// The grants that were made in the sessions of a chain and are alive, at most 1,000.
    pub(crate) async fn grants_of_chain(
        &self,
        chain: &SessionId,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, Error> {
        let rows = self.0.query(GRANTS_OF_CHAIN, params![chain.as_str(), now.as_micros()]).await?;
        rows.iter().map(|row| session_id(&row.text("id")?)).collect()
    }
}

fn session_of(row: &Row) -> Result<BrowserSession, Error> {
    let broken = |_| Error::Row { what: "browser session" };
    Ok(BrowserSession {
        id: session_id(&row.text("id")?)?,
        chain_id: session_id(&row.text("chain_id")?)?,
        user_id: UserId::parse(&row.text("user_id")?).map_err(broken)?,
        secret_hash: row.text("secret_hash")?,
        authentication: Authentication {
            at: Timestamp::from_micros(row.integer("auth_time")?),
            methods: unlist(&row.text("auth_methods")?, "browser session")?,
        },
        is_half: row.integer("half")? != 0,
        origin: Origin { address: row.text("address")?, agent: row.text("agent")? },
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        seen_at: Timestamp::from_micros(row.integer("seen_time")?),
        expires_at: Timestamp::from_micros(row.integer("expire_time")?),
        ended_at: row.opt_integer("end_time")?.map(Timestamp::from_micros),
    })
}

fn session_id(text: &str) -> Result<SessionId, Error> {
    SessionId::parse(text).map_err(|_| Error::Row { what: "browser session" })
}

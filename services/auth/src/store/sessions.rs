//! Sessions.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Error as StoreError, Expect, Params, Row, params};

use super::{Slice, Store, bounds, decisive, list, unlist};
use crate::{
    Error,
    domain::{
        SessionId, UserId,
        principals::Authentication,
        sessions::{Session, Terms},
    },
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, client_id, scopes, generation, family_hash, token_hash, create_time, \
             refresh_time, expire_time, end_time, browser_session_id, auth_time, auth_methods, \
             audiences, jkt, claims, nonce, previous_hash, successor FROM sessions ",
            $rest
        )
    };
}

const GET: &str = select!("WHERE id = $1");

const NEWEST: &str = select!(
    "WHERE (create_time < $1 OR (create_time = $1 AND id < $2))
      AND (CAST($3 AS TEXT) IS NULL OR user_id = $3)
      AND end_time IS NULL AND expire_time > $4
      AND user_id IN (SELECT id FROM users WHERE organization_id = $6)
     ORDER BY create_time DESC, id DESC LIMIT $5"
);

const OLDEST: &str = select!(
    "WHERE (create_time > $1 OR (create_time = $1 AND id > $2))
      AND (CAST($3 AS TEXT) IS NULL OR user_id = $3)
      AND end_time IS NULL AND expire_time > $4
      AND user_id IN (SELECT id FROM users WHERE organization_id = $6)
     ORDER BY create_time, id LIMIT $5"
);

pub(super) const INSERT: &str = "INSERT INTO sessions (id, user_id, client_id, scopes, generation,
        family_hash, token_hash, create_time, refresh_time, expire_time, browser_session_id,
        auth_time, auth_methods, audiences, jkt, claims, nonce)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

// One refresh wins: the next one finds another number.
const REFRESH: &str = "UPDATE sessions
    SET generation = $2, token_hash = $3, refresh_time = $4, expire_time = $5, previous_hash = $6,
        successor = $7
    WHERE id = $1 AND generation = $2 - 1 AND end_time IS NULL";

const END: &str = "UPDATE sessions SET end_time = $2 WHERE id = $1 AND end_time IS NULL";

pub(super) const END_OF_USER: &str = "UPDATE sessions SET end_time = $2 WHERE user_id = $1 AND end_time IS NULL AND expire_time > $2";

const EXCESS: &str =
    "SELECT id FROM sessions WHERE user_id = $1 AND end_time IS NULL AND expire_time > $2
    ORDER BY create_time DESC, id DESC LIMIT 100 OFFSET $3";

const COUNT: &str =
    "SELECT COUNT(*) AS sessions FROM sessions WHERE end_time IS NULL AND expire_time > $1";

pub(super) const FORGET: &str = "DELETE FROM sessions WHERE expire_time < $1 OR end_time < $1";

impl Store {
    pub(crate) async fn session(&self, id: &SessionId) -> Result<Option<Session>, Error> {
        let row = self.0.query_opt(GET, params![id.as_str()]).await?;
        row.as_ref().map(session_of).transpose()
    }

    /// Sessions of an organisation's users that are alive.
    pub(crate) async fn sessions_in(
        &self,
        slice: &Slice,
        organization: &str,
        user: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Session>, Error> {
        let (time, id) = bounds(slice);
        let sql = if slice.newest_first { NEWEST } else { OLDEST };
        let params = params![time, id, user, now.as_micros(), slice.limit, organization];
        let rows = self.0.query(sql, params).await?;
        rows.iter().map(session_of).collect()
    }

    pub(crate) async fn insert_session(&self, session: &Session) -> Result<(), Error> {
        self.0.execute(INSERT, insert_params(session)).await?;
        Ok(())
    }

    /// Keeps a session as refreshed. False if another refresh or the end came first.
    pub(crate) async fn refresh_session(&self, session: &Session) -> Result<bool, Error> {
        let params = params![
            session.id.as_str(),
            session.generation,
            &session.token_hash,
            session.refreshed_at.as_micros(),
            session.expires_at.as_micros(),
            session.previous_hash.as_deref(),
            session.successor.as_deref(),
        ];
        Ok(self.0.execute(REFRESH, params).await?.changed == 1)
    }

    /// Ends a session. False if it had ended before.
    pub(crate) async fn end_session(&self, id: &SessionId, now: Timestamp) -> Result<bool, Error> {
        let end = params![id.as_str(), now.as_micros()];
        match self.0.write(decisive().then_expect(END, end, Expect::Rows(1))).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The sessions of a user that are alive beyond the `most` newest, at most 100.
    pub(crate) async fn excess_sessions(
        &self,
        user: &UserId,
        most: i64,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, Error> {
        let rows = self.0.query(EXCESS, params![user.as_str(), now.as_micros(), most]).await?;
        rows.iter().map(|row| session_id(&row.text("id")?)).collect()
    }

    /// How many sessions are alive.
    pub(crate) async fn open_sessions(&self, now: Timestamp) -> Result<i64, Error> {
        let row = self.0.query_opt(COUNT, params![now.as_micros()]).await?;
        Ok(row.ok_or(Error::Row { what: "count of sessions" })?.integer("sessions")?)
    }
}

pub(super) fn insert_params(session: &Session) -> Params {
    params![
        session.id.as_str(),
        session.user_id.as_str(),
        &session.client_id,
        list(&session.scopes),
        session.generation,
        &session.family_hash,
        &session.token_hash,
        session.created_at.as_micros(),
        session.refreshed_at.as_micros(),
        session.expires_at.as_micros(),
        session.terms.browser_session_id.as_deref(),
        session.terms.authentication.at.as_micros(),
        list(&session.terms.authentication.methods),
        list(&session.terms.audiences),
        session.terms.jkt.as_deref(),
        session.terms.claims.as_deref(),
        session.terms.nonce.as_deref(),
    ]
}

/// The terms, of a session or of a code: both have the same columns.
pub(super) fn terms_of(row: &Row) -> Result<Terms, Error> {
    Ok(Terms {
        browser_session_id: row.opt_text("browser_session_id")?,
        authentication: Authentication {
            at: Timestamp::from_micros(row.integer("auth_time")?),
            methods: unlist(&row.text("auth_methods")?, "authentication")?,
        },
        audiences: unlist(&row.text("audiences")?, "authentication")?,
        jkt: row.opt_text("jkt")?,
        claims: row.opt_text("claims")?,
        nonce: row.opt_text("nonce")?,
    })
}

fn session_of(row: &Row) -> Result<Session, Error> {
    let broken = || Error::Row { what: "session" };
    Ok(Session {
        id: session_id(&row.text("id")?)?,
        user_id: UserId::parse(&row.text("user_id")?).map_err(|_| broken())?,
        client_id: row.text("client_id")?,
        scopes: unlist(&row.text("scopes")?, "session")?,
        generation: u32::try_from(row.integer("generation")?).map_err(|_| broken())?,
        family_hash: row.text("family_hash")?,
        token_hash: row.text("token_hash")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        refreshed_at: Timestamp::from_micros(row.integer("refresh_time")?),
        expires_at: Timestamp::from_micros(row.integer("expire_time")?),
        ended_at: row.opt_integer("end_time")?.map(Timestamp::from_micros),
        terms: terms_of(row)?,
        previous_hash: row.opt_text("previous_hash")?,
        successor: row.opt_text("successor")?,
    })
}

fn session_id(text: &str) -> Result<SessionId, Error> {
    SessionId::parse(text).map_err(|_| Error::Row { what: "session" })
}

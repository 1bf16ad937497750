//! Authorization codes.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Error as StoreError, Expect, Row, params};

use super::{Store, list, sessions, unlist};
use crate::{
    Error,
    domain::{SessionId, UserId, codes::Code, sessions::Session},
};

const GET: &str =
    "SELECT hash, user_id, session_id, client_id, redirect_uri, challenge, scopes, create_time,
        expire_time, issued_session_id, browser_session_id, auth_time, auth_methods, audiences, jkt,
        claims, nonce
    FROM codes WHERE hash = $1";

const INSERT: &str =
    "INSERT INTO codes (hash, user_id, session_id, client_id, redirect_uri, challenge, scopes,
        create_time, expire_time, browser_session_id, auth_time, auth_methods, audiences, jkt, claims,
        nonce)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

// One exchange wins.
const SPEND: &str =
    "UPDATE codes SET issued_session_id = $2 WHERE hash = $1 AND issued_session_id IS NULL";

const BURN: &str = "UPDATE codes SET expire_time = 0 WHERE hash = $1 AND issued_session_id IS NULL";

pub(super) const FORGET: &str = "DELETE FROM codes WHERE expire_time < $1";

impl Store {
    pub(crate) async fn code(&self, hash: &str) -> Result<Option<Code>, Error> {
        let row = self.0.query_opt(GET, params![hash]).await?;
        row.as_ref().map(code_of).transpose()
    }

    pub(crate) async fn insert_code(&self, code: &Code) -> Result<(), Error> {
        let params = params![
            &code.hash,
            code.user_id.as_str(),
            code.session_id.as_str(),
            &code.client_id,
            &code.redirect_uri,
            &code.challenge,
            list(&code.scopes),
            code.created_at.as_micros(),
            code.expires_at.as_micros(),
            code.terms.browser_session_id.as_deref(),
            code.terms.authentication.at.as_micros(),
            list(&code.terms.authentication.methods),
            list(&code.terms.audiences),
            code.terms.jkt.as_deref(),
            code.terms.claims.as_deref(),
            code.terms.nonce.as_deref(),
        ];
        self.0.execute(INSERT, params).await?;
        Ok(())
    }

    /// Makes a code that was not exchanged worthless.
    pub(crate) async fn burn_code(&self, hash: &str) -> Result<(), Error> {
        self.0.execute(BURN, params![hash]).await?;
        Ok(())
    }

    /// Exchanges a code for a session, together. False if it was exchanged before.
    pub(crate) async fn spend_code(&self, hash: &str, session: &Session) -> Result<bool, Error> {
        let batch = Batch::new()
            .then_expect(SPEND, params![hash, session.id.as_str()], Expect::Rows(1))
            .then(sessions::INSERT, sessions::insert_params(session));
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn code_of(row: &Row) -> Result<Code, Error> {
    let broken = || Error::Row { what: "code" };
    let session = |text: String| SessionId::parse(&text).map_err(|_| broken());
    Ok(Code {
        hash: row.text("hash")?,
        user_id: UserId::parse(&row.text("user_id")?).map_err(|_| broken())?,
        session_id: session(row.text("session_id")?)?,
        client_id: row.text("client_id")?,
        redirect_uri: row.text("redirect_uri")?,
        challenge: row.text("challenge")?,
        scopes: unlist(&row.text("scopes")?, "code")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        expires_at: Timestamp::from_micros(row.integer("expire_time")?),
        issued: row.opt_text("issued_session_id")?.map(session).transpose()?,
        terms: sessions::terms_of(row)?,
    })
}

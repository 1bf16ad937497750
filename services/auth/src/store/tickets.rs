//! Tickets, proven addresses, and passwords that are set anew.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Error as StoreError, Expect, Row, params};

use super::{Store, decisive, sessions};
use crate::{
    Error,
    domain::{
        SessionId, UserId,
        tickets::{Kind, Ticket},
    },
};

const INSERT: &str = "INSERT INTO tickets (hash, kind, user_id, state, expire_time)
    VALUES ($1, $2, $3, $4, $5)";

const GET: &str = "SELECT user_id, state, expire_time FROM tickets WHERE hash = $1 AND kind = $2";

// Reading and destroying are one: of two who bring the same number, one finds nothing.
const TAKE: &str = "DELETE FROM tickets WHERE hash = $1 AND kind = $2
    RETURNING user_id, state, expire_time";

const FORGET_OF_USER: &str = "DELETE FROM tickets WHERE user_id = $1 AND kind = $2";

pub(super) const FORGET: &str = "DELETE FROM tickets WHERE expire_time < $1";

const PASSWORD: &str = "SELECT password_hash FROM users WHERE id = $1";

const SET_PASSWORD: &str =
    "UPDATE users SET password_hash = $2 WHERE id = $1 AND password_hash = $3";

const END_OTHERS: &str = "UPDATE sessions SET end_time = $2
    WHERE user_id = $1 AND end_time IS NULL AND expire_time > $2 AND id <> $3";

const END_BROWSERS: &str = "UPDATE browser_sessions SET end_time = $2
    WHERE user_id = $1 AND end_time IS NULL AND id <> $3";

const PROVE: &str = "INSERT INTO proven_emails (user_id, email_key, create_time)
    VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET email_key = excluded.email_key,
        create_time = excluded.create_time";

const PROVEN: &str = "SELECT proven_emails.user_id FROM proven_emails
    JOIN users ON users.id = proven_emails.user_id AND users.email_key = proven_emails.email_key
    WHERE proven_emails.user_id = $1";

/// Which sessions end with an old password.
pub(crate) enum Ends<'a> {
    /// None: the password is the same and only its hash is new.
    None,
    /// All but this one.
    Others(&'a SessionId),
    /// All.
    All,
}

impl Store {
    pub(crate) async fn insert_ticket(&self, ticket: &Ticket) -> Result<(), Error> {
        let params = params![
            &ticket.hash,
            ticket.kind.name(),
            ticket.user_id.as_ref().map(UserId::as_str),
            &ticket.state,
            ticket.expires_at.as_micros(),
        ];
        self.0.execute(INSERT, params).await?;
        Ok(())
    }

    /// Takes a ticket away, once. `None` if there is none, or no longer.
    pub(crate) async fn take_ticket(
        &self,
        kind: Kind,
        hash: &str,
        now: Timestamp,
    ) -> Result<Option<Ticket>, Error> {
        let done = self.0.execute(TAKE, params![hash, kind.name()]).await?;
        let ticket = done.rows.first().map(|row| ticket_of(row, kind, hash)).transpose()?;
        Ok(ticket.filter(|ticket| now < ticket.expires_at))
    }

    /// Reads a ticket without taking it.
    pub(crate) async fn ticket(
        &self,
        kind: Kind,
        hash: &str,
        now: Timestamp,
    ) -> Result<Option<Ticket>, Error> {
        let row = self.0.query_opt(GET, params![hash, kind.name()]).await?;
        let ticket = row.map(|row| ticket_of(&row, kind, hash)).transpose()?;
        Ok(ticket.filter(|ticket| now < ticket.expires_at))
    }

    /// Makes older tickets of this kind void.
    pub(crate) async fn forget_tickets(&self, user: &UserId, kind: Kind) -> Result<(), Error> {
        self.0.execute(FORGET_OF_USER, params![user.as_str(), kind.name()]).await?;
        Ok(())
    }

    /// The PHC string of a user's password.
    pub(crate) async fn password_hash(&self, user: &UserId) -> Result<Option<String>, Error> {
        let row = self.0.query_opt(PASSWORD, params![user.as_str()]).await?;
        row.map(|row| Ok(row.text("password_hash")?)).transpose()
    }

    /// Replaces a password by another, as long as it is still the old one, and ends sessions. False if
    /// somebody else replaced it meanwhile.
    pub(crate) async fn set_password(
        &self,
        user: &UserId,
        (old, new): (&str, &str),
        ends: Ends<'_>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let set = params![user.as_str(), new, old];
        let batch = match ends {
            Ends::None => Batch::new().then_expect(SET_PASSWORD, set, Expect::Rows(1)),
            Ends::Others(kept) => {
                let end = params![user.as_str(), now.as_micros(), kept.as_str()];
                decisive()
                    .then_expect(SET_PASSWORD, set, Expect::Rows(1))
                    .then(END_OTHERS, end.clone())
                    .then(END_BROWSERS, end)
            }
            Ends::All => {
                let end = params![user.as_str(), now.as_micros()];
                decisive()
                    .then_expect(SET_PASSWORD, set, Expect::Rows(1))
                    .then(sessions::END_OF_USER, end)
                    .then(END_BROWSERS, params![user.as_str(), now.as_micros(), ""])
            }
        };
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that a user receives messages under an address.
    pub(crate) async fn prove_email(
        &self,
        user: &UserId,
        email_key: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.0.execute(PROVE, params![user.as_str(), email_key, now.as_micros()]).await?;
        Ok(())
    }

    /// Whether the present address of a user is proven.
    pub(crate) async fn is_email_proven(&self, user: &UserId) -> Result<bool, Error> {
        Ok(self.0.query_opt(PROVEN, params![user.as_str()]).await?.is_some())
    }
}

fn ticket_of(row: &Row, kind: Kind, hash: &str) -> Result<Ticket, Error> {
    let user = |id: String| UserId::parse(&id).map_err(|_| Error::Row { what: "ticket" });
    Ok(Ticket {
        hash: hash.to_owned(),
        kind,
        user_id: row.opt_text("user_id")?.map(user).transpose()?,
        state: row.text("state")?,
        expires_at: Timestamp::from_micros(row.integer("expire_time")?),
    })
}

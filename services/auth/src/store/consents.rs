//! What users allowed applications.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Row, params};

use super::{Store, list, unlist};
use crate::{
    Error,
    domain::{SessionId, UserId, consents::Consent},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT user_id, client_id, scopes, resources, create_time, update_time FROM consents ",
            $rest
        )
    };
}

const GET: &str = select!("WHERE user_id = $1 AND client_id = $2");

const OF_USER: &str = select!("WHERE user_id = $1 ORDER BY update_time DESC, client_id LIMIT 500");

const KEEP: &str =
    "INSERT INTO consents (user_id, client_id, scopes, resources, create_time, update_time)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (user_id, client_id)
    DO UPDATE SET scopes = excluded.scopes, resources = excluded.resources,
        update_time = excluded.update_time";

const DELETE: &str = "DELETE FROM consents WHERE user_id = $1 AND client_id = $2";

const GRANTS: &str =
    "SELECT id FROM sessions WHERE user_id = $1 AND client_id = $2 AND end_time IS NULL
    AND expire_time > $3 ORDER BY create_time, id LIMIT 1000";

impl Store {
    pub(crate) async fn consent(
        &self,
        user: &UserId,
        client_id: &str,
    ) -> Result<Option<Consent>, Error> {
        let row = self.0.query_opt(GET, params![user.as_str(), client_id]).await?;
        row.as_ref().map(consent_of).transpose()
    }

    /// The consents of a user, the latest first; at most 500.
    pub(crate) async fn consents_of(&self, user: &UserId) -> Result<Vec<Consent>, Error> {
        self.0.query(OF_USER, params![user.as_str()]).await?.iter().map(consent_of).collect()
    }

    pub(crate) async fn keep_consent(&self, consent: &Consent) -> Result<(), Error> {
        let params = params![
            consent.user_id.as_str(),
            &consent.client_id,
            list(&consent.scopes),
            list(&consent.resources),
            consent.created_at.as_micros(),
            consent.updated_at.as_micros(),
        ];
        self.0.execute(KEEP, params).await?;
        Ok(())
    }

    /// Forgets a consent. False if there was none.
    pub(crate) async fn delete_consent(
        &self,
        user: &UserId,
        client_id: &str,
    ) -> Result<bool, Error> {
        Ok(self.0.execute(DELETE, params![user.as_str(), client_id]).await?.changed == 1)
    }

    /// The grants of a user for an application that are alive, at most 1,000.
    pub(crate) async fn grants_for(
        &self,
        user: &UserId,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, Error> {
        let params = params![user.as_str(), client_id, now.as_micros()];
        let rows = self.0.query(GRANTS, params).await?;
        let id = |text: String| SessionId::parse(&text).map_err(|_| Error::Row { what: "session" });
        rows.iter().map(|row| id(row.text("id")?)).collect()
    }
}

fn consent_of(row: &Row) -> Result<Consent, Error> {
    Ok(Consent {
        user_id: UserId::parse(&row.text("user_id")?)
            .map_err(|_| Error::Row { what: "consent" })?,
        client_id: row.text("client_id")?,
        scopes: unlist(&row.text("scopes")?, "consent")?,
        resources: unlist(&row.text("resources")?, "consent")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        updated_at: Timestamp::from_micros(row.integer("update_time")?),
    })
}

//! Who is who at other providers.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Error as StoreError, params};

use super::{Store, decisive};
use crate::{
    Error,
    domain::{UserId, upstream::Identity, users::User},
};

const GET: &str = "SELECT user_id FROM upstream_identities WHERE issuer = $1 AND subject = $2";

const INSERT: &str = "INSERT INTO upstream_identities (issuer, subject, user_id, create_time)
    VALUES ($1, $2, $3, $4)";

impl Store {
    /// The user who is this person.
    pub(crate) async fn linked_user(&self, identity: &Identity) -> Result<Option<UserId>, Error> {
        let row = self.0.query_opt(GET, params![&identity.issuer, &identity.subject]).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let id = UserId::parse(&row.text("user_id")?);
        id.map(Some).map_err(|_| Error::Row { what: "upstream identity" })
    }

    /// Links a person to a user. False if the person is linked already.
    pub(crate) async fn link(
        &self,
        identity: &Identity,
        user: &UserId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let link = params![&identity.issuer, &identity.subject, user.as_str(), now.as_micros()];
        match self.0.execute(INSERT, link).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a new user who is this person, both or neither.
    pub(crate) async fn insert_linked_user(
        &self,
        user: &User,
        password_hash: &str,
        identity: &Identity,
    ) -> Result<(), Error> {
        let now = user.created_at.as_micros();
        let link = params![&identity.issuer, &identity.subject, user.id.as_str(), now];
        let batch = decisive()
            .then(super::users::INSERT, super::users::insert_params(user, password_hash))
            .then(INSERT, link);
        self.0.write(batch).await.map_err(super::users::conflict)?;
        Ok(())
    }
}

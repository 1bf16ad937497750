//! OAuth clients, and the assertions that were used.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Error as StoreError, Expect, Params, Row, params};
use serde::{Deserialize, Serialize};

use super::{Slice, Store, bounds, decisive};
use crate::{
    Error,
    domain::clients::{Client, ClientAuth, ClientSecret},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, organization_id, name, dynamic, disabled, registration_hash, use_time, body, \
             revision, create_time, update_time FROM clients ",
            $rest
        )
    };
}

const GET: &str = select!("WHERE id = $1");

const NEWEST: &str = select!(
    "WHERE (create_time < $1 OR (create_time = $1 AND id < $2)) AND organization_id = $3
      AND (CAST($4 AS TEXT) IS NULL OR name = $4)
     ORDER BY create_time DESC, id DESC LIMIT $5"
);

const OLDEST: &str = select!(
    "WHERE (create_time > $1 OR (create_time = $1 AND id > $2)) AND organization_id = $3
      AND (CAST($4 AS TEXT) IS NULL OR name = $4)
     ORDER BY create_time, id LIMIT $5"
);

const INSERT: &str = "INSERT INTO clients (id, organization_id, name, dynamic, disabled,
        registration_hash, body, revision, create_time, update_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

// What registers itself is counted in the same statement that makes it.
const INSERT_WITHIN: &str = "INSERT INTO clients (id, organization_id, name, dynamic, disabled,
        registration_hash, body, revision, create_time, update_time)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
    WHERE (SELECT COUNT(*) FROM clients WHERE dynamic = 1) < $11";

const UPDATE: &str = "UPDATE clients
    SET name = $2, disabled = $3, registration_hash = $4, body = $5, revision = $6, update_time = $7
    WHERE id = $1 AND revision = $6 - 1";

const DELETE: &str = "DELETE FROM clients WHERE id = $1";

const END_SESSIONS: &str = "UPDATE sessions SET end_time = $2
    WHERE client_id = $1 AND end_time IS NULL AND expire_time > $2";

const DELETE_CODES: &str = "DELETE FROM codes WHERE client_id = $1";

const USED: &str =
    "UPDATE clients SET use_time = $2 WHERE id = $1 AND (use_time IS NULL OR use_time < $2)";

pub(super) const FORGET: &str =
    "DELETE FROM clients WHERE dynamic = 1 AND use_time IS NULL AND create_time < $1";

const USE_ASSERTION: &str = "INSERT INTO assertions (hash, expire_time) VALUES ($1, $2)
    ON CONFLICT (hash) DO NOTHING";

pub(super) const FORGET_ASSERTIONS: &str = "DELETE FROM assertions WHERE expire_time < $1";

/// What is kept of a client beside the columns.
#[derive(Serialize, Deserialize)]
struct Body {
    auth: String,
    secrets: Vec<Secret>,
    jwks: Option<String>,
    jwks_uri: Option<String>,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    grant_types: Vec<String>,
    scopes: Vec<String>,
    backchannel_logout_uri: Option<String>,
    id_token_alg: String,
    require_par: bool,
    dpop_bound: bool,
    first_party: bool,
}

#[derive(Serialize, Deserialize)]
struct Secret {
    hash: String,
    created: i64,
    expires: Option<i64>,
}

impl Store {
    pub(crate) async fn client(&self, id: &str) -> Result<Option<Client>, Error> {
        let row = self.0.query_opt(GET, params![id]).await?;
        row.as_ref().map(client_of).transpose()
    }

    pub(crate) async fn clients_in(
        &self,
        slice: &Slice,
        organization: &str,
        name: Option<&str>,
    ) -> Result<Vec<Client>, Error> {
        let (time, id) = bounds(slice);
        let sql = if slice.newest_first { NEWEST } else { OLDEST };
        let rows = self.0.query(sql, params![time, id, organization, name, slice.limit]).await?;
        rows.iter().map(client_of).collect()
    }

    pub(crate) async fn insert_client(&self, client: &Client) -> Result<(), Error> {
        self.0.write(decisive().then(INSERT, insert_params(client)?)).await?;
        Ok(())
    }

    /// Keeps a client that registered itself. False if there are `most` such clients.
    pub(crate) async fn insert_dynamic_client(
        &self,
        client: &Client,
        most: i64,
    ) -> Result<bool, Error> {
        let mut params = insert_params(client)?;
        params.extend(params![most]);
        let batch = decisive().then_expect(INSERT_WITHIN, params, Expect::Rows(1));
        kept(self.0.write(batch).await)
    }

    /// Keeps a client that changed; one that is shut out loses its sessions. False if somebody else
    /// changed it.
    pub(crate) async fn update_client(
        &self,
        client: &Client,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let params = params![
            &client.id,
            &client.name,
            i64::from(client.disabled),
            client.registration_hash.as_deref(),
            body_of(client)?,
            client.revision,
            client.updated_at.as_micros(),
        ];
        let mut batch = decisive().then_expect(UPDATE, params, Expect::Rows(1));
        if client.disabled {
            batch = batch
                .then(END_SESSIONS, params![&client.id, now.as_micros()])
                .then(DELETE_CODES, params![&client.id]);
        }
        kept(self.0.write(batch).await)
    }

    /// Deletes a client and ends what it was given. False if there is none.
    pub(crate) async fn delete_client(&self, id: &str, now: Timestamp) -> Result<bool, Error> {
        let batch = decisive()
            .then_expect(DELETE, params![id], Expect::Rows(1))
            .then(END_SESSIONS, params![id, now.as_micros()])
            .then(DELETE_CODES, params![id]);
        kept(self.0.write(batch).await)
    }

    /// Keeps that a client was used.
    pub(crate) async fn client_used(&self, id: &str, at: Timestamp) -> Result<(), Error> {
        self.0.execute(USED, params![id, at.as_micros()]).await?;
        Ok(())
    }

    /// Notes an assertion. False if it was noted before, on whichever instance.
    pub(crate) async fn use_assertion(&self, hash: &str, until: Timestamp) -> Result<bool, Error> {
        Ok(self.0.execute(USE_ASSERTION, params![hash, until.as_micros()]).await?.changed == 1)
    }
}

fn kept<T>(written: Result<T, StoreError>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(StoreError::Unexpected { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn insert_params(client: &Client) -> Result<Params, Error> {
    Ok(params![
        &client.id,
        &client.organization_id,
        &client.name,
        i64::from(client.dynamic),
        i64::from(client.disabled),
        client.registration_hash.as_deref(),
        body_of(client)?,
        client.revision,
        client.created_at.as_micros(),
        client.updated_at.as_micros(),
    ])
}

fn body_of(client: &Client) -> Result<String, Error> {
    let secret = |secret: &ClientSecret| Secret {
        hash: secret.hash.clone(),
        created: secret.created_at.as_micros(),
        expires: secret.expires_at.map(Timestamp::as_micros),
    };
    let body = Body {
        auth: client.auth.name().to_owned(),
        secrets: client.secrets.iter().map(secret).collect(),
        jwks: client.jwks.clone(),
        jwks_uri: client.jwks_uri.clone(),
        redirect_uris: client.redirect_uris.clone(),
        post_logout_redirect_uris: client.post_logout_redirect_uris.clone(),
        grant_types: client.grant_types.clone(),
        scopes: client.scopes.clone(),
        backchannel_logout_uri: client.backchannel_logout_uri.clone(),
        id_token_alg: client.id_token_alg.clone(),
        require_par: client.require_par,
        dpop_bound: client.dpop_bound,
        first_party: client.first_party,
    };
    serde_json::to_string(&body).map_err(|_| Error::Row { what: "client" })
}

fn client_of(row: &Row) -> Result<Client, Error> {
    let broken = || Error::Row { what: "client" };
    let body: Body = serde_json::from_str(&row.text("body")?).map_err(|_| broken())?;
    let secret = |secret: Secret| ClientSecret {
        hash: secret.hash,
        created_at: Timestamp::from_micros(secret.created),
        expires_at: secret.expires.map(Timestamp::from_micros),
    };
    Ok(Client {
        id: row.text("id")?,
        organization_id: row.text("organization_id")?,
        name: row.text("name")?,
        auth: ClientAuth::parse(&body.auth).ok_or_else(broken)?,
        secrets: body.secrets.into_iter().map(secret).collect(),
        jwks: body.jwks,
        jwks_uri: body.jwks_uri,
        redirect_uris: body.redirect_uris,
        post_logout_redirect_uris: body.post_logout_redirect_uris,
        grant_types: body.grant_types,
        scopes: body.scopes,
        backchannel_logout_uri: body.backchannel_logout_uri,
        id_token_alg: body.id_token_alg,
        require_par: body.require_par,
        dpop_bound: body.dpop_bound,
        first_party: body.first_party,
        dynamic: row.integer("dynamic")? != 0,
        declared: false,
        disabled: row.integer("disabled")? != 0,
        registration_hash: row.opt_text("registration_hash")?,
        used_at: row.opt_integer("use_time")?.map(Timestamp::from_micros),
        revision: row.integer("revision")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        updated_at: Timestamp::from_micros(row.integer("update_time")?),
    })
}

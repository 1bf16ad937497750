//! Integrations as rows. A list never sees half of a change: each row is written whole.

use lightning_store::{Batch, Expect, Once, Outcome, Row, params};

use super::{Listing, Sealed, Store, damaged, time};
use crate::{
    Error,
    domain::{Integration, IntegrationId},
};

const INSERT: &str = "INSERT INTO integrations
    (id, name, connector_type, config, credentials, revision, create_time, update_time,
        organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const INSERT_ABSENT: &str = "INSERT INTO integrations
    (id, name, connector_type, config, credentials, revision, create_time, update_time,
        organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (organization_id, id) DO NOTHING";

const GET: &str =
    "SELECT id, name, connector_type, config, credentials, revision, create_time, update_time,
        organization_id
    FROM integrations WHERE organization_id = $1 AND id = $2";

const LIST_NEWEST: &str =
    "SELECT id, name, connector_type, config, credentials, revision, create_time, update_time,
        organization_id
    FROM integrations
    WHERE organization_id = $6 AND (CAST($1 AS TEXT) IS NULL OR connector_type = CAST($1 AS TEXT))
      AND (CAST($2 AS TEXT) IS NULL OR name = CAST($2 AS TEXT))
      AND (create_time < $3 OR (create_time = $3 AND id < $4))
    ORDER BY create_time DESC, id DESC LIMIT $5";

const LIST_OLDEST: &str =
    "SELECT id, name, connector_type, config, credentials, revision, create_time, update_time,
        organization_id
    FROM integrations
    WHERE organization_id = $6 AND (CAST($1 AS TEXT) IS NULL OR connector_type = CAST($1 AS TEXT))
      AND (CAST($2 AS TEXT) IS NULL OR name = CAST($2 AS TEXT))
      AND (create_time > $3 OR (create_time = $3 AND id > $4))
    ORDER BY create_time, id LIMIT $5";

const UPDATE: &str = "UPDATE integrations
    SET name = $3, config = $4, credentials = $5, revision = revision + 1, update_time = $6
    WHERE organization_id = $7 AND id = $1 AND revision = $2";

const DELETE: &str =
    "DELETE FROM integrations WHERE organization_id = $3 AND id = $1 AND revision = $2";

impl Store {
    /// Writes a new integration; a taken id is [`Error::IntegrationExists`].
    pub(crate) async fn insert_integration(
        &self,
        integration: &Integration,
        once: Option<Once>,
    ) -> Result<Outcome, Error> {
        let batch = Batch::new().then(INSERT, values(integration)?);
        match self.write_once(once, batch, integration.created_at).await {
            Err(Error::Store(error)) if error.is_conflict() => {
                Err(Error::IntegrationExists { id: integration.id.to_string() })
            }
            other => other,
        }
    }

    /// Writes an integration unless its id is taken; tells whether it was written.
    pub(crate) async fn insert_integration_if_absent(
        &self,
        integration: &Integration,
    ) -> Result<bool, Error> {
        Ok(self.database.execute(INSERT_ABSENT, values(integration)?).await?.changed > 0)
    }

    /// The integration of an id.
    pub(crate) async fn integration(
        &self,
        organization: &str,
        id: &IntegrationId,
    ) -> Result<Integration, Error> {
        match self.database.query_opt(GET, params![organization, id.as_str()]).await? {
            Some(row) => read(&row),
            None => Err(Error::IntegrationNotFound { id: id.to_string() }),
        }
    }

    /// A page of integrations; the filter is connector type, name.
    pub(crate) async fn integrations(
        &self,
        listing: &Listing<'_>,
    ) -> Result<Vec<Integration>, Error> {
        let sql = if listing.newest_first { LIST_NEWEST } else { LIST_OLDEST };
        let (at, id) = listing.start();
        let [connector, name] = listing.equal;
        let values = params![connector, name, at, id, listing.limit(), listing.organization];
        let rows = self.database.query(sql, values).await?;
        rows.iter().map(read).collect()
    }

    /// Writes a changed integration over the revision it was made from; [`Error::EtagMismatch`] if
    /// somebody was faster.
    pub(crate) async fn update_integration(&self, changed: &Integration) -> Result<(), Error> {
        let values = params![
            changed.id.as_str(),
            changed.revision,
            &changed.name,
            json(&changed.config)?,
            json(&changed.sealed)?,
            changed.updated_at.as_micros(),
            &changed.organization_id,
        ];
        self.one(Batch::new().then_expect(UPDATE, values, Expect::Rows(1))).await
    }

    /// Deletes an integration as it was read; [`Error::EtagMismatch`] if somebody was faster.
    pub(crate) async fn delete_integration(&self, integration: &Integration) -> Result<(), Error> {
        let Integration { organization_id, id, revision, .. } = integration;
        let values = params![id.as_str(), *revision, organization_id];
        self.one(Batch::new().then_expect(DELETE, values, Expect::Rows(1))).await
    }

    async fn one(&self, batch: Batch) -> Result<(), Error> {
        match self.database.write(batch).await {
            Ok(_) => Ok(()),
            Err(lightning_store::Error::Unexpected { .. }) => Err(Error::EtagMismatch),
            Err(error) => Err(error.into()),
        }
    }
}

fn values(integration: &Integration) -> Result<lightning_store::Params, Error> {
    Ok(params![
        integration.id.as_str(),
        &integration.name,
        &integration.connector,
        json(&integration.config)?,
        json(&integration.sealed)?,
        integration.revision,
        integration.created_at.as_micros(),
        integration.updated_at.as_micros(),
        &integration.organization_id,
    ])
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(damaged("integration"))
}

fn read(row: &Row) -> Result<Integration, Error> {
    let parse = damaged::<serde_json::Error>("integration");
    let sealed: Sealed = serde_json::from_str(&row.text("credentials")?).map_err(&parse)?;
    Ok(Integration {
        organization_id: row.text("organization_id")?,
        id: IntegrationId::parse(&row.text("id")?).map_err(damaged("integration"))?,
        name: row.text("name")?,
        connector: row.text("connector_type")?,
        config: serde_json::from_str(&row.text("config")?).map_err(&parse)?,
        sealed,
        created_at: time(row, "create_time")?,
        updated_at: time(row, "update_time")?,
        revision: row.integer("revision")?,
    })
}

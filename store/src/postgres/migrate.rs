//! Migrations on PostgreSQL.
//!
//! Several processes of one service may start at once; each migration runs in a transaction that
//! first
//! takes an advisory lock of the service, so the second finds the work done.

use deadpool_postgres::{Object, Transaction};

use crate::{
    Error, Migration, Params,
    migrations::{self, Applied, fnv},
    params,
};

use super::{fault::from_postgres, run as run_statement};

const LOCK: &str = "SELECT 1 AS locked FROM (SELECT pg_advisory_xact_lock($1)) AS held";

// Migrations may rewrite tables, and waiting for another starter may take as long as its migrations
// do.
const PATIENCE: &str = "SET LOCAL statement_timeout = 0";

const FSYNC: &str =
    "SELECT current_setting('fsync') AS fsync, current_setting('server_version_num') AS version";

/// The oldest server that is tested.
const OLDEST: i64 = 150_000;

/// Warns of a server that does not keep what it acknowledged, and refuses one that is too old.
pub(super) async fn check_server(client: &Object) -> Result<(), Error> {
    let prepared = client.prepare(FSYNC).await.map_err(|error| from_postgres(0, &error))?;
    let done = run_statement(client, 0, &prepared, &Params::new()).await?;
    for row in done.rows {
        if row.text("fsync")? != "on" {
            tracing::warn!(
                "the server runs with fsync off: acknowledged writes are lost when it crashes"
            );
        }
        let version = row.text("version")?.parse::<i64>().unwrap_or(0);
        if version < OLDEST {
            return Err(Error::Settings(format!(
                "PostgreSQL 15 or newer is needed, not {version}"
            )));
        }
    }
    Ok(())
}

/// Applies what the schema has not seen.
pub(super) async fn run(
    client: &mut Object,
    service: &'static str,
    migrations: &'static [Migration],
) -> Result<(), Error> {
    loop {
        let transaction = client.transaction().await.map_err(|error| from_postgres(0, &error))?;
        let next = step(&transaction, service, migrations).await?;
        transaction.commit().await.map_err(|error| from_postgres(0, &error))?;
        match next {
            Some(migration) => {
                tracing::info!(
                    version = migration.version,
                    name = migration.name,
                    "migration applied"
                );
            }
            None => return Ok(()),
        }
    }
}

/// Applies the next migration, if there is one.
async fn step(
    transaction: &Transaction<'_>,
    service: &'static str,
    migrations: &'static [Migration],
) -> Result<Option<&'static Migration>, Error> {
    batch(transaction, PATIENCE).await?;
    let key = fnv(b"lightning:".iter().chain(service.as_bytes()).copied());
    one(transaction, LOCK, params![key.cast_signed()]).await?;
    batch(transaction, &format!("CREATE SCHEMA IF NOT EXISTS \"{service}\"")).await?;
    batch(transaction, migrations::TABLE).await?;

    let mut applied = Vec::new();
    for row in one(transaction, migrations::LIST, Params::new()).await? {
        applied.push(Applied { version: row.integer("version")?, checksum: row.text("checksum")? });
    }
    let Some(migration) = migrations::pending(migrations, &applied)?.first() else {
        return Ok(None);
    };
    let failed = |error| migrations::failed(migration, error);
    batch(transaction, migration.sql).await.map_err(failed)?;
    let record = params![migration.version, migration.name, migrations::checksum(migration.sql)];
    one(transaction, migrations::RECORD_POSTGRES, record).await.map_err(failed)?;
    Ok(Some(migration))
}

async fn batch(transaction: &Transaction<'_>, sql: &str) -> Result<(), Error> {
    transaction.batch_execute(sql).await.map_err(|error| from_postgres(0, &error))
}

async fn one(
    transaction: &Transaction<'_>,
    sql: &str,
    params: Params,
) -> Result<Vec<crate::Row>, Error> {
    let prepared = transaction.prepare(sql).await.map_err(|error| from_postgres(0, &error))?;
    Ok(run_statement(transaction, 0, &prepared, &params).await?.rows)
}

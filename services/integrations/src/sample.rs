//! The sample database, and the integration that points to it: something to try the first workflow on.
//!
//! Both belong to the first organisation: the file can be written, so sharing it would let organisations
//! read what the others wrote. Both are made at the first start, which is when the file is absent. Whoever deletes the integration
//! and keeps the file does not get it back; what is there is never overwritten.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path};

use lightning_mesh::{clock::Timestamp, identity::DEFAULT_ORGANIZATION};
use rusqlite::Connection;
use serde_json::{Map, Value};

use crate::{
    Error,
    domain::{Integration, IntegrationId},
    store::Store,
};

/// The file, in the data directory.
pub(crate) const FILE: &str = "sample.db";
const ID: &str = "integration-sample-database";
const SCRIPT: &str = include_str!("../samples/sample.sql");

/// Makes the sample if this is the first start.
pub(crate) async fn install(store: &Store, data_dir: &Path, now: Timestamp) -> Result<(), Error> {
    let file = data_dir.join(FILE);
    if file.try_exists().unwrap_or(true) {
        return Ok(());
    }
    // The row first: the file is the mark that both are done.
    store.insert_integration_if_absent(&integration(now)?).await?;
    let folder = data_dir.to_owned();
    tokio::task::spawn_blocking(move || create(&folder)).await.map_err(Error::Blocking)?
}

fn integration(now: Timestamp) -> Result<Integration, Error> {
    let broken = |why: &str| Error::BuiltIn { what: "sample", why: why.to_owned() };
    let config = [("driver", "sqlite"), ("path", FILE)];
    Ok(Integration {
        organization_id: DEFAULT_ORGANIZATION.to_owned(),
        id: IntegrationId::parse(ID).map_err(|_| broken("its id is none"))?,
        name: "Sample database".to_owned(),
        connector: "database".to_owned(),
        config: config
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .into_iter()
            .collect::<Map<_, _>>(),
        sealed: std::collections::BTreeMap::new(),
        created_at: now,
        updated_at: now,
        revision: 1,
    })
}

/// Fills a file beside it and renames it, so that a half-filled one is never found.
fn create(folder: &Path) -> Result<(), Error> {
    let broken = |why: String| Error::BuiltIn { what: "sample", why };
    std::fs::create_dir_all(folder).map_err(|error| broken(error.to_string()))?;
    let name = format!("{FILE}.{}.new", lightning_mesh::id::generate());
    let temporary = folder.join(name);
    // For its owner only, like everything in the data directory.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(|error| broken(error.to_string()))?;
    let filled = Connection::open(&temporary)
        .and_then(|connection| {
            connection.execute_batch(SCRIPT)?;
            connection.close().map_err(|(_, error)| error)
        })
        .map_err(|error| broken(error.to_string()));
    let placed = filled.and_then(|()| {
        std::fs::rename(&temporary, folder.join(FILE)).map_err(|error| broken(error.to_string()))
    });
    if placed.is_err() {
        // What cannot be removed is only a stray file.
        let _ = std::fs::remove_file(&temporary);
    }
    placed
}

//! One service's database, whichever kind it is.
//!
//! The two kinds stand behind one enum rather than a trait object: there are exactly two, and the
//! conformance suite, not the compiler, is what keeps them equal.

use crate::{
    Batch, Done, Error, Migration, Params, Row, Settings, batch::check_params, postgres::Postgres,
    sqlite::Sqlite,
};

/// The most connections or readers of one database.
const MAX_POOL: usize = 256;

/// One service's database. Clones share it.
#[derive(Clone)]
pub struct Database {
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// What a database has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Reads answered.
    pub reads: u64,
    /// Batches acknowledged.
    pub batches: u64,
    /// Batches refused or rolled back.
    pub refused: u64,
    /// Transactions committed. On SQLite many batches share one, which is one flush of the disk.
    pub commits: u64,
}

// === impl Database ===

impl Database {
    /// Opens a service's database and brings its tables up to date.
    ///
    /// Fails if another process owns the file, the server cannot be reached, or the migrations do
    /// not
    /// fit those that the database has seen.
    pub async fn open(
        settings: &Settings,
        service: &'static str,
        migrations: &'static [Migration],
    ) -> Result<Self, Error> {
        check_service(service)?;
        if !(1..=MAX_POOL).contains(&settings.pool) {
            return Err(Error::Settings(format!("pool must be 1 to {MAX_POOL}")));
        }
        crate::migrations::check_order(migrations)?;
        let backend = match &settings.url {
            None => Backend::Sqlite(Sqlite::open(settings, service, migrations).await?),
            Some(url) => {
                let opening = Box::pin(Postgres::open(url, settings.pool, service, migrations));
                Backend::Postgres(opening.await?)
            }
        };
        Ok(Self { backend })
    }

    /// Reads rows. At most [`crate::MAX_ROWS`] and 30 seconds; a read whose caller is gone is
    /// stopped.
    ///
    /// It sees every write that was acknowledged before it began.
    pub async fn query(&self, sql: &'static str, params: Params) -> Result<Vec<Row>, Error> {
        check_params(0, &params)?;
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.query(sql, params).await,
            Backend::Postgres(postgres) => Box::pin(postgres.query(sql, params)).await,
        }
    }

    /// Reads at most one row: the first, if the statement returns several.
    pub async fn query_opt(&self, sql: &'static str, params: Params) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Runs a batch in one transaction and answers what each statement did. When it returns, the
    /// batch is on disk.
    ///
    /// If any statement fails or breaks its expectation nothing is kept. A caller that stops
    /// waiting
    /// does not know whether the batch was kept.
    pub async fn write(&self, batch: Batch) -> Result<Vec<Done>, Error> {
        batch.check()?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.write(batch).await,
            Backend::Postgres(postgres) => Box::pin(postgres.write(&batch)).await,
        }
    }

    /// Runs one statement: a batch of one.
    pub async fn execute(&self, sql: &'static str, params: Params) -> Result<Done, Error> {
        let done = self.write(Batch::new().then(sql, params)).await?;
        Ok(done.into_iter().next().unwrap_or_default())
    }

    /// What the database has done since it was opened.
    #[must_use]
    pub fn figures(&self) -> Figures {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.figures(),
            Backend::Postgres(postgres) => postgres.figures(),
        }
    }

    /// Finishes what was handed over, then closes; other clones answer [`Error::Closed`] from then
    /// on.
    ///
    /// Dropping every clone closes too, but without waiting for it.
    pub async fn close(self) {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.close().await,
            Backend::Postgres(postgres) => postgres.close(),
        }
    }
}

/// The service's word becomes a file name and a schema name, so it must be harmless as both.
fn check_service(service: &str) -> Result<(), Error> {
    let fits = (1..=48).contains(&service.len())
        && service.starts_with(|first: char| first.is_ascii_lowercase())
        && service
            .chars()
            .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_');
    if fits { Ok(()) } else { Err(Error::Settings(format!("{service:?} cannot name a database"))) }
}

//! Where a case keeps its data: a temporary folder, or a schema of its own on a server.

use lightning_store::{Database, Error, Migration, Settings, once, params};

/// The tables of the cases.
pub(crate) static TABLES: &[Migration] = &[
    Migration {
        version: 1,
        name: "things",
        sql: "CREATE TABLE things (
            id TEXT PRIMARY KEY,
            tenant TEXT NOT NULL DEFAULT 'none',
            name TEXT,
            size BIGINT,
            ratio DOUBLE PRECISION,
            body BYTEA,
            note TEXT,
            CHECK (size IS NULL OR size <> -13)
        );
        CREATE UNIQUE INDEX things_name ON things (tenant, name);
        CREATE TABLE parts (
            id TEXT PRIMARY KEY,
            thing_id TEXT NOT NULL REFERENCES things (id)
        );",
    },
    Migration { version: 2, name: "idempotency_keys", sql: once::TABLE },
];

pub(crate) struct Place {
    pub(crate) settings: Settings,
    pub(crate) service: &'static str,
    /// A statement that runs for longer than any test waits.
    pub(crate) endless: &'static str,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: folder.path().join("data"), ..Settings::default() };
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) AS total FROM n";
        Self { settings, service: "things", endless, _folder: Some(folder) }
    }

    /// A schema of this process and case, so that runs may overlap.
    pub(crate) async fn scaled(case: &str) -> Option<Self> {
        let Ok(url) = std::env::var("LIGHTNING_TEST_POSTGRES_URL") else {
            println!("skipped: LIGHTNING_TEST_POSTGRES_URL is not set");
            return None;
        };
        let name = format!("t{}_{}", std::process::id(), &case[..case.len().min(30)]);
        let settings = Settings { url: Some(url), ..Settings::default() };
        let endless = "SELECT CAST(pg_sleep(25) AS TEXT) AS slept";
        let place = Self { settings, service: leak(name), endless, _folder: None };
        place.remove().await;
        Some(place)
    }

    pub(crate) async fn remove(&self) {
        let admin = Database::open(&self.settings, "lightning_tests", &[]).await.unwrap();
        let sql = leak(format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.service));
        admin.execute(sql, params![]).await.unwrap();
        admin.close().await;
    }

    pub(crate) async fn open(&self) -> Database {
        self.open_with(TABLES).await.unwrap()
    }

    pub(crate) async fn open_with(&self, tables: &'static [Migration]) -> Result<Database, Error> {
        Database::open(&self.settings, self.service, tables).await
    }
}

/// Statements and service words are `'static` in the program; tests make some up.
pub(crate) fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

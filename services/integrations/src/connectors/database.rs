//! `database`: a SQLite file or a PostgreSQL database, with the user's own SQL.
//!
//! A SQLite file must lie in `<data_dir>/databases` or in a folder that the operator names, or be the
//! sample: everything else in the data directory is the mesh's own (password hashes, sealed secrets,
//! keys, locks), and SQLite would even write into an empty file. PostgreSQL is
//! connected through the same guard as every other target. Each call opens a connection of its own: an
//! integration is used rarely, and a connection left open would hold locks and passwords.

use std::{
    collections::BTreeSet,
    os::unix::fs::DirBuilderExt as _,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Access, Connector, Work, duration, text, typed};
use crate::{Config, Error, domain::Violation, egress::Egress};

mod store;
#[cfg(test)]
mod tests;

use store::{Insert, Limits, postgres, sqlite};

/// The rows of a query unless the payload says otherwise.
const MAX_ROWS: usize = 1_000;
const POSTGRES_PORT: u16 = 5_432;
/// How long a SQLite statement may run unless the integration says otherwise: it takes a core of ours.
const SQLITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The folder of the data directory in which SQLite files may lie.
const FOLDER: &str = "databases";

/// The connector.
pub(super) struct Database {
    egress: Arc<Egress>,
    timeout: Duration,
    max_bytes: usize,
    /// Relative paths start there.
    data_dir: PathBuf,
    /// Where files may lie: our folder in the data directory first, then the operator's.
    folders: Vec<PathBuf>,
    /// The names of the services' own files, which the operator's folders may hold too.
    reserved: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Settings {
    driver: String,
    path: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    user: Option<String>,
    timeout: Option<String>,
}

#[derive(Deserialize)]
struct Statement {
    sql: String,
    #[serde(default)]
    parameters: Vec<Value>,
    max_rows: Option<usize>,
}

/// Where a call goes. No `Debug`: it holds a secret.
enum Place {
    Sqlite(PathBuf),
    Postgres(postgres::Server),
}

// === impl Database ===

impl Database {
    pub(super) fn new(config: &Config, data_dir: &Path, egress: Arc<Egress>) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let data_dir = absolute(data_dir);
        let folders = std::iter::once(data_dir.join(FOLDER))
            .chain(config.database_folders.iter().map(|folder| absolute(folder)))
            .collect();
        let services = lightning_proto::pool().services().filter_map(|service| {
            service.package_name().strip_prefix("lightning.")?.split('.').next().map(str::to_owned)
        });
        let reserved =
            services.chain(["gateway".to_owned()]).map(|word| format!("{word}.db")).collect();
        Self {
            egress,
            timeout: config.timeout,
            max_bytes: config.max_result_bytes,
            data_dir,
            folders,
            reserved,
        }
    }

    fn limits(&self, settings: &Settings) -> Limits {
        let usual = match settings.driver.as_str() {
            "sqlite" => self.timeout.min(SQLITE_TIMEOUT),
            _ => self.timeout,
        };
        let timeout = settings.timeout.as_deref().and_then(duration).unwrap_or(usual);
        Limits { timeout, max_bytes: self.max_bytes }
    }

    fn place(&self, access: &Access, settings: &Settings) -> Result<Place, Error> {
        if settings.driver == "sqlite" {
            return self.file(settings.path.as_deref().unwrap_or_default()).map(Place::Sqlite);
        }
        Ok(Place::Postgres(postgres::Server {
            host: settings.host.clone().unwrap_or_default(),
            port: settings.port.unwrap_or(POSTGRES_PORT),
            database: settings.database.clone().unwrap_or_default(),
            user: settings.user.clone().unwrap_or_default(),
            password: text(&access.credentials, "password").map(str::to_owned),
        }))
    }

    /// Judges a path by its text alone.
    fn named(&self, text: &str) -> Result<PathBuf, String> {
        let path = self.data_dir.join(text);
        if path.components().any(|part| part == Component::ParentDir) {
            return Err("must not hold `..`".to_owned());
        }
        self.judge(&path, &self.data_dir, &self.folders)?;
        Ok(path)
    }

    fn judge(&self, path: &Path, data_dir: &Path, folders: &[PathBuf]) -> Result<(), String> {
        let below = |folder: &&PathBuf| path.starts_with(folder) && path != folder.as_path();
        if path.starts_with(data_dir) {
            // A folder that holds the data directory does not open it.
            let inside = |folder: &&PathBuf| folder.starts_with(data_dir) && *folder != data_dir;
            let open = path == data_dir.join(crate::sample::FILE)
                || folders.iter().filter(inside).any(|folder| below(&folder));
            return match open {
                true => Ok(()),
                false => Err(format!(
                    "must lie in the folder {FOLDER} of the data directory, such as \
                     {FOLDER}/mine.db: the other files there are the mesh's own"
                )),
            };
        }
        if !folders.iter().any(|folder| below(&folder)) {
            return Err(format!(
                "must lie in the folder {FOLDER} of the data directory, or in a folder that the \
                 operator names in [integrations] database_folders"
            ));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if self.reserved.iter().any(|reserved| name.starts_with(reserved)) {
            return Err("must not be the database of a service of this mesh".to_owned());
        }
        Ok(())
    }

    /// Judges a path again where its links lead, now that it is to be opened.
    fn file(&self, text: &str) -> Result<PathBuf, Error> {
        let path = self.named(text).map_err(|why| Error::config("path", why))?;
        let ours = self.data_dir.join(FOLDER);
        if path.starts_with(&ours) && !ours.exists() {
            // What fails here fails below too, with its reason.
            let _ = std::fs::DirBuilder::new().mode(0o700).create(&ours);
        }
        let unreachable = |error: std::io::Error| Error::UpstreamUnavailable {
            target: text.to_owned(),
            why: format!("the file cannot be opened ({})", error.kind()),
        };
        let real = path.canonicalize().map_err(unreachable)?;
        let data_dir = self.data_dir.canonicalize().map_err(unreachable)?;
        let folders: Vec<PathBuf> =
            self.folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        self.judge(&real, &data_dir, &folders).map_err(|why| Error::config("path", why))?;
        Ok(real)
    }

    async fn run(&self, work: Work<'_>) -> Result<Value, Error> {
        let settings: Settings = typed(Value::Object(work.access.config.clone()))?;
        let (place, limits) = (self.place(work.access, &settings)?, self.limits(&settings));
        if work.action == "insert" {
            let insert: Insert = typed(work.payload)?;
            let inserted = match place {
                Place::Sqlite(path) => {
                    sqlite::run(path, limits, move |file| file.insert(&insert)).await?
                }
                Place::Postgres(server) => {
                    postgres::insert(&self.egress, &server, limits, &insert).await?
                }
            };
            return Ok(json!({ "inserted_rows": inserted }));
        }
        let Statement { sql, parameters, max_rows } = typed(work.payload)?;
        if work.action == "execute" {
            let affected = match place {
                Place::Sqlite(path) => {
                    sqlite::run(path, limits, move |file| file.execute(&sql, &parameters)).await?
                }
                Place::Postgres(server) => {
                    postgres::execute(&self.egress, &server, limits, &sql, &parameters).await?
                }
            };
            return Ok(json!({ "affected_rows": affected }));
        }
        let max_rows = max_rows.unwrap_or(MAX_ROWS);
        let table = match place {
            Place::Sqlite(path) => {
                sqlite::run(path, limits, move |file| file.query(&sql, &parameters, max_rows))
                    .await?
            }
            Place::Postgres(server) => {
                postgres::query(&self.egress, &server, limits, &sql, &parameters, max_rows).await?
            }
        };
        Ok(json!({
            "row_count": table.rows.len(), "columns": table.columns, "rows": table.rows,
            "truncated": table.truncated,
        }))
    }

    async fn probe(&self, access: &Access) -> Result<String, Error> {
        let settings: Settings = typed(Value::Object(access.config.clone()))?;
        let limits = self.limits(&settings);
        match self.place(access, &settings)? {
            Place::Sqlite(path) => sqlite::run(path, limits, |file| file.describe()).await,
            Place::Postgres(server) => postgres::describe(&self.egress, &server, limits).await,
        }
    }
}

impl Connector for Database {
    fn is_local(&self, config: &Map<String, Value>) -> bool {
        config.get("driver").and_then(Value::as_str) == Some("sqlite")
    }

    fn check(
        &self,
        config: &Map<String, Value>,
        credentials: &Map<String, Value>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut add =
            |path: &str, why: &str| found.push(Violation::new(format!("integration.{path}"), why));
        let sqlite = text(config, "driver") == Some("sqlite");
        let (needed, foreign): (&[&str], &[&str]) = if sqlite {
            (&["path"], &["host", "port", "database", "user"])
        } else {
            (&["host", "database", "user"], &["path"])
        };
        for name in needed.iter().filter(|name| !config.contains_key(**name)) {
            add(&format!("config.{name}"), "is required by this driver");
        }
        for name in foreign.iter().filter(|name| config.contains_key(**name)) {
            add(&format!("config.{name}"), "does not belong to this driver");
        }
        if sqlite && !credentials.is_empty() {
            add("credentials", "are not used by this driver");
        }
        if let Some(Err(why)) = text(config, "path").filter(|_| sqlite).map(|path| self.named(path))
        {
            add("config.path", &why);
        }
        if text(config, "timeout").is_some_and(|text| duration(text).is_none()) {
            add("config.timeout", "must be 1ms to 2m");
        }
        found
    }

    fn test<'a>(&'a self, access: &'a Access) -> BoxFuture<'a, Result<String, Error>> {
        self.probe(access).boxed()
    }

    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Value, Error>> {
        self.run(work).boxed()
    }
}

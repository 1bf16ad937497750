//! One connection: how it is opened and how a statement runs on it.
//!
//! What SQLite does differently from PostgreSQL out of tradition is switched off here: text in
//! double
//! quotes is an identifier, `LIKE` minds the case, foreign keys hold.

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::{
    Connection, OpenFlags, Statement,
    config::DbConfig,
    types::{ToSqlOutput, ValueRef},
};

use crate::{
    Done, Error, Migration, Params, Row, Value,
    batch::Answer,
    migrations::{self, Applied},
};

use super::fault::from_sqlite;

/// How many prepared statements a connection keeps; texts are `'static`, so they are few.
const STATEMENTS: usize = 256;

/// A lock is only met when somebody opens the file with other tools.
const BUSY: Duration = Duration::from_secs(5);

const PRAGMAS: &str = "PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA case_sensitive_like = ON;
    PRAGMA temp_store = MEMORY;";

// The log is cut back to 64 MiB after a reader that held it open has gone.
const WRITER_PRAGMAS: &str = "PRAGMA journal_mode = WAL;
    PRAGMA journal_size_limit = 67108864;";

const READER_PRAGMAS: &str = "PRAGMA query_only = ON;";

/// Opens the connection that writes.
pub(super) fn open_writer(path: &Path) -> Result<Connection, Error> {
    open(path, WRITER_PRAGMAS).map_err(|error| from_sqlite(0, error))
}

/// Opens a connection that only reads.
///
/// It is opened for writing and told not to: a read-only connection cannot recover the log's index.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    open(path, READER_PRAGMAS).map_err(|error| from_sqlite(0, error))
}

fn open(path: &Path, more: &str) -> rusqlite::Result<Connection> {
    // No SQLITE_OPEN_URI: a data folder may contain any character.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.execute_batch(more)?;
    connection.execute_batch(PRAGMAS)?;
    Ok(connection)
}

/// Runs one statement to its end.
pub(super) fn run(
    connection: &Connection,
    number: usize,
    sql: &str,
    params: &Params,
) -> Result<Done, Error> {
    let failed = |error| from_sqlite(number, error);
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    bind(&mut statement, number, params)?;
    let width = statement.column_count();
    if width == 0 {
        let before = connection.total_changes();
        let changed = statement.raw_execute().map_err(failed)? as u64;
        // A statement that cannot change rows leaves the count of the one before it standing.
        let changed = if connection.total_changes() == before { 0 } else { changed };
        return Ok(Done { changed, rows: Vec::new() });
    }
    let names: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
    let mut answer = Answer::default();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        let mut values = Vec::with_capacity(width);
        for position in 0..width {
            let value = row.get_ref(position).map_err(failed)?;
            values.push(decode(value).ok_or_else(|| Error::Column {
                column: names[position].clone(),
                reason: "is not valid UTF-8",
            })?);
        }
        answer.push(Row::new(names.clone(), values))?;
    }
    let rows = answer.into_rows();
    Ok(Done { changed: rows.len() as u64, rows })
}

/// Binds `$1`, `$2`, … SQLite takes `$2` for a name and counts by first appearance, so names are
/// looked up.
fn bind(statement: &mut Statement<'_>, number: usize, params: &Params) -> Result<(), Error> {
    let refused = |reason| Error::Parameter { statement: number, reason };
    if statement.parameter_count() != params.len() {
        return Err(refused("the statement has another number of parameters"));
    }
    for index in 1..=params.len() {
        let position = statement
            .parameter_name(index)
            .and_then(|name| name.strip_prefix('$'))
            .and_then(|digits| digits.parse::<usize>().ok())
            .ok_or_else(|| refused("parameters are written $1, $2, …"))?;
        let value = position
            .checked_sub(1)
            .and_then(|position| params.get(position))
            .ok_or_else(|| refused("parameters are numbered without gaps"))?;
        statement
            .raw_bind_parameter(index, Bound(value))
            .map_err(|error| from_sqlite(number, error))?;
    }
    Ok(())
}

/// A value lent to SQLite.
struct Bound<'a>(&'a Value);

// === impl Bound ===

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn decode(value: ValueRef<'_>) -> Option<Value> {
    Some(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).ok()?.to_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}

/// Applies what the file has not seen, each migration in a transaction of its own.
pub(super) fn migrate(
    connection: &mut Connection,
    migrations: &'static [Migration],
) -> Result<(), Error> {
    run(connection, 0, migrations::TABLE, &Vec::new())?;
    let mut applied = Vec::new();
    for row in run(connection, 0, migrations::LIST, &Vec::new())?.rows {
        applied.push(Applied { version: row.integer("version")?, checksum: row.text("checksum")? });
    }
    for migration in migrations::pending(migrations, &applied)? {
        apply(connection, migration).map_err(|error| migrations::failed(migration, error))?;
        tracing::info!(version = migration.version, name = migration.name, "migration applied");
    }
    Ok(())
}

fn apply(connection: &mut Connection, migration: &Migration) -> Result<(), Error> {
    let failed = |error| from_sqlite(0, error);
    let transaction = connection.transaction().map_err(failed)?;
    transaction.execute_batch(migration.sql).map_err(failed)?;
    let checksum = migrations::checksum(migration.sql);
    let record = crate::params![migration.version, migration.name, checksum];
    run(&transaction, 0, migrations::RECORD_SQLITE, &record)?;
    transaction.commit().map_err(failed)
}

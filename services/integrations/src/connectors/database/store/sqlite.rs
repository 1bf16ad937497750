//! SQLite: one connection a call, on a thread that may block.
//!
//! What a statement may do is decided by SQLite's own authorizer while it compiles the statement, not by
//! looking at its text: no ATTACH (which VACUUM INTO uses too) and no PRAGMA, so that a statement stays
//! in its file; no transaction control; nothing but reading in `query`. A statement is stopped when its
//! time is over or its caller has gone.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    types::{ToSqlOutput, ValueRef},
};
use serde_json::{Map, Value};

use super::{Insert, Limits, Mode, Table, distinct, integer, quoted, real, wrong_count};
use crate::{Error, domain::cut};

/// How many steps of its machine SQLite makes between two looks at the clock.
const STEPS: i32 = 10_000;
/// The largest single value, in bytes.
const MAX_VALUE: i32 = 16 << 20;
/// How long a locked file is waited for, unless the call has less.
const BUSY: Duration = Duration::from_secs(5);

/// A file on which one thing is done.
pub(in super::super) struct File {
    path: PathBuf,
    limits: Limits,
    stop: Arc<AtomicBool>,
}

/// Stops the statement when the caller's future is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a statement may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    Read,
    Write,
}

/// Does one thing on a thread that may block.
pub(in super::super) async fn run<T: Send + 'static>(
    path: PathBuf,
    limits: Limits,
    work: impl FnOnce(&File) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let _stop = StopOnDrop(stop.clone());
    let file = File { path, limits, stop };
    tokio::task::spawn_blocking(move || work(&file)).await.map_err(Error::Blocking)?
}

// === impl File ===

impl File {
    /// Runs a statement that only reads.
    pub(in super::super) fn query(
        &self,
        sql: &str,
        parameters: &[Value],
        max_rows: usize,
    ) -> Result<Table, Error> {
        let mut connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        restrict(&mut connection, May::Read).map_err(|error| self.failure(&error))?;
        let mut statement =
            connection.prepare(sql).map_err(|error| self.refusal(&error, May::Read))?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        distinct(&columns)?;
        self.bind(&mut statement, parameters)?;
        let (mut rows, mut found, mut bytes) = (statement.raw_query(), Vec::new(), 0);
        while let Some(row) = rows.next().map_err(|error| self.refusal(&error, May::Read))? {
            if found.len() == max_rows {
                return Ok(Table { columns, rows: found, truncated: true });
            }
            let mut object = Map::new();
            for (position, name) in columns.iter().enumerate() {
                let value = row.get_ref(position).map_err(|error| self.failure(&error))?;
                bytes += size(value) + name.len();
                if bytes > self.limits.max_bytes {
                    return Err(Error::ResultTooLarge { limit: self.limits.max_bytes });
                }
                object.insert(name.clone(), json(value));
            }
            found.push(Value::Object(object));
        }
        Ok(Table { columns, rows: found, truncated: false })
    }

    /// Runs a statement that writes, in a transaction of its own; answers how many rows it touched.
    pub(in super::super) fn execute(&self, sql: &str, parameters: &[Value]) -> Result<u64, Error> {
        let mut connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        self.transaction(&mut connection, |connection| {
            restrict(connection, May::Write).map_err(|error| self.failure(&error))?;
            let mut statement =
                connection.prepare(sql).map_err(|error| self.refusal(&error, May::Write))?;
            self.bind(&mut statement, parameters)?;
            let writes = !statement.readonly();
            let mut rows = statement.raw_query();
            // Rows of a RETURNING are stepped over: `affected_rows` is all this action answers.
            while rows.next().map_err(|error| self.refusal(&error, May::Write))?.is_some() {}
            Ok(if writes { connection.changes() } else { 0 })
        })
    }

    /// Inserts rows in one transaction.
    pub(in super::super) fn insert(&self, insert: &Insert) -> Result<u64, Error> {
        let columns = insert.columns()?;
        let mut connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        self.transaction(&mut connection, |connection| {
            let run = |sql: &str| connection.execute(sql, []).map_err(|error| self.table(&error));
            if insert.create && !columns.is_empty() {
                run(&insert.create_sql(&columns, "TEXT"))?;
            }
            if insert.mode == Mode::Replace {
                run(&insert.delete_sql())?;
            }
            if columns.is_empty() {
                return Ok(0);
            }
            let marks = vec!["?"; columns.len()].join(", ");
            let (table, names) = (insert.quoted_table(), quoted(&columns));
            let sql = format!("INSERT INTO {table} ({names}) VALUES ({marks})");
            let mut statement = connection.prepare(&sql).map_err(|error| self.table(&error))?;
            for row in &insert.rows {
                let values =
                    columns.iter().map(|name| Parameter(row.get(name).unwrap_or(&Value::Null)));
                statement
                    .execute(rusqlite::params_from_iter(values))
                    .map_err(|error| self.failure(&error))?;
            }
            Ok(u64::try_from(insert.rows.len()).unwrap_or(u64::MAX))
        })
    }

    /// Reads the file's catalogue: proof that it is a database.
    pub(in super::super) fn describe(&self) -> Result<String, Error> {
        let table =
            self.query("SELECT count(*) AS n FROM sqlite_master WHERE type = 'table'", &[], 1)?;
        let tables = table.rows.first().and_then(|row| row.get("n")).and_then(Value::as_u64);
        Ok(format!("{} is a database with {} tables", self.name(), tables.unwrap_or_default()))
    }

    fn open(&self, access: OpenFlags) -> Result<Connection, Error> {
        // The path is canonical, so a link in it appeared after it was judged.
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let opened = Connection::open_with_flags(&self.path, flags).and_then(|mut connection| {
            connection.busy_timeout(BUSY.min(self.limits.timeout))?;
            connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
            let (stop, end) = (self.stop.clone(), Instant::now() + self.limits.timeout);
            let over = move || stop.load(Ordering::Relaxed) || Instant::now() >= end;
            connection.progress_handler(STEPS, Some(over))?;
            Ok(connection)
        });
        opened.map_err(|error| self.failure(&error))
    }

    fn transaction<T>(
        &self,
        connection: &mut Connection,
        work: impl FnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| self.failure(&error))?;
        // An error drops the connection, which rolls back.
        let done = work(connection)?;
        free(connection).map_err(|error| self.failure(&error))?;
        connection.execute_batch("COMMIT").map_err(|error| self.failure(&error))?;
        Ok(done)
    }

    /// Binds by number: SQLite itself would number `$2` by where it stands.
    fn bind(&self, statement: &mut rusqlite::Statement<'_>, values: &[Value]) -> Result<(), Error> {
        let slots = statement.parameter_count();
        let mut wanted = 0;
        for slot in 1..=slots {
            let name = statement.parameter_name(slot).unwrap_or_default();
            let number = name.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(slot);
            wanted = wanted.max(number);
            let value = number.checked_sub(1).and_then(|index| values.get(index));
            let Some(value) = value else { return Err(wrong_count(wanted, values.len())) };
            statement
                .raw_bind_parameter(slot, Parameter(value))
                .map_err(|error| self.failure(&error))?;
        }
        if wanted == values.len() { Ok(()) } else { Err(wrong_count(wanted, values.len())) }
    }

    fn name(&self) -> String {
        Path::new(self.path.file_name().unwrap_or_default()).display().to_string()
    }

    /// A statement that does not compile, or wants what it may not.
    fn refusal(&self, error: &rusqlite::Error, may: May) -> Error {
        if matches!(error, rusqlite::Error::MultipleStatement) {
            return Error::payload("sql", "must be one statement");
        }
        match code(error) {
            Some(ErrorCode::AuthorizationForStatementDenied) => Error::payload(
                "sql",
                match may {
                    May::Read => "may only read its own file; use the action execute to write",
                    May::Write => {
                        "must stay in its file: no ATTACH, PRAGMA, VACUUM or transaction control"
                    }
                },
            ),
            Some(ErrorCode::Unknown) => Error::payload("sql", cut(&message(error), 300)),
            Some(_) | None => self.failure(error),
        }
    }

    /// A table or column that is not there.
    fn table(&self, error: &rusqlite::Error) -> Error {
        match code(error) {
            Some(ErrorCode::Unknown) => Error::payload("table", cut(&message(error), 300)),
            Some(_) | None => self.failure(error),
        }
    }

    fn failure(&self, error: &rusqlite::Error) -> Error {
        let target = self.name();
        match code(error) {
            Some(ErrorCode::OperationInterrupted) => {
                Error::UpstreamTimeout { target, after: self.limits.timeout }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Error::UpstreamUnavailable {
                    target,
                    why: "another process holds its lock".to_owned(),
                }
            }
            Some(ErrorCode::CannotOpen | ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
                Error::UpstreamUnavailable { target, why: cut(&message(error), 200) }
            }
            Some(ErrorCode::TooBig) => {
                Error::ResultTooLarge { limit: MAX_VALUE.unsigned_abs() as usize }
            }
            Some(_) | None => {
                Error::UpstreamRejected { target, status: None, message: cut(&message(error), 300) }
            }
        }
    }
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    if let rusqlite::Error::SqlInputError { error, .. } = error {
        return Some(error.code);
    }
    error.sqlite_error_code()
}

/// SQLite's own words, without the statement that they are about.
fn message(error: &rusqlite::Error) -> String {
    if let rusqlite::Error::SqliteFailure(_, Some(message)) = error {
        return message.clone();
    }
    if let rusqlite::Error::SqlInputError { msg, .. } = error {
        return msg.clone();
    }
    error.to_string()
}

fn restrict(connection: &mut Connection, may: May) -> rusqlite::Result<()> {
    connection.authorizer(Some(move |context: AuthContext<'_>| judge(&context.action, may)))
}

fn free(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
}

fn judge(action: &AuthAction<'_>, may: May) -> Authorization {
    let loads = matches!(action, AuthAction::Function { function_name }
        if function_name.eq_ignore_ascii_case("load_extension"));
    let reads = matches!(
        action,
        AuthAction::Select
            | AuthAction::Read { .. }
            | AuthAction::Recursive
            | AuthAction::Function { .. }
    ) && !loads;
    let never = matches!(
        action,
        AuthAction::Attach { .. }
            | AuthAction::Detach { .. }
            | AuthAction::Pragma { .. }
            | AuthAction::Transaction { .. }
            | AuthAction::Savepoint { .. }
            | AuthAction::Function { .. }
            | AuthAction::Unknown { .. }
    );
    if reads || (may == May::Write && !never) { Authorization::Allow } else { Authorization::Deny }
}

/// A JSON value as a parameter.
struct Parameter<'a>(&'a Value);

impl rusqlite::ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Bool(truth) => ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*truth))),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => ToSqlOutput::Borrowed(ValueRef::Integer(whole)),
                (None, real) => ToSqlOutput::Borrowed(ValueRef::Real(real.unwrap_or_default())),
            },
            Value::String(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            json @ (Value::Array(_) | Value::Object(_)) => ToSqlOutput::from(json.to_string()),
        })
    }
}

fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => integer(number),
        ValueRef::Real(number) => real(number),
        ValueRef::Text(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::String(STANDARD.encode(bytes)),
    }
}

fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) => bytes.len(),
        ValueRef::Blob(bytes) => bytes.len().saturating_mul(4) / 3,
    }
}

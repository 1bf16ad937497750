//! PostgreSQL: one guarded connection a call.
//!
//! Parameters travel as text and the server reads them as whatever type the statement wants; a query is
//! wrapped in `row_to_json`, so that every type comes back as JSON without a table of types here.
//! `query` runs in a session that is read-only. TLS is not spoken yet: use it inside a trusted network.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use lightning_mesh::task;
use serde_json::Value;
use tokio_postgres::{
    Client, NoTls, Statement,
    error::{DbError, SqlState},
    types::{Format, IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

use super::{Insert, Limits, Mode, Table, distinct, quoted, wrong_count};
use crate::{Error, domain::cut, egress::Egress};

/// Where a database is. No `Debug`: it holds a secret.
pub(in super::super) struct Server {
    pub(in super::super) host: String,
    pub(in super::super) port: u16,
    pub(in super::super) database: String,
    pub(in super::super) user: String,
    pub(in super::super) password: Option<String>,
}

/// Runs a statement that only reads.
pub(in super::super) async fn query(
    egress: &Egress,
    server: &Server,
    limits: Limits,
    sql: &str,
    parameters: &[Value],
    max_rows: usize,
) -> Result<Table, Error> {
    within(server, limits, async {
        let client = connect(egress, server, limits, true).await?;
        // The statement itself tells its columns and parameters; the wrapped one brings the rows.
        let plain = prepare(&client, server, limits, sql).await?;
        let columns: Vec<String> =
            plain.columns().iter().map(|column| column.name().to_owned()).collect();
        distinct(&columns)?;
        let sql = sql.trim_end().trim_end_matches(';');
        let limit = max_rows.saturating_add(1);
        let wrapped = format!(
            "SELECT CAST(row_to_json(found) AS TEXT) FROM (\n{sql}\n) AS found LIMIT {limit}"
        );
        let wrapped = prepare(&client, server, limits, &wrapped).await.map_err(only_reads)?;
        let parameters = bind(&wrapped, parameters)?;
        let stream = client.query_raw(&wrapped, parameters).await;
        let mut stream = pin!(stream.map_err(|error| failure(&error, server, limits))?);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) =
            stream.try_next().await.map_err(|error| failure(&error, server, limits))?
        {
            if rows.len() == max_rows {
                return Ok(Table { columns, rows, truncated: true });
            }
            let text: &str = row.try_get(0).map_err(|error| failure(&error, server, limits))?;
            bytes += text.len();
            if bytes > limits.max_bytes {
                return Err(Error::ResultTooLarge { limit: limits.max_bytes });
            }
            rows.push(exact(serde_json::from_str(text).unwrap_or_default()));
        }
        Ok(Table { columns, rows, truncated: false })
    })
    .await
}

/// Runs a statement that writes; answers how many rows it touched. A single statement is a transaction
/// of its own.
pub(in super::super) async fn execute(
    egress: &Egress,
    server: &Server,
    limits: Limits,
    sql: &str,
    parameters: &[Value],
) -> Result<u64, Error> {
    within(server, limits, async {
        let client = connect(egress, server, limits, false).await?;
        let statement = prepare(&client, server, limits, sql).await?;
        let parameters = bind(&statement, parameters)?;
        client
            .execute_raw(&statement, parameters)
            .await
            .map_err(|error| failure(&error, server, limits))
    })
    .await
}

/// Inserts rows in one transaction. The server itself turns their JSON into the table's types.
pub(in super::super) async fn insert(
    egress: &Egress,
    server: &Server,
    limits: Limits,
    insert: &Insert,
) -> Result<u64, Error> {
    let columns = insert.columns()?;
    within(server, limits, async {
        let mut client = connect(egress, server, limits, false).await?;
        let wrong = |error: tokio_postgres::Error| match table(&error) {
            Some(why) => Error::payload("table", why),
            None => failure(&error, server, limits),
        };
        let transaction = client.transaction().await.map_err(wrong)?;
        if insert.create && !columns.is_empty() {
            transaction.batch_execute(&insert.create_sql(&columns, "JSONB")).await.map_err(wrong)?;
        }
        if insert.mode == Mode::Replace {
            transaction.batch_execute(&insert.delete_sql()).await.map_err(wrong)?;
        }
        if columns.is_empty() {
            transaction.commit().await.map_err(wrong)?;
            return Ok(0);
        }
        let (target, names) = (insert.quoted_table(), quoted(&columns));
        let sql = format!(
            "INSERT INTO {target} ({names}) SELECT {names} FROM json_populate_recordset(NULL::{target}, $1)"
        );
        let statement = transaction.prepare(&sql).await.map_err(wrong)?;
        let rows = insert.rows.iter().cloned().map(Value::Object).collect();
        let rows = Parameter(Value::Array(rows));
        let inserted = transaction.execute_raw(&statement, [rows]).await.map_err(wrong)?;
        transaction.commit().await.map_err(wrong)?;
        Ok(inserted)
    })
    .await
}

/// Signs in and asks for the version.
pub(in super::super) async fn describe(
    egress: &Egress,
    server: &Server,
    limits: Limits,
) -> Result<String, Error> {
    let sql = "SELECT current_setting('server_version') AS version";
    let table = query(egress, server, limits, sql, &[], 1).await?;
    let version = table.rows.first().and_then(|row| row.get("version")).and_then(Value::as_str);
    Ok(format!("signed in to {}; PostgreSQL {}", server.target(), version.unwrap_or_default()))
}

// === impl Server ===

impl Server {
    fn target(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

async fn within<T>(
    server: &Server,
    limits: Limits,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limits.timeout, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::UpstreamTimeout { target: server.target(), after: limits.timeout }),
    }
}

async fn connect(
    egress: &Egress,
    server: &Server,
    limits: Limits,
    read_only: bool,
) -> Result<Client, Error> {
    let stream = egress.connect(&server.host, server.port).await?;
    let mut config = tokio_postgres::Config::new();
    let mode = if read_only { "on" } else { "off" };
    config
        .user(&server.user)
        .dbname(&server.database)
        .application_name("agent-lightning")
        // The server stops a statement whose caller has gone.
        .options(format!(
            "-c default_transaction_read_only={mode} -c statement_timeout={}",
            limits.timeout.as_millis()
        ));
    if let Some(password) = &server.password {
        config.password(password);
    }
    let (client, connection) =
        config.connect_raw(stream, NoTls).await.map_err(|error| failure(&error, server, limits))?;
    let target = server.target();
    task::spawn("integrations-postgres", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%target, error = %error, "connection ended");
        }
    });
    Ok(client)
}

async fn prepare(
    client: &Client,
    server: &Server,
    limits: Limits,
    sql: &str,
) -> Result<Statement, Error> {
    client.prepare(sql).await.map_err(|error| match error.as_db_error() {
        // Syntax, names and rights; what the server does not support.
        Some(refused) if matches!(&refused.code().code()[..2], "42" | "0A") => {
            Error::payload("sql", cut(refused.message(), 300))
        }
        Some(_) | None => failure(&error, server, limits),
    })
}

/// A statement that is right by itself and cannot be wrapped is not one that only reads.
fn only_reads(error: Error) -> Error {
    if matches!(error, Error::PayloadInvalid(_)) {
        return Error::payload(
            "sql",
            "must be one SELECT, WITH, VALUES or TABLE statement that only reads; use the action execute to write",
        );
    }
    error
}

fn bind(statement: &Statement, values: &[Value]) -> Result<Vec<Parameter>, Error> {
    let wanted = statement.params().len();
    if wanted != values.len() {
        return Err(wrong_count(wanted, values.len()));
    }
    Ok(values.iter().cloned().map(Parameter).collect())
}

/// Why a table cannot take the rows, if that is the reason.
fn table(error: &tokio_postgres::Error) -> Option<String> {
    let refused = error.as_db_error()?;
    refused.code().code().starts_with("42").then(|| cut(refused.message(), 300))
}

fn failure(error: &tokio_postgres::Error, server: &Server, limits: Limits) -> Error {
    let target = server.target();
    let Some(refused) = error.as_db_error() else {
        return Error::UpstreamUnavailable { target, why: "the connection broke off".to_owned() };
    };
    if *refused.code() == SqlState::QUERY_CANCELED {
        return Error::UpstreamTimeout { target, after: limits.timeout };
    }
    if *refused.code() == SqlState::READ_ONLY_SQL_TRANSACTION {
        return Error::payload("sql", "may only read; use the action execute to write");
    }
    let (class, message) = (&refused.code().code()[..2], said(refused));
    match class {
        // Connections, resources, an operator's intervention: the same call may succeed later.
        "08" | "53" | "57" | "58" => Error::UpstreamUnavailable { target, why: message },
        // A value that the statement cannot use.
        "22" => Error::payload("parameters", message),
        _ => Error::UpstreamRejected { target, status: None, message },
    }
}

fn said(refused: &DbError) -> String {
    format!("{} ({})", cut(refused.message(), 300), refused.code().code())
}

/// Integers that a double cannot hold become text, here as everywhere.
fn exact(value: Value) -> Value {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => super::integer(whole),
            (None, Some(whole)) => Value::String(whole.to_string()),
            (None, None) => Value::Number(number),
        },
        Value::Array(values) => Value::Array(values.into_iter().map(exact).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, exact(value))).collect())
        }
        same @ (Value::Null | Value::Bool(_) | Value::String(_)) => same,
    }
}

/// A JSON value as a parameter in text form.
struct Parameter(Value);

impl std::fmt::Debug for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The driver logs its parameters; they are the user's data.
        f.write_str("***")
    }
}

impl ToSql for Parameter {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match &self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::String(text) => out.extend_from_slice(text.as_bytes()),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                out.extend_from_slice(other.to_string().as_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

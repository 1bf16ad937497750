//! What both drivers share, and the statements that are ours: those of `insert`.
//!
//! Everything else that runs here is the user's own SQL. Names of tables and columns are quoted, never
//! pasted; values are always parameters.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use crate::Error;

pub(super) mod postgres;
pub(super) mod sqlite;

/// The first integer from which a double no longer holds every integer.
const EXACT: u64 = 1 << 53;
/// The longest column name, in bytes (PostgreSQL's limit).
const MAX_NAME: usize = 63;

/// What a call may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    /// The most bytes of values that a query returns.
    pub(super) max_bytes: usize,
}

/// What a query found.
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Value>,
    pub(super) truncated: bool,
}

/// Rows to insert.
#[derive(Deserialize)]
pub(super) struct Insert {
    table: String,
    rows: Vec<Map<String, Value>>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    create: bool,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Append,
    Replace,
}

/// What a column of JSON values can be stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Real,
    Boolean,
    Json,
    Text,
}

// === impl Insert ===

impl Insert {
    /// The columns of all rows together; a row that lacks one has NULL there.
    fn columns(&self) -> Result<Vec<String>, Error> {
        let names: BTreeSet<&String> = self.rows.iter().flat_map(Map::keys).collect();
        for name in &names {
            let fits = (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
            if !fits {
                let name = crate::domain::cut(name, 100);
                return Err(Error::payload("rows", format!("{name:?} cannot name a column")));
            }
        }
        Ok(names.into_iter().cloned().collect())
    }

    /// The table's name, quoted part by part.
    fn quoted_table(&self) -> String {
        let parts: Vec<String> = self.table.split('.').map(quote).collect();
        parts.join(".")
    }

    /// `CREATE TABLE` with columns that fit the values.
    fn create_sql(&self, columns: &[String], json: &str) -> String {
        let columns: Vec<String> = columns
            .iter()
            .map(|name| format!("{} {}", quote(name), self.kind(name).sql(json)))
            .collect();
        format!("CREATE TABLE IF NOT EXISTS {} ({})", self.quoted_table(), columns.join(", "))
    }

    fn delete_sql(&self) -> String {
        format!("DELETE FROM {}", self.quoted_table())
    }

    fn kind(&self, column: &str) -> Kind {
        let values =
            self.rows.iter().filter_map(|row| row.get(column)).filter(|value| !value.is_null());
        values.map(Kind::of).reduce(Kind::with).unwrap_or(Kind::Text)
    }
}

// === impl Kind ===

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Number(number) if number.is_i64() => Self::Integer,
            Value::Number(_) => Self::Real,
            Value::Bool(_) => Self::Boolean,
            Value::Array(_) | Value::Object(_) => Self::Json,
            Value::Null | Value::String(_) => Self::Text,
        }
    }

    /// What holds both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, two) if one == two => one,
            (Self::Integer, Self::Real) | (Self::Real, Self::Integer) => Self::Real,
            (_, _) => Self::Text,
        }
    }

    fn sql(self, json: &str) -> &str {
        match self {
            Self::Integer => "BIGINT",
            Self::Real => "DOUBLE PRECISION",
            Self::Boolean => "BOOLEAN",
            Self::Json => json,
            Self::Text => "TEXT",
        }
    }
}

/// A name as SQL reads it back unchanged.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quote(name)).collect();
    names.join(", ")
}

/// An integer as JSON carries it: as text when a double would lose digits on the way.
fn integer(number: i64) -> Value {
    if number.unsigned_abs() < EXACT {
        Value::from(number)
    } else {
        Value::String(number.to_string())
    }
}

/// A number as JSON carries it; what JSON cannot write becomes null.
fn real(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// Refuses columns of one name: the rows are objects, and one of them would be lost.
fn distinct(columns: &[String]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    match columns.iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => {
            let name = crate::domain::cut(name, 100);
            Err(Error::payload(
                "sql",
                format!("returns two columns {name:?}; give one another name with AS"),
            ))
        }
    }
}

fn wrong_count(wanted: usize, given: usize) -> Error {
    Error::payload(
        "parameters",
        format!("must have {wanted} values, as the statement does; it has {given}"),
    )
}

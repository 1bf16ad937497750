//! Values that go into statements and the rows that come out.
//!
//! Five kinds are all that both databases share; everything else (ids, JSON, times, truth) is
//! written
//! as one of them. Rows are read by column name, so that a statement may change its column list
//! without moving numbers elsewhere. `Debug` shows sizes, never contents: rows hold prompts and
//! secrets.

use std::{fmt, sync::Arc};

use crate::Error;

#[cfg(test)]
mod tests;

/// The parameters of one statement, `$1` first. Built by [`crate::params!`].
pub type Params = Vec<Value>;

/// One value of a parameter or a column.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// SQL's NULL.
    Null,
    /// BIGINT: numbers, microseconds since 1970, truth as 0 and 1.
    Integer(i64),
    /// DOUBLE PRECISION; not NaN.
    Real(f64),
    /// TEXT: ids, names, JSON; without NUL characters.
    Text(String),
    /// BYTEA.
    Blob(Vec<u8>),
}

/// One row of an answer.
#[derive(Clone, PartialEq)]
pub struct Row {
    names: Arc<[String]>,
    values: Vec<Value>,
}

// === impl Value ===

impl Value {
    /// The bytes that the value occupies, for the limits of batches and answers.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Integer(_) | Self::Real(_) => 8,
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }

    /// What neither database may be given: PostgreSQL refuses NUL in a text and SQLite turns NaN
    /// into NULL.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Text(text) if text.as_bytes().contains(&0) => {
                Some("a text contains a NUL character")
            }
            Self::Real(number) if number.is_nan() => Some("a number is NaN"),
            Self::Null | Self::Integer(_) | Self::Real(_) | Self::Text(_) | Self::Blob(_) => None,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Integer(number) => write!(f, "Integer({number})"),
            Self::Real(number) => write!(f, "Real({number})"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Blob(bytes) => write!(f, "Blob({} bytes)", bytes.len()),
        }
    }
}

macro_rules! from_integer {
    ($($kind:ty),+) => { $(
        impl From<$kind> for Value {
            fn from(number: $kind) -> Self {
                Self::Integer(i64::from(number))
            }
        }
    )+ };
}

// bool becomes 0 or 1.
from_integer!(i64, i32, u32, i16, u16, u8, bool);

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

// === impl Row ===

impl Row {
    pub(crate) fn new(names: Arc<[String]>, values: Vec<Value>) -> Self {
        Self { names, values }
    }

    /// The bytes of all values.
    pub(crate) fn size(&self) -> usize {
        self.values.iter().map(Value::size).sum()
    }

    /// The value of a column. Fails if the answer has no such column.
    pub fn value(&self, column: &str) -> Result<&Value, Error> {
        let position = self.names.iter().position(|name| name == column);
        position
            .and_then(|position| self.values.get(position))
            .ok_or_else(|| wrong(column, "is not in the answer"))
    }

    /// A TEXT column. Fails on NULL.
    pub fn text(&self, column: &str) -> Result<String, Error> {
        self.opt_text(column)?.ok_or_else(|| null(column))
    }

    /// A TEXT column that may be NULL.
    pub fn opt_text(&self, column: &str) -> Result<Option<String>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.clone())),
            Value::Integer(_) | Value::Real(_) | Value::Blob(_) => {
                Err(wrong(column, "is not a text"))
            }
        }
    }

    /// A BIGINT column. Fails on NULL.
    pub fn integer(&self, column: &str) -> Result<i64, Error> {
        self.opt_integer(column)?.ok_or_else(|| null(column))
    }

    /// A BIGINT column that may be NULL.
    pub fn opt_integer(&self, column: &str) -> Result<Option<i64>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(*number)),
            Value::Real(_) | Value::Text(_) | Value::Blob(_) => {
                Err(wrong(column, "is not an integer"))
            }
        }
    }

    /// A DOUBLE PRECISION column, or an integer where SQL made one of it. Fails on NULL.
    pub fn real(&self, column: &str) -> Result<f64, Error> {
        self.opt_real(column)?.ok_or_else(|| null(column))
    }

    /// A DOUBLE PRECISION column that may be NULL.
    pub fn opt_real(&self, column: &str) -> Result<Option<f64>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Real(number) => Ok(Some(*number)),
            // Sums of no fraction come back whole; 2^53 and more loses digits, as in any double.
            Value::Integer(number) => Ok(Some(*number as f64)),
            Value::Text(_) | Value::Blob(_) => Err(wrong(column, "is not a number")),
        }
    }

    /// A BYTEA column. Fails on NULL.
    pub fn blob(&self, column: &str) -> Result<Vec<u8>, Error> {
        self.opt_blob(column)?.ok_or_else(|| null(column))
    }

    /// A BYTEA column that may be NULL.
    pub fn opt_blob(&self, column: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Blob(bytes) => Ok(Some(bytes.clone())),
            Value::Integer(_) | Value::Real(_) | Value::Text(_) => {
                Err(wrong(column, "is not a blob"))
            }
        }
    }

    /// A truth kept as BIGINT 0 or 1. Fails on NULL and on any other number.
    pub fn boolean(&self, column: &str) -> Result<bool, Error> {
        match self.integer(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(wrong(column, "is neither 0 nor 1")),
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.names.iter().zip(&self.values)).finish()
    }
}

fn wrong(column: &str, reason: &'static str) -> Error {
    Error::Column { column: column.to_owned(), reason }
}

fn null(column: &str) -> Error {
    wrong(column, "is NULL")
}

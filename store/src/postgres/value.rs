//! Our five kinds of value in PostgreSQL's binary formats.
//!
//! A parameter takes the type that the server inferred for its place, so that `$1` needs no cast
//! where
//! a column decides. Columns of other integer and text types than our own come back as ours, and
//! NUMERIC, which is what `SUM` of BIGINT gives, as an integer or a real.

use std::{error::Error as StdError, sync::Arc};

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::{Error, Row, Value};

#[cfg(test)]
mod tests;

type Fault = Box<dyn StdError + Sync + Send>;

/// Turns a row of the server into ours.
pub(super) fn decode(row: &tokio_postgres::Row, names: &Arc<[String]>) -> Result<Row, Error> {
    let mut values = Vec::with_capacity(names.len());
    for (position, name) in names.iter().enumerate() {
        values.push(row.try_get::<_, Value>(position).map_err(|_| Error::Column {
            column: name.clone(),
            reason: "has a type that the two databases do not share",
        })?);
    }
    Ok(Row::new(names.clone(), values))
}

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) => integer_to_sql(*number, kind, out),
            Self::Real(number) => match *kind {
                Type::FLOAT8 => number.to_sql(kind, out),
                // The place itself has only single precision.
                Type::FLOAT4 => (*number as f32).to_sql(kind, out),
                _ => Err(misplaced("a real", kind)),
            },
            Self::Text(text) => match *kind {
                Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
                    text.as_str().to_sql(kind, out)
                }
                _ => Err(misplaced("a text", kind)),
            },
            Self::Blob(bytes) => match *kind {
                Type::BYTEA => bytes.as_slice().to_sql(kind, out),
                _ => Err(misplaced("a blob", kind)),
            },
        }
    }

    fn accepts(_: &Type) -> bool {
        // Decided by the value, in `to_sql`: NULL fits everywhere.
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        match *kind {
            Type::INT8 => Ok(Self::Integer(i64::from_sql(kind, raw)?)),
            Type::INT4 => Ok(Self::Integer(i32::from_sql(kind, raw)?.into())),
            Type::INT2 => Ok(Self::Integer(i16::from_sql(kind, raw)?.into())),
            Type::BOOL => Ok(Self::Integer(bool::from_sql(kind, raw)?.into())),
            Type::FLOAT8 => Ok(Self::Real(f64::from_sql(kind, raw)?)),
            Type::FLOAT4 => Ok(Self::Real(f32::from_sql(kind, raw)?.into())),
            Type::BYTEA => Ok(Self::Blob(raw.to_vec())),
            Type::NUMERIC => numeric(raw).ok_or_else(|| misplaced("a number out of range", kind)),
            _ => Ok(Self::Text(std::str::from_utf8(raw)?.to_owned())),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Fault> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(
            *kind,
            Type::INT8
                | Type::INT4
                | Type::INT2
                | Type::BOOL
                | Type::FLOAT8
                | Type::FLOAT4
                | Type::BYTEA
                | Type::NUMERIC
                | Type::TEXT
                | Type::VARCHAR
                | Type::BPCHAR
                | Type::NAME
                | Type::UNKNOWN
        )
    }
}

fn integer_to_sql(number: i64, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
    match *kind {
        Type::INT8 => number.to_sql(kind, out),
        Type::INT4 => i32::try_from(number)?.to_sql(kind, out),
        Type::INT2 => i16::try_from(number)?.to_sql(kind, out),
        // SQLite widens an integer in the place of a real as well.
        Type::FLOAT8 => (number as f64).to_sql(kind, out),
        _ => Err(misplaced("an integer", kind)),
    }
}

/// Reads NUMERIC: a count of digits of base 10,000, the weight of the first, sign, scale, then the
/// digits.
fn numeric(raw: &[u8]) -> Option<Value> {
    let mut words = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let count = i32::from(words.next()?);
    let weight = i32::from(words.next()?.cast_signed());
    let negative = match words.next()? {
        0x0000 => false,
        0x4000 => true,
        _ => return None,
    };
    let whole = words.next()? == 0;
    if whole && weight <= 4 {
        // The digits after the last stored one are zeros.
        let mut number = 0_i128;
        for _ in 0..=weight.max(count - 1) {
            number = number * 10_000 + i128::from(words.next().unwrap_or(0));
        }
        let number = if negative { -number } else { number };
        return i64::try_from(number).ok().map(Value::Integer);
    }
    let mut number = 0.0_f64;
    for (position, digit) in (0..count).zip(words) {
        number += f64::from(digit) * 10_000_f64.powi(weight - position);
    }
    Some(Value::Real(if negative { -number } else { number }))
}

fn misplaced(what: &str, kind: &Type) -> Fault {
    format!("{what} does not fit a place of type {kind}").into()
}

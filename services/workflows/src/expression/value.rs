//! JSON values and jaq's, both ways, within bounds.

use std::fmt::{self, Write as _};

use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value};

use super::{JaqError, fuel::MAX_DEPTH};

/// Most parts of a result.
const MAX_PARTS: usize = 500_000;
/// Most bytes of text in a result: 8 MiB.
const MAX_BYTES: usize = 8 << 20;
/// Longest error text that is kept, in bytes.
const MAX_ERROR: usize = 500;
/// The first whole number from which a double no longer holds every one: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn to_val(value: &Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(value) => Val::Bool(*value),
        Value::Number(number) => Val::Num(to_num(number)),
        Value::String(text) => Val::utf8_str(text.clone()),
        Value::Array(items) => items.iter().map(to_val).collect(),
        Value::Object(fields) => {
            let fields: Map = fields
                .iter()
                .map(|(key, field)| (Val::utf8_str(key.clone()), to_val(field)))
                .collect();
            Val::obj(fields)
        }
    }
}

fn to_num(number: &Number) -> Num {
    if let Some(whole) = number.as_i64() {
        Num::from_integral(whole)
    } else if let Some(whole) = number.as_u64() {
        Num::from_integral(whole)
    } else {
        Num::Float(number.as_f64().unwrap_or_default())
    }
}

/// The JSON value, unless it is too large or not JSON.
pub(super) fn from_val(val: &Val) -> Result<Value, String> {
    Room { parts: MAX_PARTS, bytes: MAX_BYTES }.take(val, 0)
}

/// What a result may still hold.
struct Room {
    parts: usize,
    bytes: usize,
}

// === impl Room ===

impl Room {
    fn take(&mut self, val: &Val, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the result is nested deeper than {MAX_DEPTH} levels"));
        }
        self.parts = self.parts.checked_sub(1).ok_or("the result has too many parts")?;
        match val {
            Val::Null => Ok(Value::Null),
            Val::Bool(value) => Ok(Value::Bool(*value)),
            Val::Num(number) => Ok(from_num(number)),
            Val::TStr(text) => self.text(text).map(Value::String),
            Val::BStr(_) => Err("the result holds bytes, which JSON cannot write".to_owned()),
            Val::Arr(items) => {
                let items = items.iter().map(|item| self.take(item, depth + 1));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Val::Obj(fields) => {
                let fields = fields.iter().map(|(key, field)| {
                    let Val::TStr(key) = key else {
                        return Err("a key of the result is not a string".to_owned());
                    };
                    Ok((self.text(key)?, self.take(field, depth + 1)?))
                });
                fields.collect::<Result<_, String>>().map(Value::Object)
            }
        }
    }

    fn text(&mut self, text: &[u8]) -> Result<String, String> {
        self.bytes = self.bytes.checked_sub(text.len()).ok_or("the result is too large")?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

fn from_num(number: &Num) -> Value {
    match number {
        Num::Int(whole) => Value::from(*whole),
        Num::Float(value) => from_double(*value),
        Num::BigInt(_) | Num::Dec(_) => {
            let text = number.to_string();
            let whole = text
                .parse::<i64>()
                .map(Value::from)
                .or_else(|_| text.parse::<u64>().map(Value::from));
            whole.unwrap_or_else(|_| from_double(text.parse().unwrap_or(f64::NAN)))
        }
    }
}

/// Whole numbers stay whole, as everywhere in the mesh; what JSON cannot write becomes null, as in jq.
fn from_double(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < EXACT && !(value == 0.0 && value.is_sign_negative()) {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53, so exact")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// What an error says, cut to a readable length without writing all of a huge value first.
pub(super) fn error_text(error: &JaqError) -> String {
    let mut text = Short(String::new());
    if write!(text, "{error}").is_err() {
        text.0.push('…');
    }
    text.0
}

struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = MAX_ERROR.saturating_sub(self.0.len());
        if part.len() <= room {
            self.0.push_str(part);
            return Ok(());
        }
        let end = (0..=room).rev().find(|at| part.is_char_boundary(*at)).unwrap_or(0);
        self.0.push_str(&part[..end]);
        Err(fmt::Error)
    }
}

//! JSON values and `google.protobuf.Struct`, both ways.
//!
//! A `Struct` knows only doubles. Whole numbers below 2^53 come back as integers, so that `{"n": 3}`
//! stays `{"n": 3}`; integers beyond that cannot be told apart in a double and come back as doubles.

use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Number, Value};

/// The first integer from which a double no longer holds every integer: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A JSON object as a `Struct`. Anything but an object has no fields and gives an empty one.
pub fn to_struct(value: impl Into<Value>) -> Struct {
    match value.into() {
        Value::Object(map) => {
            Struct { fields: map.into_iter().map(|(key, value)| (key, to_value(value))).collect() }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Struct::default()
        }
    }
}

/// A `Struct` as a JSON object.
pub fn from_struct(value: &Struct) -> Map<String, Value> {
    value.fields.iter().map(|(key, value)| (key.clone(), from_value(value))).collect()
}

/// A JSON value as a protobuf `Value`.
pub fn to_value(value: Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Value::String(value) => Kind::StringValue(value),
        Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(to_value).collect() })
        }
        object @ Value::Object(_) => Kind::StructValue(to_struct(object)),
    };
    ProtoValue { kind: Some(kind) }
}

/// A protobuf `Value` as JSON. An empty value, and a number that JSON cannot write (NaN, infinities),
/// become null.
pub fn from_value(value: &ProtoValue) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::NumberValue(value)) => number(*value),
        Some(Kind::StringValue(value)) => Value::String(value.clone()),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(from_value).collect()),
        Some(Kind::StructValue(value)) => Value::Object(from_struct(value)),
    }
}

fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < EXACT && !(value == 0.0 && value.is_sign_negative()) {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53, so exact")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests;

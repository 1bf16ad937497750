//! When two messages, and when two texts, say the same.

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, ReflectMessage, Value};
use serde_json::Value as Json;

/// Whether two messages of one type have the same fields with the same values.
pub(crate) fn same_message(pool: &DescriptorPool, a: &DynamicMessage, b: &DynamicMessage) -> bool {
    match a.descriptor().full_name() {
        "google.protobuf.Any" => return same_any(pool, a, b),
        // A Value without content is written as null, and null is read as a Value that holds it.
        "google.protobuf.Value" if is_null(a) && is_null(b) => return true,
        _ => {}
    }
    let fields: Vec<FieldDescriptor> = a.descriptor().fields().collect();
    fields.iter().all(|field| match (a.has_field(field), b.has_field(field)) {
        (false, false) => true,
        (true, true) => same_value(pool, &a.get_field(field), &b.get_field(field)),
        (true, false) | (false, true) => false,
    })
}

fn is_null(value: &DynamicMessage) -> bool {
    value.fields().all(|(field, _)| field.number() == 1)
}

fn same_value(pool: &DescriptorPool, a: &Value, b: &Value) -> bool {
    match (a, b) {
        // prost-reflect drops the sign of a zero where it drops the zero.
        (Value::F64(a), Value::F64(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Value::F32(a), Value::F32(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Value::Message(a), Value::Message(b)) => same_message(pool, a, b),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(pool, a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let found = |(key, a)| b.get(key).is_some_and(|b| same_value(pool, a, b));
            a.len() == b.len() && a.iter().all(found)
        }
        (a, b) => a == b,
    }
}

/// The order of maps makes equal contents unequal bytes, so they are compared as messages.
fn same_any(pool: &DescriptorPool, a: &DynamicMessage, b: &DynamicMessage) -> bool {
    let (Some(url), Some(other)) = (a.get_field_by_number(1), b.get_field_by_number(1)) else {
        return false;
    };
    let (Some(left), Some(right)) = (a.get_field_by_number(2), b.get_field_by_number(2)) else {
        return false;
    };
    if url != other {
        return false;
    }
    let of = url.as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default().to_owned();
    let decode = |value: &Value| {
        let of = pool.get_message_by_name(&of)?;
        DynamicMessage::decode(of, value.as_bytes()?.clone()).ok()
    };
    match (decode(&left), decode(&right)) {
        (Some(a), Some(b)) => same_message(pool, &a, &b),
        (Some(_) | None, _) => left == right,
    }
}

/// Whether two JSON values are equal, numbers by value: `1` is `1.0`.
pub(crate) fn same_json(a: &Json, b: &Json) -> bool {
    same_but(a, b, |_, _| false)
}

/// The same for prost-reflect's own output: it writes a `DoubleValue` or `FloatValue` that is not finite as
/// `null`, where ProtoJSON has a word for it.
pub(crate) fn same_reflected(ours: &Json, its: &Json) -> bool {
    same_but(ours, its, |a, b| {
        b.is_null() && matches!(a.as_str(), Some("NaN" | "Infinity" | "-Infinity"))
    })
}

fn same_but(a: &Json, b: &Json, excused: fn(&Json, &Json) -> bool) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => {
            a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| same_number(a, b))
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_but(a, b, excused))
        }
        (Json::Object(a), Json::Object(b)) => {
            let found = |(key, a)| b.get(key).is_some_and(|b| same_but(a, b, excused));
            a.len() == b.len() && a.iter().all(found)
        }
        (a, b) => a == b || excused(a, b),
    }
}

/// A float that lies between two shortest texts may be written as either, and then their doubles differ.
/// That a double itself is exact is seen when the text is read again.
fn same_number(a: f64, b: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "floats are compared as floats")]
    let (a, b) = (a as f32, b as f32);
    a.to_bits() == b.to_bits()
}

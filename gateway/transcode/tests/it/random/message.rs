//! Random messages of a contract, as prost-reflect holds them.

use std::collections::HashMap;

use prost::Message;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};

use super::{
    Rng,
    schema::{Schema, is_null_value},
    values,
};

/// Messages nest at most so deep; recursive types end there.
const DEPTH: usize = 5;

/// What messages are made from.
pub(crate) struct Source<'s> {
    pub(crate) schema: &'s Schema,
    /// Whether there may be what JSON cannot express: times out of range, an `Any` of an unknown type.
    pub(crate) odd: bool,
}

/// A random message of a type.
pub(crate) fn message(rng: &mut Rng, from: &Source<'_>, of: &MessageDescriptor) -> DynamicMessage {
    nested(rng, from, of, 0)
}

fn nested(
    rng: &mut Rng,
    from: &Source<'_>,
    of: &MessageDescriptor,
    depth: usize,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    match of.full_name() {
        "google.protobuf.Any" => any(rng, from, &mut message, depth),
        "google.protobuf.Timestamp" => set_time(&mut message, values::timestamp(rng, from.odd)),
        "google.protobuf.Duration" => set_time(&mut message, values::duration(rng, from.odd)),
        "google.protobuf.FieldMask" => {
            let paths = (0..rng.below(4)).map(|_| Value::String(values::path(rng))).collect();
            message.set_field_by_number(1, Value::List(paths));
        }
        "google.protobuf.Value" => json_value(rng, from, &mut message, depth),
        _ => fields(rng, from, &mut message, depth),
    }
    message
}

fn fields(rng: &mut Rng, from: &Source<'_>, message: &mut DynamicMessage, depth: usize) {
    let of = message.descriptor();
    let few = of.fields().len() > 60 && depth > 0;
    for field in of.fields() {
        let skipped = !keep(rng, depth, few);
        if skipped || (depth >= DEPTH && matches!(field.kind(), Kind::Message(_))) {
            continue;
        }
        let value = field_value(rng, from, &field, depth);
        message.set_field(&field, value);
    }
}

/// Whether a message at this depth has a field; fewer the deeper, lest recursive types explode.
pub(crate) fn keep(rng: &mut Rng, depth: usize, few: bool) -> bool {
    rng.once_in(if few { 16 } else { 2 + depth })
}

fn field_value(rng: &mut Rng, from: &Source<'_>, field: &FieldDescriptor, depth: usize) -> Value {
    let kind = field.kind();
    if let (true, Kind::Message(entry)) = (field.is_map(), &kind) {
        let (keys, values) =
            (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = HashMap::new();
        for _ in 0..rng.below(4) {
            let key = value(rng, from, &keys, depth).into_map_key();
            map.insert(key.unwrap_or(MapKey::Bool(true)), value(rng, from, &values, depth));
        }
        return Value::Map(map);
    }
    if field.is_list() {
        let length = if rng.once_in(30) { 130 } else { rng.below(4) };
        let length = if matches!(kind, Kind::Message(_)) { length.min(3) } else { length };
        return Value::List((0..length).map(|_| value(rng, from, &kind, depth)).collect());
    }
    value(rng, from, &kind, depth)
}

fn value(rng: &mut Rng, from: &Source<'_>, kind: &Kind, depth: usize) -> Value {
    let narrow = |value: i64| i32::try_from(value).unwrap_or_default();
    match kind {
        Kind::Double => Value::F64(values::double(rng)),
        Kind::Float => Value::F32(values::float(rng)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(narrow(values::signed(rng, 32))),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(values::signed(rng, 64)),
        Kind::Uint32 | Kind::Fixed32 => {
            Value::U32(u32::try_from(values::unsigned(rng, 32)).unwrap_or_default())
        }
        Kind::Uint64 | Kind::Fixed64 => Value::U64(values::unsigned(rng, 64)),
        Kind::Bool => Value::Bool(rng.once_in(2)),
        Kind::String => Value::String(values::text(rng)),
        Kind::Bytes => Value::Bytes(values::bytes(rng).into()),
        Kind::Enum(of) if is_null_value(of) => Value::EnumNumber(0),
        Kind::Enum(_) if rng.once_in(8) => Value::EnumNumber(narrow(values::signed(rng, 32))),
        Kind::Enum(of) => {
            let values: Vec<i32> = of.values().map(|value| value.number()).collect();
            Value::EnumNumber(*rng.pick(&values))
        }
        Kind::Message(of) => Value::Message(nested(rng, from, of, depth + 1)),
    }
}

fn set_time(message: &mut DynamicMessage, (seconds, nanos): (i64, i32)) {
    message.set_field_by_number(1, Value::I64(seconds));
    message.set_field_by_number(2, Value::I32(nanos));
}

fn json_value(rng: &mut Rng, from: &Source<'_>, message: &mut DynamicMessage, depth: usize) {
    let number = match rng.below(if depth >= DEPTH { 4 } else { 6 }) {
        0 => {
            message.set_field_by_number(1, Value::EnumNumber(0));
            return;
        }
        1 => {
            let number = values::double(rng);
            let finite = number.is_finite() || from.odd;
            message.set_field_by_number(2, Value::F64(if finite { number } else { 1.5 }));
            return;
        }
        other => u32::try_from(other + 1).unwrap_or(3),
    };
    let field = message.descriptor().get_field(number).expect("a Value has the fields 1 to 6");
    let inner = value(rng, from, &field.kind(), depth + 1);
    message.set_field(&field, inner);
}

fn any(rng: &mut Rng, from: &Source<'_>, message: &mut DynamicMessage, depth: usize) {
    if rng.once_in(12) {
        return;
    }
    let mut of = from.schema.root(rng);
    if of.name() == "Empty" && !from.odd {
        // ProtoJSON leaves open whether an Empty in an Any has a `value`; prost-reflect writes one.
        of = from.schema.messages[0].clone();
    }
    let inner = if depth >= DEPTH {
        DynamicMessage::new(of.clone())
    } else {
        nested(rng, from, &of, depth + 1)
    };
    let prefix = if rng.once_in(4) { "example.com/some/path" } else { "type.googleapis.com" };
    let name = if from.odd && rng.once_in(4) { "r.Unknown" } else { of.full_name() };
    message.set_field_by_number(1, Value::String(format!("{prefix}/{name}")));
    message.set_field_by_number(2, Value::Bytes(inner.encode_to_vec().into()));
}

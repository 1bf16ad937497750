//! From descriptors to tables.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};

use super::{
    ABSENT, EnumId, EnumTable, EnumValue, FieldKind, FieldTable, MessageId, MessageTable, NameMap,
    Numbers, Shape, Tables, Tag,
};
use crate::{
    direct::encode::text,
    json::{Style, Wkt, names},
    status::known,
};

/// How many words of an enum a message names.
const SHOWN: usize = 12;

const NULL_VALUE: &str = "google.protobuf.NullValue";

/// The names of what was given an index, and in what order.
#[derive(Default)]
struct Building {
    messages: HashMap<String, MessageId>,
    enums: HashMap<String, EnumId>,
    enum_tables: Vec<EnumTable>,
}

pub(super) fn tables(pool: &DescriptorPool) -> Tables {
    let mut descriptors: Vec<MessageDescriptor> = pool.all_messages().collect();
    let own = index(descriptors.len());
    let lacking = |message: &MessageDescriptor| {
        message.full_name().starts_with("google.rpc.")
            && pool.get_message_by_name(message.full_name()).is_none()
    };
    // The details refer to nothing but each other and to a Duration.
    let mut added: Vec<MessageDescriptor> = known::pool().all_messages().filter(lacking).collect();
    let duration = "google.protobuf.Duration";
    if !added.is_empty() && pool.get_message_by_name(duration).is_none() {
        added.extend(known::pool().get_message_by_name(duration));
    }
    descriptors.extend(added);

    let mut building = Building::default();
    for (at, descriptor) in descriptors.iter().enumerate() {
        building.messages.insert(descriptor.full_name().to_owned(), MessageId(index(at)));
    }
    let messages = descriptors.iter().map(|descriptor| building.message(descriptor)).collect();
    let by_name = NameMap::new(building.messages.iter().map(|(name, id)| (name, *id)));
    let (pool, enums) = (pool.clone(), building.enum_tables);
    let mut tables = Tables { pool, messages, enums, by_name, own };
    let misnamed: Vec<usize> = (0..tables.messages.len())
        .filter(|at| !is_genuine(&tables, &tables.messages[*at]))
        .collect();
    for at in misnamed {
        tables.messages[at].wkt = None;
    }
    render_unset(&mut tables);
    tables
}

fn index(at: usize) -> u32 {
    u32::try_from(at).expect("a pool has far fewer than four thousand million messages")
}

// === impl Building ===

impl Building {
    fn message(&mut self, of: &MessageDescriptor) -> MessageTable {
        let mut descriptors: Vec<FieldDescriptor> = of.fields().collect();
        if of.is_map_entry() {
            descriptors.sort_by_key(FieldDescriptor::number);
        }
        let oneofs: Vec<String> = of
            .oneofs()
            .filter(|oneof| !oneof.is_synthetic())
            .map(|oneof| oneof.name().to_owned())
            .collect();
        let fields: Box<[FieldTable]> =
            descriptors.iter().map(|field| self.field(field, &oneofs)).collect();
        let slots = |name: fn(&FieldDescriptor) -> &str| {
            descriptors.iter().enumerate().map(move |(at, field)| (name(field), index(at)))
        };
        // A field's own name is stronger than another's JSON name.
        let names =
            NameMap::new(slots(FieldDescriptor::name).chain(slots(FieldDescriptor::json_name)));
        MessageTable {
            full_name: of.full_name().into(),
            name: of.name().into(),
            wkt: Wkt::of(of),
            oneofs: oneofs.len(),
            numbers: numbers(&fields),
            names,
            fields,
        }
    }

    fn field(&mut self, of: &FieldDescriptor, oneofs: &[String]) -> FieldTable {
        let kind = self.kind(of);
        let shape = match (of.is_map(), of.is_list()) {
            (true, _) => Shape::Map,
            (_, true) if of.is_packed() => Shape::Packed,
            (_, true) => Shape::Repeated,
            (_, false) => Shape::Singular,
        };
        let key = |name: &str| {
            let mut key = vec![b','];
            text::string(&mut key, name);
            key.push(b':');
            key.into_boxed_slice()
        };
        let takes_null = of.kind().as_message().is_some_and(|it| Wkt::of(it) == Some(Wkt::Value))
            || of.kind().as_enum().is_some_and(|it| it.full_name() == NULL_VALUE);
        let oneof = of
            .containing_oneof()
            .and_then(|oneof| oneofs.iter().position(|name| name == oneof.name()));
        let wire_type = if shape == Shape::Packed { 2 } else { kind.wire_type() };
        FieldTable {
            number: of.number(),
            name: of.name().into(),
            kind,
            shape,
            presence: of.supports_presence(),
            takes_null,
            oneof: oneof.map(index),
            tag: Tag::new(of.number(), wire_type),
            end: Tag::new(of.number(), 4),
            keys: [key(of.name()), key(of.json_name())],
            unset: unset(of),
            unset_member: Box::default(),
        }
    }

    fn kind(&mut self, of: &FieldDescriptor) -> FieldKind {
        match of.kind() {
            Kind::Double => FieldKind::Double,
            Kind::Float => FieldKind::Float,
            Kind::Int32 => FieldKind::Int32,
            Kind::Sint32 => FieldKind::Sint32,
            Kind::Sfixed32 => FieldKind::Sfixed32,
            Kind::Int64 => FieldKind::Int64,
            Kind::Sint64 => FieldKind::Sint64,
            Kind::Sfixed64 => FieldKind::Sfixed64,
            Kind::Uint32 => FieldKind::Uint32,
            Kind::Fixed32 => FieldKind::Fixed32,
            Kind::Uint64 => FieldKind::Uint64,
            Kind::Fixed64 => FieldKind::Fixed64,
            Kind::Bool => FieldKind::Bool,
            Kind::String => FieldKind::String,
            Kind::Bytes => FieldKind::Bytes,
            Kind::Enum(of) => FieldKind::Enum(self.enumeration(&of)),
            Kind::Message(message) => {
                let id = self.messages.get(message.full_name());
                let id = *id.expect("a pool holds the messages that its fields refer to");
                if of.is_group() { FieldKind::Group(id) } else { FieldKind::Message(id) }
            }
        }
    }

    fn enumeration(&mut self, of: &EnumDescriptor) -> EnumId {
        if let Some(id) = self.enums.get(of.full_name()) {
            return *id;
        }
        let id = EnumId(index(self.enum_tables.len()));
        self.enums.insert(of.full_name().to_owned(), id);
        self.enum_tables.push(enum_table(of));
        id
    }
}

fn numbers(fields: &[FieldTable]) -> Numbers {
    // Numbers are mostly small and close together; four cells a field bound the waste.
    let dense_end = fields.len() * 4 + 32;
    let largest = fields.iter().map(|field| field.number as usize);
    let length = largest.filter(|number| *number < dense_end).max().map_or(0, |number| number + 1);
    let mut dense = vec![ABSENT; length];
    let mut sparse = Vec::new();
    for (slot, field) in fields.iter().enumerate() {
        match dense.get_mut(field.number as usize) {
            Some(cell) => *cell = index(slot),
            None => sparse.push((field.number, index(slot))),
        }
    }
    sparse.sort_unstable();
    Numbers { dense: dense.into(), sparse: sparse.into() }
}

fn enum_table(of: &EnumDescriptor) -> EnumTable {
    let quoted = |value: &str| {
        let mut out = Vec::new();
        text::string(&mut out, value);
        out.into_boxed_slice()
    };
    let mut numbers: Vec<i32> = of.values().map(|value| value.number()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let values = numbers.iter().filter_map(|number| {
        // Of several names for one number the descriptor says which is the one to write.
        let value = of.get_value(*number)?;
        let word = names::word(of, value.name());
        Some(EnumValue { number: *number, texts: [quoted(&word), quoted(value.name())] })
    });
    let values: Box<[EnumValue]> = values.collect();
    let dense = values.iter().zip(0..).all(|(value, place)| value.number == place);
    let named = || of.values().map(|value| (value.name().to_owned(), value.number()));
    let worded = of.values().map(|value| (names::word(of, value.name()), value.number()));
    let known: Vec<String> =
        of.values().take(SHOWN).map(|value| names::word(of, value.name())).collect();
    let more = if of.values().len() > SHOWN { ", …" } else { "" };
    EnumTable {
        name: of.name().into(),
        is_null: of.full_name() == NULL_VALUE,
        known: format!("{}{more}", known.join(", ")).into(),
        values,
        dense,
        names: NameMap::new(named()),
        words: NameMap::new(named().chain(worded)),
    }
}

/// The JSON of an unset field that is no enum and no message; those need the finished tables.
fn unset(of: &FieldDescriptor) -> [Box<[u8]>; 2] {
    let of = of.default_value();
    let unset = |product: bool| {
        let mut out = Vec::new();
        match &of {
            Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            // Of an enum the number for now; the word replaces it.
            Value::I32(value) | Value::EnumNumber(value) => text::integer(&mut out, *value),
            Value::U32(value) => text::integer(&mut out, *value),
            Value::I64(value) => text::signed(&mut out, *value, product),
            Value::U64(value) => text::unsigned(&mut out, *value, product),
            Value::F32(value) => text::float(&mut out, *value),
            Value::F64(value) => text::double(&mut out, *value),
            Value::String(value) => text::string(&mut out, value),
            Value::Bytes(value) => text::base64(&mut out, value),
            Value::Message(_) | Value::Map(_) => out.extend_from_slice(b"{}"),
            Value::List(_) => out.extend_from_slice(b"[]"),
        }
        out.into_boxed_slice()
    };
    [unset(true), unset(false)]
}

/// Replaces the unset texts that depend on enums and on the well-known types.
fn render_unset(tables: &mut Tables) {
    for at in 0..tables.messages.len() {
        for slot in 0..tables.messages[at].fields.len() {
            let field = &tables.messages[at].fields[slot];
            let unset = match field.kind {
                _ if field.shape != Shape::Singular => None,
                FieldKind::Enum(id) => {
                    let of = tables.enumeration(id);
                    let number = std::str::from_utf8(&field.unset[0]).ok();
                    let number = number.and_then(|text| text.parse().ok()).unwrap_or_default();
                    let text = |style| match of.text(number, style) {
                        _ if of.is_null => b"null".as_slice().into(),
                        Some(text) => Box::from(text),
                        None => field.unset[0].clone(),
                    };
                    Some([text(Style::Product), text(Style::Canonical)])
                }
                FieldKind::Message(id) | FieldKind::Group(id) => {
                    let object = match tables.message(id).wkt {
                        None | Some(Wkt::Any | Wkt::Struct) => true,
                        Some(
                            Wkt::Duration
                            | Wkt::FieldMask
                            | Wkt::ListValue
                            | Wkt::Timestamp
                            | Wkt::Value
                            | Wkt::Wrapper,
                        ) => false,
                    };
                    let text: &[u8] = if object { b"{}" } else { b"null" };
                    Some([text.into(), text.into()])
                }
                FieldKind::Double
                | FieldKind::Float
                | FieldKind::Int32
                | FieldKind::Sint32
                | FieldKind::Sfixed32
                | FieldKind::Int64
                | FieldKind::Sint64
                | FieldKind::Sfixed64
                | FieldKind::Uint32
                | FieldKind::Fixed32
                | FieldKind::Uint64
                | FieldKind::Fixed64
                | FieldKind::Bool
                | FieldKind::String
                | FieldKind::Bytes => None,
            };
            let field = &mut tables.messages[at].fields[slot];
            if let Some(unset) = unset {
                field.unset = unset;
            }
            let member = [field.next_key(Style::Product, false), field.unset(Style::Product)];
            field.unset_member = member.concat().into();
        }
    }
}

/// Whether a message has the fields of the well-known type that it is named after.
fn is_genuine(tables: &Tables, message: &MessageTable) -> bool {
    let Some(wkt) = message.wkt else { return true };
    let has = |number: u32, shape: Shape, fits: &dyn Fn(FieldKind) -> bool| {
        let field = message.field_of_number(number);
        field.is_some_and(|field| field.shape == shape && fits(field.kind))
    };
    let is = |number: u32, kind: FieldKind| has(number, Shape::Singular, &|it| it == kind);
    let named = |kind: FieldKind, name: &str| matches!(kind, FieldKind::Message(id) if *tables.message(id).full_name == *name);
    let value = |kind: FieldKind| named(kind, "google.protobuf.Value");
    match wkt {
        Wkt::Any => is(1, FieldKind::String) && is(2, FieldKind::Bytes),
        Wkt::Duration | Wkt::Timestamp => is(1, FieldKind::Int64) && is(2, FieldKind::Int32),
        Wkt::FieldMask => has(1, Shape::Repeated, &|it| it == FieldKind::String),
        Wkt::ListValue => has(1, Shape::Repeated, &value),
        Wkt::Struct => has(1, Shape::Map, &|it| {
            let FieldKind::Message(id) = it else { return false };
            let entry = &tables.message(id).fields;
            entry.len() == 2 && entry[0].kind == FieldKind::String && value(entry[1].kind)
        }),
        Wkt::Value => {
            let null = |kind: FieldKind| matches!(kind, FieldKind::Enum(id) if tables.enumeration(id).is_null);
            let part = |number, name| has(number, Shape::Singular, &|it| named(it, name));
            has(1, Shape::Singular, &null)
                && is(2, FieldKind::Double)
                && is(3, FieldKind::String)
                && is(4, FieldKind::Bool)
                && part(5, "google.protobuf.Struct")
                && part(6, "google.protobuf.ListValue")
        }
        Wkt::Wrapper => {
            let kind = match &*message.name {
                "BoolValue" => FieldKind::Bool,
                "BytesValue" => FieldKind::Bytes,
                "DoubleValue" => FieldKind::Double,
                "FloatValue" => FieldKind::Float,
                "Int32Value" => FieldKind::Int32,
                "Int64Value" => FieldKind::Int64,
                "StringValue" => FieldKind::String,
                "UInt32Value" => FieldKind::Uint32,
                "UInt64Value" => FieldKind::Uint64,
                _ => return false,
            };
            is(1, kind)
        }
    }
}

//! Random contracts: messages with every kind of field, cardinality and name that proto3 allows.

use prost_reflect::{
    DescriptorPool, EnumDescriptor, MessageDescriptor,
    prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto,
        FieldDescriptorProto, FieldOptions, FileDescriptorProto, MessageOptions,
        OneofDescriptorProto,
        field_descriptor_proto::{Label, Type},
    },
};

use super::Rng;

const SCALARS: [Type; 15] = [
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Bytes,
    Type::Uint32,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

const KEYS: [Type; 12] = [
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Uint32,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

/// The messages with a JSON form of their own, and `Empty`, which has none but is well known too.
const WELL_KNOWN: [&str; 17] = [
    "Any",
    "BoolValue",
    "BytesValue",
    "DoubleValue",
    "Duration",
    "Empty",
    "FieldMask",
    "FloatValue",
    "Int32Value",
    "Int64Value",
    "ListValue",
    "StringValue",
    "Struct",
    "Timestamp",
    "UInt32Value",
    "UInt64Value",
    "Value",
];

const FILES: [&str; 7] =
    ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"];

/// A random contract.
pub(crate) struct Schema {
    pub(crate) pool: DescriptorPool,
    pub(crate) messages: Vec<MessageDescriptor>,
}

impl Schema {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let messages = 1 + rng.below(4);
        let enums = 1 + rng.below(3);
        let file = FileDescriptorProto {
            name: Some("random.proto".to_owned()),
            package: Some("r".to_owned()),
            syntax: Some("proto3".to_owned()),
            dependency: FILES.iter().map(|it| format!("google/protobuf/{it}.proto")).collect(),
            enum_type: (0..enums).map(|index| enumeration(rng, index)).collect(),
            message_type: (0..messages).map(|at| message(rng, at, messages, enums)).collect(),
            ..FileDescriptorProto::default()
        };
        let mut pool = DescriptorPool::global();
        pool.add_file_descriptor_proto(file).expect("the contract is valid");
        let named = |index| pool.get_message_by_name(&format!("r.M{index}"));
        let messages = (0..messages).filter_map(named).collect();
        Self { pool, messages }
    }

    /// Any of the messages, sometimes a well-known one, as the root of a text or the content of an `Any`.
    pub(crate) fn root(&self, rng: &mut Rng) -> MessageDescriptor {
        let well_known =
            rng.once_in(8).then(|| format!("google.protobuf.{}", rng.pick(&WELL_KNOWN)));
        well_known
            .and_then(|name| self.pool.get_message_by_name(&name))
            .unwrap_or_else(|| rng.pick(&self.messages).clone())
    }
}

/// Whether a `null` stands for a value and not for the absence of one.
pub(crate) fn is_null_value(of: &EnumDescriptor) -> bool {
    of.full_name() == "google.protobuf.NullValue"
}

fn enumeration(rng: &mut Rng, index: usize) -> EnumDescriptorProto {
    let aliases = rng.once_in(3);
    let mut value = vec![value(format!("E{index}_UNSPECIFIED"), 0)];
    for at in 1..=rng.below(7) {
        let name = match rng.below(6) {
            0..3 => format!("E{index}_WORD_{at}"),
            3 => format!("PLAIN{index}_{at}"),
            4 => format!("E{index}_{at}ST"),
            _ => format!("E{index}_Mixed{at}"),
        };
        let number = i32::try_from(at).expect("there are few values");
        value.push(self::value(
            name,
            match rng.below(6) {
                0 => -number,
                1 => number.saturating_mul(300_000_000),
                2 if aliases => 0,
                _ => number,
            },
        ));
    }
    let options =
        aliases.then(|| EnumOptions { allow_alias: Some(true), ..EnumOptions::default() });
    EnumDescriptorProto {
        name: Some(format!("E{index}")),
        value,
        options,
        ..EnumDescriptorProto::default()
    }
}

fn value(name: String, number: i32) -> EnumValueDescriptorProto {
    EnumValueDescriptorProto { name: Some(name), number: Some(number), options: None }
}

fn message(rng: &mut Rng, index: usize, messages: usize, enums: usize) -> DescriptorProto {
    let mut built =
        DescriptorProto { name: Some(format!("M{index}")), ..DescriptorProto::default() };
    // Most are small; some have more fields than a machine word has bits.
    let count = if rng.once_in(16) { 64 + rng.below(80) } else { rng.below(14) };
    let oneofs = rng.below(3);
    for oneof in 0..oneofs {
        built.oneof_decl.push(oneof_named(format!("choice_{oneof}")));
    }
    let mut number = 0;
    for at in 0..count {
        number += match rng.below(40) {
            0..35 => 1,
            35..38 => 1 + rng.below(12),
            38 => 2_050,
            _ => 30_000,
        };
        let one = field(rng, at, number, (index, messages, enums), &mut built);
        built.field.push(one);
    }
    // An oneof without members is not valid, and those of `optional` must follow the real ones.
    for oneof in 0..oneofs {
        let position = i32::try_from(oneof).ok();
        if !built.field.iter().any(|field| field.oneof_index == position) {
            let mut member = named(rng, count + oneof, number + 1 + oneof);
            set_type(&mut member, Type::Int32, None);
            member.oneof_index = position;
            built.field.push(member);
        }
    }
    for at in 0..built.field.len() {
        if built.field[at].proto3_optional() {
            built.field[at].oneof_index = i32::try_from(built.oneof_decl.len()).ok();
            built.oneof_decl.push(oneof_named(format!("_synthetic_{at}")));
        }
    }
    if rng.once_in(3) {
        rng.shuffle(&mut built.field);
        // Members of an oneof need not stand together, and its place is that of its first member.
    }
    built
}

fn oneof_named(name: String) -> OneofDescriptorProto {
    OneofDescriptorProto { name: Some(name), options: None }
}

fn field(
    rng: &mut Rng,
    at: usize,
    number: usize,
    (index, messages, enums): (usize, usize, usize),
    parent: &mut DescriptorProto,
) -> FieldDescriptorProto {
    let mut field = named(rng, at, number);
    let shape = rng.below(10);
    if shape == 0 {
        let entry = format!("Map{at}Entry");
        let mut key = plain("key", 1);
        set_type(&mut key, *rng.pick(&KEYS), None);
        let mut value = plain("value", 2);
        any_type(rng, &mut value, messages, enums);
        parent.nested_type.push(DescriptorProto {
            name: Some(entry.clone()),
            field: vec![key, value],
            options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
            ..DescriptorProto::default()
        });
        set_type(&mut field, Type::Message, Some(format!(".r.M{index}.{entry}")));
        field.label = Some(Label::Repeated.into());
        return field;
    }
    any_type(rng, &mut field, messages, enums);
    match shape {
        1 | 2 => {
            field.label = Some(Label::Repeated.into());
            let numeric = !matches!(field.r#type(), Type::Message | Type::String | Type::Bytes);
            if numeric && rng.once_in(3) {
                let packed = Some(rng.once_in(2));
                field.options = Some(FieldOptions { packed, ..FieldOptions::default() });
            }
        }
        3 => field.proto3_optional = Some(true),
        4 | 5 if !parent.oneof_decl.is_empty() => {
            field.oneof_index = i32::try_from(rng.below(parent.oneof_decl.len())).ok();
        }
        _ => {}
    }
    field
}

fn plain(name: &str, number: i32) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        ..FieldDescriptorProto::default()
    }
}

/// A field with one of the name forms that make JSON names interesting.
fn named(rng: &mut Rng, at: usize, number: usize) -> FieldDescriptorProto {
    let name = match rng.below(8) {
        0..3 => format!("f{at}"),
        3 => format!("snake_case_{at}"),
        4 => format!("_leading{at}"),
        5 => format!("double__{at}"),
        6 => format!("digits_{at}_1"),
        _ => format!("UPPER_{at}"),
    };
    // The numbers from 19000 to 19999 are reserved.
    let number = if number >= 19_000 { number + 1_000 } else { number };
    let mut field = plain(&name, i32::try_from(number).expect("numbers stay small"));
    field.json_name = match rng.below(24) {
        0 => Some(format!("custom{at}")),
        1 => Some(format!("quote\"back\\slash\t{at}")),
        2 => Some(format!("é\u{1f600} {at}")),
        3 => Some(format!("{}{at}", "long".repeat(70))),
        _ => None,
    };
    field
}

fn any_type(rng: &mut Rng, field: &mut FieldDescriptorProto, messages: usize, enums: usize) {
    match rng.below(12) {
        0 | 1 => {
            let name = format!(".r.M{}", rng.below(messages));
            set_type(field, Type::Message, Some(name));
        }
        2 | 3 => {
            let name = format!(".google.protobuf.{}", rng.pick(&WELL_KNOWN));
            set_type(field, Type::Message, Some(name));
        }
        4 if rng.once_in(6) => {
            set_type(field, Type::Enum, Some(".google.protobuf.NullValue".to_owned()));
        }
        4 => {
            let name = format!(".r.E{}", rng.below(enums));
            set_type(field, Type::Enum, Some(name));
        }
        _ => set_type(field, *rng.pick(&SCALARS), None),
    }
}

fn set_type(field: &mut FieldDescriptorProto, kind: Type, name: Option<String>) {
    field.r#type = Some(kind.into());
    field.type_name = name;
}

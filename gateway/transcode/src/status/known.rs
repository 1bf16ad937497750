//! The descriptors of the standard error details, for pools that lack them.
//!
//! They are made in code from the published names and numbers: the errors of this crate must be
//! readable whatever services it serves.

use std::sync::LazyLock;

use prost_reflect::{
    DescriptorPool,
    prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MessageOptions,
        field_descriptor_proto::{Label, Type},
    },
};

pub(crate) const UNKNOWN: i32 = 2;
pub(crate) const INVALID_ARGUMENT: i32 = 3;
pub(crate) const NOT_FOUND: i32 = 5;
pub(crate) const RESOURCE_EXHAUSTED: i32 = 8;
pub(crate) const ABORTED: i32 = 10;
pub(crate) const UNIMPLEMENTED: i32 = 12;
pub(crate) const INTERNAL: i32 = 13;
pub(crate) const UNAVAILABLE: i32 = 14;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // Not the process-wide pool: others may have put files of these names there.
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos([duration(), file()]).expect("the files below are well-formed");
    pool
});

/// The pool of the standard details.
pub(crate) fn pool() -> &'static DescriptorPool {
    &POOL
}

fn duration() -> FileDescriptorProto {
    let field = |name: &str, number, of: Type| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(of.into()),
        ..FieldDescriptorProto::default()
    };
    FileDescriptorProto {
        name: Some("google/protobuf/duration.proto".to_owned()),
        package: Some("google.protobuf".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("Duration".to_owned()),
            field: vec![field("seconds", 1, Type::Int64), field("nanos", 2, Type::Int32)],
            ..DescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    }
}

fn file() -> FileDescriptorProto {
    const FILE: &str = "lightning/transcode/error_details.proto";
    let violations = "violations";
    FileDescriptorProto {
        name: Some(FILE.to_owned()),
        package: Some("google.rpc".to_owned()),
        syntax: Some("proto3".to_owned()),
        dependency: vec!["google/protobuf/duration.proto".to_owned()],
        message_type: vec![
            error_info(),
            holding("RetryInfo", single("retry_delay", 1, ".google.protobuf.Duration"), Vec::new()),
            holding(
                "BadRequest",
                repeated("field_violations", 1, ".google.rpc.BadRequest.FieldViolation"),
                vec![texts("FieldViolation", &["field", "description"])],
            ),
            holding(
                "QuotaFailure",
                repeated(violations, 1, ".google.rpc.QuotaFailure.Violation"),
                vec![texts("Violation", &["subject", "description"])],
            ),
            holding(
                "PreconditionFailure",
                repeated(violations, 1, ".google.rpc.PreconditionFailure.Violation"),
                vec![texts("Violation", &["type", "subject", "description"])],
            ),
            holding(
                "Help",
                repeated("links", 1, ".google.rpc.Help.Link"),
                vec![texts("Link", &["description", "url"])],
            ),
            texts("ResourceInfo", &["resource_type", "resource_name", "owner", "description"]),
            texts("RequestInfo", &["request_id", "serving_data"]),
            texts("LocalizedMessage", &["locale", "message"]),
        ],
        ..FileDescriptorProto::default()
    }
}

fn error_info() -> DescriptorProto {
    let mut info = texts("ErrorInfo", &["reason", "domain"]);
    info.field.push(repeated("metadata", 3, ".google.rpc.ErrorInfo.MetadataEntry"));
    let mut entry = texts("MetadataEntry", &["key", "value"]);
    entry.options = Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() });
    info.nested_type.push(entry);
    info
}

/// A message with one field and what that field needs.
fn holding(
    name: &str,
    field: FieldDescriptorProto,
    nested_type: Vec<DescriptorProto>,
) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field: vec![field],
        nested_type,
        ..DescriptorProto::default()
    }
}

/// A message of strings, numbered from 1.
fn texts(name: &str, fields: &[&str]) -> DescriptorProto {
    let field = |(name, number): (&&str, i32)| FieldDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        ..FieldDescriptorProto::default()
    };
    DescriptorProto {
        name: Some(name.to_owned()),
        field: fields.iter().zip(1..).map(field).collect(),
        ..DescriptorProto::default()
    }
}

fn single(name: &str, number: i32, of: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::Message.into()),
        type_name: Some(of.to_owned()),
        ..FieldDescriptorProto::default()
    }
}

fn repeated(name: &str, number: i32, of: &str) -> FieldDescriptorProto {
    FieldDescriptorProto { label: Some(Label::Repeated.into()), ..single(name, number, of) }
}

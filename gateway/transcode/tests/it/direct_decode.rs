//! Reading JSON with the direct codec: the same outcome as the oracle's, value by value and error by
//! error, and what only the direct codec has to get right (lengths, many fields, many keys).

use bytes::Bytes;
use lightning_transcode::{Codec, CodecError, DirectCodec, JsonStyle};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor,
    prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto, OneofDescriptorProto,
        field_descriptor_proto::{Label, Type},
    },
};
use serde_json::json;

use super::{oracle::DynamicCodec, support::pool};

/// Values for the fields of `Everything`, right and wrong ones.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1.5",
    "1e2",
    "-0.0",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "999999999999999999",
    "1000000000000000000",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "0.1",
    "2.2250738585072014e-308",
    "179769313486231570000000000000000000000",
    "16777217",
    "123456789.123456789",
    "01",
    "1.",
    "+1",
    ".5",
    "\"\"",
    "\"1\"",
    "\"-1\"",
    "\"1e2\"",
    "\"0x1\"",
    "\" 1\"",
    "\"NaN\"",
    "\"Infinity\"",
    "\"-Infinity\"",
    "\"nan\"",
    "\"a\"",
    "\"KIND_A\"",
    "\"long_name\"",
    "\"LONG_NAME\"",
    "\"none\"",
    "\"AQI\"",
    "\"AQI=\"",
    "\"AQ-_\"",
    "\"AQ+/\"",
    "\"AQ+_\"",
    "\"AQ==\"",
    "\"AQ=\"",
    "\"AQ===\"",
    "\"A===\"",
    "\"=\"",
    "\"AQ==AQ==\"",
    "\"AR\"",
    "\"AQI D\"",
    "\"A\"",
    "\"2026-01-31T10:00:00.5Z\"",
    "\"1969-12-31T23:59:59.999999999+01:00\"",
    "\"2026-02-30T10:00:00Z\"",
    "\"1.5s\"",
    "\"-1.000000001s\"",
    "\"1m\"",
    "\"a_b,cD\"",
    "\"a b\"",
    "\"caf\\u00e9 \\ud83d\\ude00 \\n\"",
    "\"\\ud800\"",
    "\"\\x\"",
    "\"tab\there\"",
    "[]",
    "[null]",
    "[1, 2, 300, -4]",
    "[\"a\", \"b\"]",
    "[true, {}]",
    "[1,]",
    "[{}, {\"city_name\": \"x\"}]",
    "[\"2026-01-31T10:00:00Z\"]",
    "[[1], [\"KIND_A\"]]",
    "{}",
    "{\"a\": \"b\"}",
    "{\"a\": \"b\", \"a\": \"c\"}",
    "{\"1\": \"2\", \"1.0\": \"3\"}",
    "{\"1\": {\"cityName\": \"x\", \"inner\": {\"tags\": [\"y\", \"\"]}}, \"-2\": {}}",
    "{\"true\": \"KIND_A\", \"false\": 4}",
    "{\"true\": \"none\"}",
    "{\"a\": null, \"b\": [1, {\"c\": false}], \"d\": {\"e\": 1e3}}",
    "{\"city_name\": \"x\", \"cityName\": \"y\"}",
    "{\"city_name\": 5}",
    "{\"cityname\": \"x\"}",
    "{\"inner\": {\"inner\": {\"tags\": [\"x\", 1]}}}",
    "{\"@type\": \"type.googleapis.com/test.v1.Sub\"}",
    "{\"@type\": \"type.googleapis.com/test.v1.Sub\", \"city_name\": \"x\"}",
    "{\"city_name\": \"x\", \"@type\": \"type.googleapis.com/test.v1.Sub\"}",
    "{\"@type\": \"a/google.protobuf.Duration\", \"value\": \"1s\"}",
    "{\"value\": \"1s\", \"@type\": \"a/google.protobuf.Duration\"}",
    "{\"@type\": \"a/google.protobuf.Duration\"}",
    "{\"@type\": \"a/google.protobuf.Duration\", \"value\": \"1s\", \"more\": 1}",
    "{\"@type\": \"a/google.protobuf.Value\", \"value\": null}",
    "{\"@type\": \"a/google.protobuf.Any\", \"value\": {\"tags\": [], \"@type\": \"a/test.v1.Sub\"}}",
    "{\"@type\": \"a/test.v1.Sub\", \"@type\": \"a/test.v1.Sub\"}",
    "{\"@type\": \"test.v1.Sub\"}",
    "{\"@type\": \"a/test.v1.None\"}",
    "{\"@type\": 5}",
    "{\"city_name\": \"x\"}",
];

fn everything() -> MessageDescriptor {
    pool().get_message_by_name("test.v1.Everything").unwrap()
}

/// The text that a message is, whatever its bytes are. The oracle takes a negative zero for a default,
/// so there is no telling the two zeros apart here.
fn shown(of: &MessageDescriptor, oracle: &DynamicCodec, wire: Vec<u8>) -> String {
    let mut out = Vec::new();
    oracle.to_json(of, None, Bytes::from(wire), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    if text == "-0" { "0".to_owned() } else { text.replace(":-0,", ":0,").replace(":-0}", ":0}") }
}

/// The outcome in words: the message, or the place and the reason.
fn outcome(
    of: &MessageDescriptor,
    oracle: &DynamicCodec,
    read: Result<Vec<u8>, CodecError>,
) -> Result<String, (String, usize, String)> {
    match read {
        Ok(wire) => Ok(shown(of, oracle, wire)),
        Err(CodecError::Json(error)) => {
            Err((error.path().to_owned(), error.offset(), error.message().to_owned()))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_value_of_every_field_is_read_as_the_oracle_reads_it() {
    let (pool, of) = (pool(), everything());
    for style in [JsonStyle::Product, JsonStyle::Canonical] {
        let print = DynamicCodec::new(pool.clone(), style, 100);
        let strict: [&dyn Codec; 2] = [
            &DirectCodec::new(pool.clone(), style, 100),
            &DynamicCodec::new(pool.clone(), style, 100),
        ];
        let lenient: [&dyn Codec; 2] = [
            &DirectCodec::new(pool.clone(), style, 100).ignoring_unknown(),
            &DynamicCodec::new(pool.clone(), style, 100).ignoring_unknown(),
        ];
        for [direct, oracle] in [strict, lenient] {
            for field in of.fields() {
                for value in VALUES {
                    let text = format!("{{\"{}\": {value}}}", field.json_name());
                    let [direct, oracle] = [direct, oracle]
                        .map(|codec| outcome(&of, &print, codec.to_wire(&of, text.as_bytes())));
                    assert_eq!(direct, oracle, "{style:?} {text}");
                }
            }
        }
    }
}

#[test]
fn well_known_types_and_plain_ones_are_read_as_whole_texts() {
    let pool = pool();
    let names = ["Timestamp", "Duration", "FieldMask", "Struct", "Value", "ListValue", "Any"];
    let wrappers = ["Int64Value", "StringValue", "BoolValue", "BytesValue", "DoubleValue"];
    let names = names.iter().chain(&wrappers).map(|name| format!("google.protobuf.{name}"));
    let direct = DirectCodec::new(pool.clone(), JsonStyle::Product, 100);
    let oracle = DynamicCodec::new(pool.clone(), JsonStyle::Product, 100);
    for name in names.chain(["test.v1.Sub".to_owned()]) {
        let of = pool.get_message_by_name(&name).unwrap();
        for value in VALUES {
            let read = |codec: &dyn Codec| {
                outcome(&of, &oracle, codec.to_wire(&of, format!(" {value}\n").as_bytes()))
            };
            assert_eq!(read(&direct), read(&oracle), "{name} {value}");
        }
    }
}

#[test]
fn members_of_an_object_are_told_apart() {
    let of = everything();
    let direct = DirectCodec::new(pool(), JsonStyle::Product, 100);
    let oracle = DynamicCodec::new(pool(), JsonStyle::Product, 100);
    let check = |text: &str| {
        let read = |codec: &dyn Codec| outcome(&of, &oracle, codec.to_wire(&of, text.as_bytes()));
        assert_eq!(read(&direct), read(&oracle), "{text}");
    };
    check(r#"{"name": "a", "name": "b"}"#);
    check(r#"{"name": "a", "i32": 1, "name": null}"#);
    check(r#"{"any_list": [], "anyList": []}"#);
    check(r#"{"left": "", "right": 0}"#);
    check(r#"{"left": null, "right": 0}"#);
    check(r#"{"right": 0, "left": null}"#);
    check(r#"{"middle": {}, "left": "x", "right": 1}"#);
    check(r#"{"name":"a","i32":1,"i64":2,"u32":3}"#);
    check(r#"{"name" : "a" , "i32" : 1 }"#);
    check(r#"{"u32":3,"i64":2,"name":"a"}"#);
    check(r#"{"na\u006de": "a", "name": "b"}"#);
    check(r#"{"nam": "a"}"#);
    check(r#"{"name": "a" "i32": 1}"#);
    check(r#"{"name": "a",}"#);
    check(r#"{"name": "a""#);
    check(r#"{"name"}"#);
    check(r#"{,}"#);
    check(r#"{name: "a"}"#);
    check(r#"{"name": "a"} x"#);
    check("");
    check("[]");
    check("\u{feff}{}");
    check(&format!(
        "{{\"sub\": {}{}}}",
        "{\"inner\": ".repeat(98),
        "{}".to_owned() + &"}".repeat(98)
    ));
    check(&format!(
        "{{\"sub\": {}{}}}",
        "{\"inner\": ".repeat(99),
        "{}".to_owned() + &"}".repeat(99)
    ));
    check(&format!("{{\"free\": {}1{}}}", "{\"a\": ".repeat(33), "}".repeat(33)));
    check(&format!("{{\"free\": {}1{}}}", "{\"a\": ".repeat(34), "}".repeat(34)));
}

#[test]
fn a_damaged_text_is_refused_exactly_when_the_oracle_refuses_it() {
    let text = json!({
        "name": "n\u{e9}\n", "i32": -1, "i64": "-5", "f32": 0.1, "ok": true, "data": "+/8=", "kind": "KIND_A",
        "sub": {"cityName": "c", "tags": ["t"]}, "kinds": ["KIND_A", 77], "numbers": [1, 2],
        "labels": {"b": "2", "a": "1"}, "flags": {"true": "KIND_A"}, "middle": {}, "at": "2026-01-31T10:00:00Z",
        "wait": "-1.500s", "mask": "aB.c,d", "w": "7", "free": {"a": [1, {"b": null}], "e": 1.5},
        "any": {"cityName": "x", "@type": "type.googleapis.com/test.v1.Sub"}, "wd": "NaN",
    });
    let text = text.to_string().into_bytes();
    let of = everything();
    let direct = DirectCodec::new(pool(), JsonStyle::Product, 100);
    let oracle = DynamicCodec::new(pool(), JsonStyle::Product, 100);
    for at in 0..text.len() {
        for byte in [0, b'"', b'{', b'}', b'[', b',', b'-', b'9', b'e', b'\\', 0xc3] {
            let mut damaged = text.clone();
            damaged[at] = byte;
            let read = |codec: &dyn Codec| {
                outcome(&of, &oracle, codec.to_wire(&of, &damaged)).map_err(|_| "refused")
            };
            assert_eq!(read(&direct), read(&oracle), "{}", String::from_utf8_lossy(&damaged));
        }
    }
}

#[test]
fn defaults_without_presence_are_left_out() {
    let of = everything();
    let direct = DirectCodec::new(pool(), JsonStyle::Product, 100);
    let check = |text: &str, wire: &[u8]| {
        assert_eq!(direct.to_wire(&of, text.as_bytes()).unwrap(), wire, "{text}");
    };
    check(
        r#"{"name": "", "i32": 0, "f64": 0, "ok": false, "data": "", "kind": "unspecified"}"#,
        b"",
    );
    check(r#"{"tags": [], "numbers": [], "labels": {}, "name": null, "sub": null}"#, b"");
    check(r#"{"f64": -0.0}"#, b"\x39\0\0\0\0\0\0\0\x80");
    check(r#"{"opt": 0, "left": ""}"#, b"\x90\x01\x00\x9a\x01\x00");
    check(r#"{"sub": {}, "ws": ""}"#, b"\x5a\x00\xd2\x01\x00");
    check(r#"{"labels": {"": ""}}"#, b"\x7a\x04\x0a\x00\x12\x00");
    check(r#"{"numbers": [0, -1]}"#, b"\x72\x0b\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

#[test]
fn long_parts_have_the_lengths_of_their_contents() {
    let of = everything();
    let direct = DirectCodec::new(pool(), JsonStyle::Product, 100);
    for length in [0, 1, 100, 119, 120, 126, 127, 128, 16_370, 16_384, 100_000] {
        let plain = "x".repeat(length);
        let escaped = format!("\\n{plain}");
        let text = format!(
            r#"{{"sub": {{"inner": {{"inner": {{"city_name": "{escaped}", "tags": ["{plain}", "end"]}}}}}}, "name": "{plain}"}}"#
        );
        let wire = direct.to_wire(&of, text.as_bytes()).unwrap();
        let read = DynamicMessage::decode(of.clone(), wire.as_slice()).unwrap();
        assert_eq!(read.encode_to_vec().len(), wire.len(), "every length is as short as can be");
        let sub = read.get_field_by_name("sub").unwrap();
        let inner = sub.as_message().unwrap().get_field_by_name("inner").unwrap();
        let inner = inner.as_message().unwrap().get_field_by_name("inner").unwrap();
        let name = inner.as_message().unwrap().get_field_by_name("city_name").unwrap();
        assert_eq!(name.as_str(), Some(format!("\n{plain}").as_str()), "{length}");
    }
}

#[test]
fn a_message_of_hundreds_of_fields_is_read_like_a_small_one() {
    let field = |at: i32| FieldDescriptorProto {
        name: Some(format!("f{at}")),
        number: Some(at),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::Int32.into()),
        oneof_index: (at > 300).then_some(0),
        ..FieldDescriptorProto::default()
    };
    let wide = DescriptorProto {
        name: Some("Wide".to_owned()),
        field: (1..=303).map(field).collect(),
        oneof_decl: vec![OneofDescriptorProto { name: Some("c".to_owned()), options: None }],
        ..DescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("wide.proto".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![wide],
        ..FileDescriptorProto::default()
    };
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file).unwrap();
    let of = pool.get_message_by_name("Wide").unwrap();
    let direct = DirectCodec::new(pool.clone(), JsonStyle::Product, 100);
    let all: serde_json::Map<_, _> =
        (1..=301).map(|at| (format!("f{at}"), serde_json::Value::from(at))).collect();
    let text = serde_json::Value::from(all).to_string();
    let wire = direct.to_wire(&of, text.as_bytes()).unwrap();
    let read = DynamicMessage::decode(of.clone(), wire.as_slice()).unwrap();
    for at in 1..=301 {
        assert_eq!(read.get_field_by_number(at).unwrap().as_i32(), i32::try_from(at).ok());
    }
    let twice = direct.to_wire(&of, br#"{"f300": 1, "f299": 1, "f300": 2}"#).unwrap_err();
    assert_eq!(twice.to_string(), "f300: the field is given twice at byte 23");
    let both = direct.to_wire(&of, br#"{"f303": 1, "f301": 1}"#).unwrap_err();
    assert!(both.to_string().contains("f303 is given too"), "{both}");
}

#[test]
fn any_inside_any_is_read_ahead_within_bounds() {
    let of = pool().get_message_by_name("google.protobuf.Any").unwrap();
    let direct = DirectCodec::new(pool(), JsonStyle::Product, 100);
    let url = "\"@type\": \"a/google.protobuf.Any\"";
    let nest = |levels: usize, first: bool| {
        let (before, after) = match first {
            true => (format!("{{{url}, \"value\": "), "}".to_owned()),
            false => ("{\"value\": ".to_owned(), format!(", {url}}}")),
        };
        format!("{}{{}}{}", before.repeat(levels), after.repeat(levels))
    };
    for levels in [1, 5, 90] {
        assert!(direct.to_wire(&of, nest(levels, true).as_bytes()).is_ok(), "{levels}");
    }
    assert!(direct.to_wire(&of, nest(10, false).as_bytes()).is_ok());
    let error = direct.to_wire(&of, nest(90, false).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("@type must come first"), "{error}");
}

#[test]
fn a_message_that_the_pool_lacks_is_an_error() {
    let direct = DirectCodec::new(DescriptorPool::new(), JsonStyle::Product, 100);
    let read = direct.to_wire(&everything(), b"{}");
    assert!(matches!(read, Err(CodecError::Unknown(name)) if name == "test.v1.Everything"));
}

//! The direct codec's JSON against that of the codec that goes through messages, on messages that are
//! made up: any order of fields, values that are replaced, messages in pieces, lists packed or not,
//! fields that nobody knows. And by hand, what the two are not alike in.

use bytes::Bytes;
use lightning_transcode::{Codec, CodecError, DirectCodec, JsonStyle};
use prost_reflect::{
    DescriptorPool, MessageDescriptor,
    prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto,
        field_descriptor_proto::{Label, Type},
    },
};

use super::{
    oracle::DynamicCodec,
    support::{bytes_of, pool},
};

mod maker;

use maker::{Maker, delimited};

const STYLES: [JsonStyle; 2] = [JsonStyle::Product, JsonStyle::Canonical];

fn everything() -> MessageDescriptor {
    pool().get_message_by_name("test.v1.Everything").unwrap()
}

fn print(codec: &dyn Codec, of: &MessageDescriptor, wire: &[u8]) -> Result<String, CodecError> {
    let mut out = Vec::new();
    codec.to_json(of, None, Bytes::copy_from_slice(wire), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// Prints bytes given in hexadecimal as `Everything`.
fn shown(style: JsonStyle, hex: &str) -> Result<String, CodecError> {
    print(&DirectCodec::new(pool(), style, 100), &everything(), &bytes_of(hex))
}

#[test]
fn made_up_messages_print_as_they_do_through_messages() {
    let pool = pool();
    let of = pool.get_message_by_name("test.v1.Everything").unwrap();
    for style in STYLES {
        let direct = DirectCodec::new(pool.clone(), style, 100);
        let oracle = DynamicCodec::new(pool.clone(), style, 100);
        for seed in 0..4000 {
            let wire = Maker::new(&pool, seed, 60).message(&of, 0);
            let expected = print(&oracle, &of, &wire).map_err(|error| error.to_string());
            let got = print(&direct, &of, &wire).map_err(|error| error.to_string());
            assert_eq!(got, expected, "{style:?}, seed {seed}");
        }
    }
}

#[test]
fn damaged_messages_are_refused_or_print_as_they_do_through_messages() {
    let pool = pool();
    let of = pool.get_message_by_name("test.v1.Everything").unwrap();
    let direct = DirectCodec::new(pool.clone(), JsonStyle::Product, 100);
    let oracle = DynamicCodec::new(pool.clone(), JsonStyle::Product, 100);
    let (mut refused, mut overlooked) = (0, 0);
    for seed in 0..3000 {
        let mut maker = Maker::new(&pool, seed, 30);
        let mut wire = maker.message(&of, 0);
        for _ in 0..=maker.below(2) {
            if !wire.is_empty() {
                let at = maker.below(wire.len() as u64) as usize;
                match maker.below(3) {
                    0 => wire.truncate(at),
                    1 => wire[at] ^= 1 << maker.below(8),
                    _ => wire[at] = maker.next() as u8,
                }
            }
        }
        let (got, expected) = (print(&direct, &of, &wire), print(&oracle, &of, &wire));
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected, "seed {seed}"),
            (Err(got), Err(expected)) => {
                assert_eq!(got.to_string(), expected.to_string(), "seed {seed}");
                refused += 1;
            }
            // prost-reflect does not look at the wire type of maps.
            (Err(_), Ok(_)) => overlooked += 1,
            (Ok(got), Err(error)) => panic!("seed {seed}: {error}, but {got}"),
        }
    }
    assert!(refused > 500, "only {refused} were refused");
    assert!(overlooked < 20, "{overlooked} were refused alone");
}

#[test]
fn one_field_prints_as_it_does_through_messages() {
    let pool = pool();
    let of = pool.get_message_by_name("test.v1.Everything").unwrap();
    for style in STYLES {
        let direct = DirectCodec::new(pool.clone(), style, 100);
        let oracle = DynamicCodec::new(pool.clone(), style, 100);
        for seed in 0..100 {
            let wire = Bytes::from(Maker::new(&pool, seed, 60).message(&of, 0));
            for field in of.fields() {
                let print = |codec: &dyn Codec| {
                    let mut out = b"before".to_vec();
                    let done = codec.to_json(&of, Some(&field), wire.clone(), &mut out);
                    done.map(|()| String::from_utf8(out).unwrap())
                        .map_err(|error| error.to_string())
                };
                assert_eq!(print(&direct), print(&oracle), "{} of seed {seed}", field.name());
            }
        }
    }
}

#[test]
fn a_message_in_pieces_is_one_message() {
    // Field 11 is a message of (1: text, 2: texts, 3: message), field 1 lies between its pieces.
    let text =
        shown(JsonStyle::Canonical, "5a03 0a0161 0a0178 5a06 120174 0a0162 5a05 1a03 0a0163")
            .unwrap();
    assert_eq!(
        text,
        r#"{"name":"x","sub":{"cityName":"b","tags":["t"],"inner":{"cityName":"c"}}}"#
    );
}

#[test]
fn the_last_of_a_oneof_stands_and_begins_anew() {
    // middle {a}, right 5, middle {tags t}: the first is forgotten.
    let text = shown(JsonStyle::Canonical, "aa0103 0a0161 a00105 aa0103 120174").unwrap();
    assert_eq!(text, r#"{"middle":{"tags":["t"]}}"#);
    let text = shown(JsonStyle::Canonical, "aa0103 0a0161 a00100").unwrap();
    assert_eq!(text, r#"{"right":0}"#);
}

#[test]
fn maps_are_sorted_and_have_each_key_once() {
    // labels: b 1, a 2, b 3, without a key, without a value.
    let text = shown(
        JsonStyle::Canonical,
        "7a06 0a0162 120131 7a06 0a0161 120132 7a06 0a0162 120133 7a03 120134 7a03 0a0163",
    );
    assert_eq!(text.unwrap(), r#"{"labels":{"":"4","a":"2","b":"3","c":""}}"#);
    // sums: 2, -1, 10 as keys, sorted as numbers.
    let text = shown(
        JsonStyle::Canonical,
        "b20204 0802 1001 b2020d 08ffffffffffffffffff01 1001 b20204 080a 1001",
    );
    assert_eq!(text.unwrap(), r#"{"sums":{"-1":"1","2":"1","10":"1"}}"#);
    // subs: an entry whose message comes in two pieces, and one without a message.
    let text = shown(JsonStyle::Canonical, "82010c 0801 1203 0a0161 1203 120174 820102 0802");
    assert_eq!(text.unwrap(), r#"{"subs":{"1":{"cityName":"a","tags":["t"]},"2":{}}}"#);
}

#[test]
fn a_list_is_read_packed_or_not_wherever_its_parts_are() {
    // numbers: packed 1 2, alone 3, behind another field packed 4; kinds: alone.
    let text = shown(JsonStyle::Canonical, "7202 0102 7003 0a0178 7201 04 6801 6802").unwrap();
    assert_eq!(text, r#"{"name":"x","kinds":["KIND_A","KIND_LONG_NAME"],"numbers":[1,2,3,4]}"#);
    assert_eq!(shown(JsonStyle::Canonical, "7200").unwrap(), "{}", "a packed list of nothing");
    assert!(shown(JsonStyle::Canonical, "7201 80").is_err(), "a value must end within its list");
}

#[test]
fn minus_zero_is_not_the_absence_of_a_number() {
    let text = shown(JsonStyle::Canonical, "3500000080 390000000000000080").unwrap();
    assert_eq!(text, r#"{"f32":-0,"f64":-0}"#);
    assert_eq!(shown(JsonStyle::Canonical, "3500000000 390000000000000000").unwrap(), "{}");
}

#[test]
fn fields_of_another_wire_type_are_refused() {
    for hex in
        ["08 01", "0d 00000000", "1201 61", "7a", "7801", "5a01", "5b 5c", "0c", "b201 02 0a00"]
    {
        let error = shown(JsonStyle::Product, hex).unwrap_err();
        assert!(matches!(error, CodecError::Wire(_)), "{hex}: {error}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| {
        let mut wire = Vec::new();
        for _ in 0..levels {
            let mut outer = vec![0x1a];
            delimited(&mut outer, &wire);
            wire = outer;
        }
        wire
    };
    let of = pool().get_message_by_name("test.v1.Sub").unwrap();
    let codec = DirectCodec::new(pool(), JsonStyle::Canonical, 100);
    assert!(print(&codec, &of, &nested(100)).is_ok());
    assert!(print(&codec, &of, &nested(101)).is_err());
    assert!(print(&codec, &of, &nested(20_000)).is_err());
}

#[test]
fn anys_inside_each_other_are_shown_to_a_depth_and_then_as_bytes() {
    let of = pool().get_message_by_name("google.protobuf.Any").unwrap();
    let url = b"type.googleapis.com/google.protobuf.Any";
    let mut wire = Vec::new();
    for _ in 0..200 {
        let mut outer = vec![0x0a];
        delimited(&mut outer, url);
        outer.push(0x12);
        delimited(&mut outer, &wire);
        wire = outer;
    }
    let text = print(&DirectCodec::new(pool(), JsonStyle::Product, 100), &of, &wire).unwrap();
    assert_eq!(text.matches("@type").count(), 17);
    assert_eq!(
        text,
        print(&DynamicCodec::new(pool(), JsonStyle::Product, 100), &of, &wire).unwrap()
    );
}

/// A message of so many texts, and one that lists it.
fn wide(width: i32) -> DescriptorPool {
    let field = |name: String, number, of: Type| FieldDescriptorProto {
        name: Some(name),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(of.into()),
        ..FieldDescriptorProto::default()
    };
    let texts = (1..=width).map(|at| field(format!("text_{at}"), at, Type::String)).collect();
    let list = FieldDescriptorProto {
        label: Some(Label::Repeated.into()),
        type_name: Some(".wide.Wide".to_owned()),
        ..field("list".to_owned(), 1, Type::Message)
    };
    let message = |name: &str, field| DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..DescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("wide.proto".to_owned()),
        package: Some("wide".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![message("Wide", texts), message("List", vec![list])],
        ..FileDescriptorProto::default()
    };
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file).unwrap();
    pool
}

#[test]
fn what_is_written_is_bounded_by_what_came_in() {
    // Each message of two bytes shows a hundred empty texts.
    let pool = wide(100);
    let of = pool.get_message_by_name("wide.List").unwrap();
    let product = DirectCodec::new(pool.clone(), JsonStyle::Product, 100);
    let list = |length: usize| [0x0a, 0x00].repeat(length);
    assert!(print(&product, &of, &list(500)).unwrap().len() > 500_000);
    let error = print(&product, &of, &list(100_000)).unwrap_err();
    assert!(matches!(error, CodecError::Inexpressible(_)), "{error}");
    let canonical = DirectCodec::new(pool, JsonStyle::Canonical, 100);
    assert_eq!(print(&canonical, &of, &list(100_000)).unwrap().len(), 300_000 + 10);
}

#[test]
fn a_failure_leaves_the_output_as_it_was() {
    let mut out = b"before".to_vec();
    let wire = Bytes::from(bytes_of("0a0178 0aff"));
    let codec = DirectCodec::new(pool(), JsonStyle::Product, 100);
    assert!(codec.to_json(&everything(), None, wire, &mut out).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn what_is_replaced_must_be_a_value_nonetheless() {
    fn check(what: &str, hex: &str) {
        let error = shown(JsonStyle::Product, hex).unwrap_err();
        assert!(matches!(error, CodecError::Wire(_)), "{what}: {error}");
    }
    check("a text", "0a01ff 0a0178");
    check("a text of a oneof", "9a0101ff a00101");
    check("a message of a oneof", "aa0103 0a01ff a00101");
    check("a piece of a message of a oneof", "aa0103 0a01ff aa0100 a00101");
    check("a list in a message of a oneof", "aa0102 1201 a00101");
    check("a key in an entry", "7a06 0a01ff 0a0161");
    check("a value in an entry", "7a06 1201ff 120161");
    check("a value of a key", "7a06 0a0161 1201ff 7a06 0a0161 120161");
    check("a message of a key", "820107 0801 1203 0a01ff 820102 0801");
    check("a text of a wrapper", "d20106 0a01ff 0a0178");
    assert!(shown(JsonStyle::Product, "aa0103 0a0178 a00101").is_ok());
}

#[test]
fn a_message_that_is_damaged_and_inexpressible_is_damaged() {
    // Field 22 is a time with too many nanoseconds, and a text that is none follows.
    let time = "b20106 1080 94ebdc03";
    let error = shown(JsonStyle::Product, time).unwrap_err();
    assert!(matches!(error, CodecError::Inexpressible(_)), "{error}");
    let error = shown(JsonStyle::Product, &format!("{time} d201030a01ff")).unwrap_err();
    assert!(matches!(error, CodecError::Wire(_)), "{error}");
}

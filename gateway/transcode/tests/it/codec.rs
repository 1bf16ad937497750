//! The codec alone, in both styles, against prost-reflect's own JSON where that is known to be right.

use bytes::Bytes;
use lightning_transcode::{Codec, CodecError, DirectCodec, JsonStyle};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};

use super::support::{message, pool};

fn everything() -> MessageDescriptor {
    pool().get_message_by_name("test.v1.Everything").unwrap()
}

fn codec(style: JsonStyle) -> DirectCodec {
    DirectCodec::new(pool(), style, 100)
}

fn print(style: JsonStyle, wire: Vec<u8>) -> Result<String, CodecError> {
    let mut out = Vec::new();
    codec(style).to_json(&everything(), None, Bytes::from(wire), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// Compares as canonical JSON: texts of prost-reflect are not sorted, and its `Debug` does not end.
#[track_caller]
fn check_same(wire: &[u8], expected: &Value) {
    let read = DynamicMessage::decode(everything(), wire).unwrap();
    let expected = message(&everything(), expected);
    assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&expected).unwrap());
}

fn sample() -> Value {
    json!({
        "name": "n", "i32": -1, "i64": "-9007199254740993", "u64": "5", "f32": 0.1, "f64": 1e300, "ok": true,
        "data": "+/8=", "kind": "KIND_A", "sub": {"cityName": "c", "tags": ["t"]}, "kinds": ["KIND_A", 77],
        "numbers": [1, 2], "labels": {"b": "2", "a": "1"}, "subs": {"1": {"cityName": "x"}}, "flags": {"true": "KIND_A"},
        "opt": 0, "middle": {}, "at": "2026-01-31T10:00:00.500Z", "wait": "-1.500s", "mask": "aB.c,d", "w": "7",
        "ws": "", "free": {"a": [1, {"b": null}], "c": "d", "e": 1.5}, "value": [true], "values": ["a"],
        "any": {"@type": "type.googleapis.com/test.v1.Sub", "cityName": "x"}, "anyList": [null, 1],
        "more": [{}, {"inner": {}}], "empty": {}, "times": ["2026-01-01T00:00:00Z"], "foo1": "1", "fooBar": "2",
        "sums": {"9007199254740993": "1"}, "wb": false, "wbytes": "AA==", "wd": "NaN",
    })
}

#[test]
fn the_canonical_style_prints_what_protojson_says() {
    let mut sample = sample();
    sample["free"] = json!({"c": "d"});
    sample["value"] = json!([true]);
    sample["anyList"] = json!([null]);
    let wire = message(&everything(), &sample).encode_to_vec();
    let printed: Value = serde_json::from_str(&print(JsonStyle::Canonical, wire).unwrap()).unwrap();
    assert_eq!(printed, sample);
}

#[test]
fn each_style_reads_what_it_prints() {
    let original = message(&everything(), &sample());
    for style in [JsonStyle::Product, JsonStyle::Canonical] {
        let text = print(style, original.encode_to_vec()).unwrap();
        let wire = codec(style).to_wire(&everything(), text.as_bytes()).unwrap();
        check_same(&wire, &sample());
    }
}

#[test]
fn the_product_style_reads_canonical_json() {
    let text = sample().to_string();
    let wire = codec(JsonStyle::Product).to_wire(&everything(), text.as_bytes()).unwrap();
    check_same(&wire, &sample());
}

#[test]
fn field_names_come_from_the_descriptor() {
    let wire = message(&everything(), &json!({"foo1": "1", "fooBar": "2"})).encode_to_vec();
    assert_eq!(print(JsonStyle::Canonical, wire).unwrap(), r#"{"foo1":"1","fooBar":"2"}"#);
}

#[test]
fn unknown_fields_and_enum_names_can_be_ignored() {
    let lenient = codec(JsonStyle::Canonical).ignoring_unknown();
    let text = br#"{"no": {"x": [1]}, "kind": "NO", "kinds": ["NO", "KIND_A"], "flags": {"true": "NO", "false": "KIND_A"}}"#;
    let wire = lenient.to_wire(&everything(), text).unwrap();
    check_same(&wire, &json!({"kinds": ["KIND_A"], "flags": {"false": "KIND_A"}}));
    assert!(
        lenient.to_wire(&everything(), br#"{"no": [1,]}"#).is_err(),
        "what is ignored is still JSON"
    );
}

#[test]
fn enums_print_their_names_when_canonical() {
    let wire = message(&everything(), &json!({"kinds": [1, 2, 9]})).encode_to_vec();
    assert_eq!(
        print(JsonStyle::Canonical, wire).unwrap(),
        r#"{"kinds":["KIND_A","KIND_LONG_NAME",9]}"#
    );
}

#[test]
fn what_json_cannot_express_is_an_error() {
    // Field 28 is a Value that holds a NaN, field 23 a Duration of mixed signs.
    let nan = [b"\xe2\x01\x09\x11".as_slice(), &f64::NAN.to_le_bytes()].concat();
    assert!(matches!(print(JsonStyle::Product, nan), Err(CodecError::Inexpressible(_))));
    let mixed = b"\xba\x01\x0d\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec();
    assert!(matches!(print(JsonStyle::Product, mixed), Err(CodecError::Inexpressible(_))));
    assert!(matches!(print(JsonStyle::Product, b"\xff".to_vec()), Err(CodecError::Wire(_))));
}

#[test]
fn errors_tell_the_path_and_the_byte() {
    let text = br#"{"subs": {"1": {"tags": ["a", 5]}}}"#;
    let error = codec(JsonStyle::Product).to_wire(&everything(), text).unwrap_err();
    let CodecError::Json(error) = error else { panic!("{error}") };
    assert_eq!((error.path(), error.offset()), ("subs[\"1\"].tags[1]", 30));
    assert_eq!(
        error.to_string(),
        "subs[\"1\"].tags[1]: a string is expected, not a number at byte 30"
    );
}

#[test]
fn damaged_texts_and_damaged_messages_never_panic() {
    let text = sample().to_string().into_bytes();
    let codec = codec(JsonStyle::Product);
    let of = everything();
    for at in 0..text.len() {
        for byte in [0, b'"', b'{', b'}', b'[', b',', b'-', b'9', b'e', 0xc3] {
            let mut damaged = text.clone();
            damaged[at] = byte;
            drop(codec.to_wire(&of, &damaged));
        }
        drop(codec.to_wire(&of, &text[..at]));
    }
    let wire = message(&of, &sample()).encode_to_vec();
    for at in 0..wire.len() {
        for byte in [0, 1, 0x0a, 0x7f, 0x80, 0xff] {
            let mut damaged = wire.clone();
            damaged[at] = byte;
            drop(codec.to_json(&of, None, Bytes::from(damaged), &mut Vec::new()));
        }
    }
}

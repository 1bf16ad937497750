//! The direct codec's JSON against that of the codec that goes through messages, on messages that are
//! made up: any order of fields, values that are replaced, messages in pieces, lists packed or not,
//! fields that nobody knows. And by hand, what the two are not alike in.

use bytes::Bytes;
use lightning_transcode::{Codec, CodecError, DirectCodec, DynamicCodec, JsonStyle};
use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use super::support::{bytes_of, pool};

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

/// Makes up wire bytes; the same seed makes the same bytes.
struct Maker {
    pool: DescriptorPool,
    state: u64,
    budget: u32,
}

impl Maker {
    fn new(pool: &DescriptorPool, seed: u64, budget: u32) -> Self {
        Self { pool: pool.clone(), state: seed, budget }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn message(&mut self, of: &MessageDescriptor, depth: u32) -> Vec<u8> {
        let mut wire = Vec::new();
        let fields: Vec<FieldDescriptor> = of.fields().collect();
        for _ in 0..self.below(if depth > 4 { 2 } else { 10 }) {
            if self.budget == 0 || fields.is_empty() {
                break;
            }
            self.budget -= 1;
            let field = &fields[self.below(fields.len() as u64) as usize];
            match self.below(20) {
                0 => unknown(&mut wire, self.below(4)),
                1 if field.is_list() && wire_type(&field.kind()) != 2 => {
                    self.packed(field, &mut wire)
                }
                _ => {
                    for _ in
                        0..=self.below(3) * u64::from(field.cardinality() == Cardinality::Repeated)
                    {
                        self.field(field, &mut wire, depth);
                    }
                }
            }
        }
        wire
    }

    fn field(&mut self, field: &FieldDescriptor, wire: &mut Vec<u8>, depth: u32) {
        let number = u64::from(field.number()) << 3;
        match field.kind() {
            Kind::Message(of) => {
                let inner = match of.full_name() {
                    "google.protobuf.Any" => self.any(depth),
                    _ => self.message(&of, depth + 1),
                };
                varint(wire, number | 2);
                delimited(wire, &inner);
            }
            kind => {
                varint(wire, number | u64::from(wire_type(&kind)));
                self.scalar(&kind, wire);
            }
        }
    }

    fn packed(&mut self, field: &FieldDescriptor, wire: &mut Vec<u8>) {
        let mut inner = Vec::new();
        for _ in 0..self.below(4) {
            self.scalar(&field.kind(), &mut inner);
        }
        varint(wire, u64::from(field.number()) << 3 | 2);
        delimited(wire, &inner);
    }

    fn any(&mut self, depth: u32) -> Vec<u8> {
        let name = [
            "test.v1.Sub",
            "google.protobuf.Duration",
            "google.protobuf.Any",
            "google.rpc.BadRequest",
            "no.Such",
            "",
        ][self.below(6) as usize];
        let content = self.pool.get_message_by_name(name).map(|of| self.message(&of, depth + 1));
        let mut wire = Vec::new();
        varint(&mut wire, 1 << 3 | 2);
        delimited(&mut wire, format!("type.googleapis.com/{name}").as_bytes());
        varint(&mut wire, 2 << 3 | 2);
        let junk = self.below(10) == 0;
        delimited(&mut wire, &content.filter(|_| !junk).unwrap_or_else(|| b"\x08".to_vec()));
        wire
    }

    fn scalar(&mut self, kind: &Kind, wire: &mut Vec<u8>) {
        let any = self.next();
        let small = any % 5;
        match kind {
            Kind::Bool => varint(wire, any & 1),
            Kind::String => {
                let texts = [
                    "",
                    "a",
                    "b_c",
                    "line\nbreak \"quoted\" \\ \u{1}",
                    "héllo wörld, a longer text of several blocks",
                    "x.y_z",
                ];
                delimited(wire, texts[(any % 6) as usize].as_bytes());
            }
            Kind::Bytes => delimited(wire, &any.to_le_bytes()[..(any % 9) as usize]),
            Kind::Enum(_) => varint(wire, if small == 4 { any } else { small }),
            // Minus zero is where the two codecs differ.
            Kind::Double => {
                let values = [0.0, 1.5, -3.0, 1e300, f64::from_bits(any)];
                wire.extend(values[small as usize].to_le_bytes());
            }
            Kind::Float => {
                let values = [0.0, 0.1, -2.0, 3e38, f32::from_bits((any >> 32) as u32)];
                wire.extend(values[small as usize].to_le_bytes());
            }
            Kind::Fixed32 | Kind::Sfixed32 => wire.extend(((any >> 32) as u32).to_le_bytes()),
            Kind::Fixed64 | Kind::Sfixed64 => wire.extend(any.to_le_bytes()),
            _ => varint(wire, [0, 1, any, any >> 11, any >> 40][small as usize]),
        }
    }
}

fn wire_type(kind: &Kind) -> u8 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
        Kind::String | Kind::Bytes | Kind::Message(_) => 2,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => 5,
        _ => 0,
    }
}

fn varint(wire: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        wire.push(value as u8 | 0x80);
        value >>= 7;
    }
    wire.push(value as u8);
}

fn delimited(wire: &mut Vec<u8>, inner: &[u8]) {
    varint(wire, inner.len() as u64);
    wire.extend_from_slice(inner);
}

/// A field of a number that no message of the tests has.
fn unknown(wire: &mut Vec<u8>, which: u64) {
    let content: [&[u8]; 4] = [b"\x05", b"12345678", b"\x03abc", b"\x08\x01\xa4\x7d"];
    varint(wire, 2004 << 3 | which);
    wire.extend_from_slice(content[which as usize]);
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
            (Err(_), Err(_)) => refused += 1,
            // prost-reflect does not look at the wire type of maps.
            (Err(_), Ok(_)) => overlooked += 1,
            // What is not shown is not looked into, such as a message that another oneof replaced.
            (Ok(_), Err(_)) => {}
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

#[test]
fn what_is_written_is_bounded_by_what_came_in() {
    // Field 33 is a list of messages that show three members each even when empty.
    let of = everything();
    let few = [0x8a, 0x02, 0x00].repeat(100);
    let many = [0x8a, 0x02, 0x00].repeat(100_000);
    let codec = DirectCodec::new(pool(), JsonStyle::Product, 100);
    assert!(print(&codec, &of, &few).is_ok());
    assert!(print(&codec, &of, &many).unwrap().len() < many.len() * 64 + (1 << 20));
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
fn a_text_that_is_replaced_must_be_a_text_nonetheless() {
    assert!(shown(JsonStyle::Product, "0a01ff 0a0178").is_err());
    assert!(shown(JsonStyle::Product, "9a0101ff a00101").is_err());
}

//! Messages that are made up as wire bytes, so that they hold what no encoder writes.

use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

/// Makes up wire bytes; the same seed makes the same bytes.
pub(super) struct Maker {
    pool: DescriptorPool,
    state: u64,
    budget: u32,
}

impl Maker {
    pub(super) fn new(pool: &DescriptorPool, seed: u64, budget: u32) -> Self {
        Self { pool: pool.clone(), state: seed, budget }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn message(&mut self, of: &MessageDescriptor, depth: u32) -> Vec<u8> {
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
        let kind = field.kind();
        varint(wire, number | u64::from(wire_type(&kind)));
        if let Some(of) = kind.as_message() {
            let inner = match of.full_name() {
                "google.protobuf.Any" => self.any(depth),
                _ => self.message(of, depth + 1),
            };
            delimited(wire, &inner);
        } else {
            self.scalar(&kind, wire);
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
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64 => varint(wire, [0, 1, any, any >> 11, any >> 40][small as usize]),
            Kind::Message(_) => unreachable!("a message is no scalar"),
        }
    }
}

fn wire_type(kind: &Kind) -> u8 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
        Kind::String | Kind::Bytes | Kind::Message(_) => 2,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => 5,
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => 0,
    }
}

fn varint(wire: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        wire.push(value as u8 | 0x80);
        value >>= 7;
    }
    wire.push(value as u8);
}

pub(super) fn delimited(wire: &mut Vec<u8>, inner: &[u8]) {
    varint(wire, inner.len() as u64);
    wire.extend_from_slice(inner);
}

/// A field of a number that no message of the tests has.
fn unknown(wire: &mut Vec<u8>, which: u64) {
    let content: [&[u8]; 4] = [b"\x05", b"12345678", b"\x03abc", b"\x08\x01\xa4\x7d"];
    varint(wire, 2004 << 3 | which);
    wire.extend_from_slice(content[which as usize]);
}

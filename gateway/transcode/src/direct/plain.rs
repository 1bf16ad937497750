//! Values from plain text to wire bytes: what a path variable, a query parameter, a quoted number and
//! a map key have in common.
//!
//! The forms are those of ProtoJSON without the quotes, so that one grammar holds wherever a value
//! is written: no leading plus, no spaces, `true` and `false` only.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::out::{self, Scalar};
use crate::{
    json::{Style, Wkt, names, number, time},
    tables::{FieldKind, FieldTable, MessageTable, Shape, Tables},
};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Writes a field from text, with its tag; says what is expected where the text does not fit. A default
/// is left out where a field cannot tell it from unset and `sparse` asks for that.
pub(crate) fn field(
    tables: &Tables,
    field: &FieldTable,
    text: &str,
    style: Style,
    sparse: bool,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    // A text given to a list is one element, with the tag that an element has by itself.
    let tag = field.tag.bytes();
    let sparse = sparse && !field.presence && field.shape == Shape::Singular;
    match field.kind {
        FieldKind::String => {
            if !(sparse && text.is_empty()) {
                out::bytes(out, tag, text.as_bytes());
            }
            Ok(())
        }
        FieldKind::Bytes => {
            base64_field(text, tag, sparse, out)?;
            Ok(())
        }
        FieldKind::Message(id) | FieldKind::Group(id) => {
            let of = tables.message(id);
            let delimited = field.tag.wire_type() == 2;
            let Some(wkt) = of.wkt.filter(|wkt| wkt.is_scalar() && delimited) else {
                return Err(format!("a {} cannot be written as plain text", of.full_name));
            };
            let part = out::open(out, tag);
            well_known(tables, of, wkt, text, style, out)?;
            out::close(out, part);
            Ok(())
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
        | FieldKind::Enum(_) => {
            let value = scalar(tables, field.kind, text, style)?;
            if field.shape == Shape::Packed {
                let part = out::open(out, tag);
                value.put(out);
                out::close(out, part);
            } else if !(sparse && value.is_default()) {
                value.put_field(out, &field.tag);
            }
            Ok(())
        }
    }
}

/// Reads a number, a boolean or an enum from text.
fn scalar(tables: &Tables, kind: FieldKind, text: &str, style: Style) -> Result<Scalar, String> {
    if kind == FieldKind::Bool {
        return boolean(text).map(|value| Scalar::Varint(u64::from(value)));
    }
    let FieldKind::Enum(id) = kind else { return Ok(numeric(kind, text)?) };
    let of = tables.enumeration(id);
    match of.number(text, style).or_else(|| number::sized(text).ok()) {
        Some(number) => Ok(varint(number)),
        None => Err(format!("{text:?} is not a value of {}", of.name)),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false is expected".to_owned()),
    }
}

/// The content of a well-known type whose JSON is a single scalar.
pub(crate) fn well_known(
    tables: &Tables,
    of: &MessageTable,
    wkt: Wkt,
    text: &str,
    style: Style,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    match wkt {
        Wkt::Timestamp | Wkt::Duration => {
            let read =
                if wkt == Wkt::Timestamp { time::parse_timestamp } else { time::parse_duration };
            let (seconds, nanos) = read(text)?;
            if seconds != 0 {
                out.push(0x08);
                out::varint(out, seconds.cast_unsigned());
            }
            if nanos != 0 {
                out.push(0x10);
                varint(nanos).put(out);
            }
        }
        Wkt::FieldMask => names::mask_paths(text, style, |path| {
            out::bytes(out, &[0x0a], path.as_bytes());
        })?,
        Wkt::Wrapper => {
            let value = of.field_of_number(1).expect("a wrapper has field 1");
            field(tables, value, text, style, true, out)?;
        }
        Wkt::Any | Wkt::ListValue | Wkt::Struct | Wkt::Value => {
            return Err("plain text is not accepted".to_owned());
        }
    }
    Ok(())
}

/// Reads a number of a kind from text, in any notation that JSON allows or as a special float.
pub(crate) fn numeric(kind: FieldKind, text: &str) -> Result<Scalar, &'static str> {
    let float = kind == FieldKind::Float;
    if !float && kind != FieldKind::Double {
        return checked(kind, text);
    }
    match number::special(text) {
        #[expect(clippy::cast_possible_truncation, reason = "special values have both widths")]
        Some(special) if float => Ok(Scalar::Four((special as f32).to_bits())),
        Some(special) => Ok(Scalar::Eight(special.to_bits())),
        None if float => Ok(Scalar::Four(number::float(text)?.to_bits())),
        None => Ok(Scalar::Eight(number::double(text)?.to_bits())),
    }
}

/// Reads a number of a kind from the text of a JSON number.
pub(crate) fn checked(kind: FieldKind, text: &str) -> Result<Scalar, &'static str> {
    if kind == FieldKind::Double {
        return Ok(Scalar::Eight(number::checked_double(text)?.to_bits()));
    }
    if kind == FieldKind::Float {
        return Ok(Scalar::Four(number::checked_float(text)?.to_bits()));
    }
    integer(kind, number::integer(text)?).ok_or("the number is out of range")
}

/// An integer of a kind; `None` when it is out of range.
pub(crate) fn integer(kind: FieldKind, value: i128) -> Option<Scalar> {
    match kind {
        FieldKind::Int32 => i32::try_from(value).ok().map(varint),
        FieldKind::Sint32 => i32::try_from(value)
            .ok()
            .map(|value| Scalar::Varint(u64::from((value << 1 ^ value >> 31).cast_unsigned()))),
        FieldKind::Sfixed32 => {
            i32::try_from(value).ok().map(|value| Scalar::Four(value.cast_unsigned()))
        }
        FieldKind::Int64 => {
            i64::try_from(value).ok().map(|value| Scalar::Varint(value.cast_unsigned()))
        }
        FieldKind::Sint64 => i64::try_from(value)
            .ok()
            .map(|value| Scalar::Varint((value << 1 ^ value >> 63).cast_unsigned())),
        FieldKind::Sfixed64 => {
            i64::try_from(value).ok().map(|value| Scalar::Eight(value.cast_unsigned()))
        }
        FieldKind::Uint32 => {
            u32::try_from(value).ok().map(|value| Scalar::Varint(u64::from(value)))
        }
        FieldKind::Fixed32 => u32::try_from(value).ok().map(Scalar::Four),
        FieldKind::Uint64 => u64::try_from(value).ok().map(Scalar::Varint),
        FieldKind::Fixed64 => u64::try_from(value).ok().map(Scalar::Eight),
        FieldKind::Double
        | FieldKind::Float
        | FieldKind::Bool
        | FieldKind::String
        | FieldKind::Bytes
        | FieldKind::Enum(_)
        | FieldKind::Message(_)
        | FieldKind::Group(_) => None,
    }
}

/// A signed 32-bit number as a varint, extended as the wire format asks for.
pub(crate) fn varint(value: i32) -> Scalar {
    Scalar::Varint(i64::from(value).cast_unsigned())
}

/// Writes a map's key with its tag. Gives what a key that is no string is equal by.
pub(crate) fn map_key(
    field: &FieldTable,
    text: &str,
    out: &mut Vec<u8>,
) -> Result<Option<i128>, String> {
    let tag = &field.tag;
    if field.kind == FieldKind::String {
        out::bytes(out, tag.bytes(), text.as_bytes());
        return Ok(None);
    }
    if field.kind == FieldKind::Bool {
        let value = boolean(text)?;
        Scalar::Varint(u64::from(value)).put_field(out, tag);
        return Ok(Some(i128::from(value)));
    }
    let identity = number::integer(text)?;
    let value = integer(field.kind, identity).ok_or("the number is out of range")?;
    value.put_field(out, tag);
    Ok(Some(identity))
}

/// Decodes base64 of either alphabet, padded or not, into `out`.
pub(crate) fn base64(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let start = out.len();
    out.resize(start + base64::decoded_len_estimate(text.len()), 0);
    // A text of both alphabets is of none, so it fails twice.
    let decoded = STANDARD
        .decode_slice(text, &mut out[start..])
        .or_else(|_| URL_SAFE.decode_slice(text, &mut out[start..]));
    let length = decoded.map_err(|_| "base64 is expected")?;
    out.truncate(start + length);
    Ok(())
}

/// Writes bytes from base64 with a tag; none at all are left out where `sparse` says so.
pub(crate) fn base64_field(
    text: &str,
    tag: &[u8],
    sparse: bool,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    // Four letters are three bytes, so the length is known before.
    let expected = text.trim_end_matches('=').len() * 3 / 4;
    if expected == 0 && sparse {
        return base64(text, out);
    }
    out.extend_from_slice(tag);
    out::varint(out, expected as u64);
    let start = out.len();
    base64(text, out)?;
    if out.len() - start == expected { Ok(()) } else { Err("base64 is expected") }
}

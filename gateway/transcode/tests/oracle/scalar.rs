//! Scalars from plain text: what a path variable, a query parameter, a quoted number and a map key
//! have in common.
//!
//! The forms are those of ProtoJSON without the quotes, so that one grammar holds wherever a value
//! is written: no leading plus, no spaces, `true` and `false` only.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage, Value};

use super::{Style, Wkt, names, number, time};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Reads a scalar (or a well-known type whose JSON is one) from text, or says what is expected.
pub(crate) fn parse(kind: &Kind, text: &str, style: Style) -> Result<Value, String> {
    Ok(match kind {
        Kind::Double => Value::F64(match number::special(text) {
            Some(special) => special,
            None => number::double(text)?,
        }),
        Kind::Float => Value::F32(match number::special(text) {
            #[expect(clippy::cast_possible_truncation, reason = "special values have both widths")]
            Some(special) => special as f32,
            None => number::float(text)?,
        }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number::sized(text)?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number::sized(text)?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number::sized(text)?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number::sized(text)?),
        Kind::Bool => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err("true or false is expected".to_owned()),
        },
        Kind::String => Value::String(text.to_owned()),
        Kind::Bytes => Value::Bytes(base64(text)?),
        Kind::Enum(of) => {
            let known = names::enum_number(of, text, style);
            match known.or_else(|| number::sized(text).ok()) {
                Some(number) => Value::EnumNumber(number),
                None => return Err(format!("{text:?} is not a value of {}", of.name())),
            }
        }
        Kind::Message(message) => match Wkt::of(message) {
            Some(wkt) if wkt.is_scalar() => {
                let mut filled = DynamicMessage::new(message.clone());
                fill(&mut filled, wkt, text, style)?;
                Value::Message(filled)
            }
            Some(_) | None => {
                return Err(format!("a {} cannot be written as plain text", message.full_name()));
            }
        },
    })
}

/// Fills a well-known type from the text of its JSON string.
pub(crate) fn fill(
    message: &mut DynamicMessage,
    wkt: Wkt,
    text: &str,
    style: Style,
) -> Result<(), String> {
    match wkt {
        Wkt::Timestamp | Wkt::Duration => {
            let read =
                if wkt == Wkt::Timestamp { time::parse_timestamp } else { time::parse_duration };
            let (seconds, nanos) = read(text)?;
            message.set_field_by_number(1, Value::I64(seconds));
            message.set_field_by_number(2, Value::I32(nanos));
        }
        Wkt::FieldMask => {
            let paths = names::parse_mask(text, style)?.into_iter().map(Value::String).collect();
            message.set_field_by_number(1, Value::List(paths));
        }
        Wkt::Wrapper => {
            let field = message.descriptor().get_field(1).expect("a wrapper has field 1");
            message.set_field(&field, parse(&field.kind(), text, style)?);
        }
        Wkt::Any | Wkt::ListValue | Wkt::Struct | Wkt::Value => {
            return Err("plain text is not accepted".to_owned());
        }
    }
    Ok(())
}

/// Decodes base64 of either alphabet, padded or not.
pub(crate) fn base64(text: &str) -> Result<Bytes, String> {
    let url_safe = text.contains(['-', '_']);
    let engine = if url_safe { &URL_SAFE } else { &STANDARD };
    let decoded = engine.decode(text).map_err(|_| "base64 is expected".to_owned())?;
    Ok(Bytes::from(decoded))
}

/// Reads a map key.
pub(crate) fn key(kind: &Kind, text: &str) -> Result<MapKey, String> {
    parse(kind, text, Style::Canonical)?
        .into_map_key()
        .ok_or_else(|| "this type cannot be a map key".to_owned())
}

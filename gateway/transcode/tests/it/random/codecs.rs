//! Who is compared: the codec under test, the one that is its oracle, and prost-reflect's own serde.
//!
//! Where prost-reflect and we differ on purpose stands here, each difference with its reason; anything
//! else is a failure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use lightning_transcode::{Codec, CodecError, DirectCodec, JsonStyle};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use serde_json::Value as Json;

use super::super::oracle::DynamicCodec;

/// The limit of the product's default options.
const MAX_DEPTH: usize = 100;

/// The codecs for one contract, in one style and one leniency.
pub(crate) struct Codecs {
    pub(crate) style: JsonStyle,
    pub(crate) lenient: bool,
    pub(crate) subject: Box<dyn Codec>,
    pub(crate) oracle: Box<dyn Codec>,
}

impl Codecs {
    /// Both styles, strict and lenient.
    pub(crate) fn all(pool: &DescriptorPool) -> Vec<Self> {
        let styles = [JsonStyle::Product, JsonStyle::Canonical];
        let both = |style| [false, true].map(|lenient| Self::new(pool, style, lenient));
        styles.into_iter().flat_map(both).collect()
    }

    fn new(pool: &DescriptorPool, style: JsonStyle, lenient: bool) -> Self {
        let subject = DirectCodec::new(pool.clone(), style, MAX_DEPTH);
        let oracle = DynamicCodec::new(pool.clone(), style, MAX_DEPTH);
        let subject = if lenient { subject.ignoring_unknown() } else { subject };
        let oracle = if lenient { oracle.ignoring_unknown() } else { oracle };
        Self { style, lenient, subject: Box::new(subject), oracle: Box::new(oracle) }
    }
}

/// Wire to JSON by prost-reflect.
pub(crate) fn reflected_json(of: &MessageDescriptor, wire: &[u8]) -> Result<Json, String> {
    let message = DynamicMessage::decode(of.clone(), wire).map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut text);
    message
        .serialize_with_options(&mut serializer, &SerializeOptions::new())
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

/// JSON to a message by prost-reflect.
pub(crate) fn reflected_message(
    of: &MessageDescriptor,
    json: &[u8],
    lenient: bool,
) -> Result<DynamicMessage, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(!lenient);
    let read = || {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let message =
            DynamicMessage::deserialize_with_options(of.clone(), &mut deserializer, &options)?;
        deserializer.end().map(|()| message)
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("prost-reflect panicked".to_owned()),
    }
}

/// Our refusals of what prost-reflect takes: a part of our message, and why.
const WE_REFUSE: &[(&str, &str)] = &[
    ("given twice", "duplicate keys are refused, since readers disagree on which one counts"),
    ("nesting", "our limit is 100 levels, serde_json's 128"),
    ("nests deeper", "protobuf decoders stop at 100 messages inside each other, as then do we"),
    (
        "whole number is expected",
        "an integer passes through no double, which would hide a fraction",
    ),
    ("number is out of range", "prost-reflect makes the largest integer of one that is too large"),
    ("not UTF-8", "a text is checked also where an unknown field is ignored"),
    ("lone surrogate", "a text is checked also where an unknown field is ignored"),
    (
        "a number is expected",
        "Rust's own grammar of floats takes inf, nan, a plus and a bare point",
    ),
    ("is not a field path", "prost-reflect takes any character and leaves out empty paths"),
    ("a time as RFC 3339", "prost-reflect cuts off what is finer than a nanosecond"),
    ("a duration in seconds", "prost-reflect cuts off what is finer than a nanosecond"),
    ("leap second", "protobuf time has none, and the second before is not what was meant"),
];

/// Its refusals of what we take: a part of its message, and why.
const IT_REFUSES: &[(&str, &str)] = &[
    ("float value out of range", "what rounds to the largest float fits, as 3.4028235e38 does"),
    ("invalid digit", "ProtoJSON takes an integral exponent or fraction in quotes too"),
    (
        "expected a string or integer",
        "an enum's number may be written with an exponent, as any other",
    ),
    ("expected null", "an enum takes numbers, and NullValue is one"),
    ("expected '@type' field", "an empty object is an empty Any"),
    ("expected 'value' field", "an Empty has no form of its own, so an Any of it has no value"),
    ("unsupported type url ''", "an empty Any is an empty object"),
    (
        "panicked",
        "null for a list of Values is no list, where prost-reflect sets a Value and panics",
    ),
];

/// Why our error, where prost-reflect takes the input, is as it should be.
pub(crate) fn reason_to_refuse(error: &CodecError) -> Option<&'static str> {
    reason(WE_REFUSE, &error.to_string())
}

/// Why it is right to take what prost-reflect refuses with this message.
pub(crate) fn reason_to_take(error: &str) -> Option<&'static str> {
    reason(IT_REFUSES, error)
}

fn reason(table: &[(&str, &'static str)], message: &str) -> Option<&'static str> {
    // Inside an Any, prost-reflect writes the same messages with capitals.
    let message = message.replace("Expected", "expected");
    table.iter().find(|(part, _)| message.contains(part)).map(|(_, reason)| *reason)
}

/// Wire bytes as the oracle's decoder reads them.
pub(crate) fn decode(of: &MessageDescriptor, wire: &[u8]) -> Option<DynamicMessage> {
    DynamicMessage::decode(of.clone(), Bytes::copy_from_slice(wire)).ok()
}

/// Whether a damaged text may hold an integer that prost-reflect rounds: it reads one with a fraction or an
/// exponent as a double, which has no place for more than 15 digits.
pub(crate) fn prost_rounds(text: &[u8]) -> bool {
    text.split(|byte| !(byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')))
        .any(|word| word.len() > 15 && word.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')))
}

/// Whether damaged bytes may hold what prost takes and a strict reader refuses: a tag of more than five
/// bytes, which takes as many in a row with their highest bit set.
pub(crate) fn prost_is_lenient(wire: &[u8]) -> bool {
    wire.windows(5).any(|run| run.iter().all(|byte| *byte >= 0x80))
}

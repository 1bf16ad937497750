//! Protobuf's conformance protocol on stdin and stdout, so that the official `conformance_test_runner`
//! can judge the JSON codec: `conformance_testee messages.bin`, where the argument is a descriptor set.
//!
//! Every answer comes from the codec in its canonical style: wire to wire goes by way of JSON, so that
//! the suite's damaged and unusual wire bytes reach the codec's reader too. Text format and JSPB are not
//! ours; these, and messages that the descriptor set does not hold, are answered as skipped.

use std::io::{self, ErrorKind, Read, Write};

use bytes::Bytes;
use lightning_transcode::{Codec, CodecError, DirectCodec, JsonStyle};
use prost::{Message, Oneof};
use prost_reflect::{DescriptorPool, MessageDescriptor};

/// The levels that protobuf's own parsers allow.
const MAX_DEPTH: usize = 100;
/// `WireFormat.PROTOBUF` and `WireFormat.JSON`.
const PROTOBUF: i32 = 1;
const JSON: i32 = 2;
/// `TestCategory.JSON_IGNORE_UNKNOWN_PARSING_TEST`.
const IGNORE_UNKNOWN: i32 = 3;
/// A request is at most this long, so that a damaged length cannot ask for all memory.
const MAX_REQUEST: usize = 64 << 20;

/// `conformance.ConformanceRequest`, without what is skipped anyway.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(oneof = "Payload", tags = "1, 2")]
    payload: Option<Payload>,
    #[prost(int32, tag = "3")]
    output: i32,
    #[prost(string, tag = "4")]
    message_type: String,
    #[prost(int32, tag = "5")]
    category: i32,
}

/// JSON is bytes here: the suite sends texts that are not UTF-8, and the codec is to refuse them.
#[derive(Clone, PartialEq, Oneof)]
enum Payload {
    #[prost(bytes = "bytes", tag = "1")]
    Protobuf(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    Json(Bytes),
}

/// `conformance.ConformanceResponse`.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(oneof = "Outcome", tags = "1, 3, 4, 5, 6")]
    outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Outcome {
    #[prost(string, tag = "1")]
    ParseError(String),
    #[prost(bytes = "vec", tag = "3")]
    Protobuf(Vec<u8>),
    #[prost(bytes = "vec", tag = "4")]
    Json(Vec<u8>),
    #[prost(string, tag = "5")]
    Skipped(String),
    #[prost(string, tag = "6")]
    SerializeError(String),
}

struct Testee {
    pool: DescriptorPool,
    strict: Box<dyn Codec>,
    lenient: Box<dyn Codec>,
}

fn main() -> io::Result<()> {
    let path = std::env::args_os().nth(1).ok_or_else(|| {
        io::Error::new(ErrorKind::InvalidInput, "usage: conformance_testee DESCRIPTOR_SET")
    })?;
    let pool = DescriptorPool::decode(std::fs::read(path)?.as_slice()).map_err(io::Error::other)?;
    let codec = || DirectCodec::new(pool.clone(), JsonStyle::Canonical, MAX_DEPTH);
    let (strict, lenient) = (Box::new(codec()), Box::new(codec().ignoring_unknown()));
    let testee = Testee { pool: pool.clone(), strict, lenient };
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    while let Some(request) = read(&mut input)? {
        let response = Response { outcome: Some(testee.answer(request)) }.encode_to_vec();
        let length = u32::try_from(response.len()).map_err(io::Error::other)?;
        output.write_all(&length.to_le_bytes())?;
        output.write_all(&response)?;
        output.flush()?;
    }
    Ok(())
}

/// Reads one request; `None` where the runner has closed the pipe between two of them.
fn read(input: &mut impl Read) -> io::Result<Option<Request>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_REQUEST {
        return Err(io::Error::new(ErrorKind::InvalidData, "the request is too long"));
    }
    let mut request = vec![0; length];
    input.read_exact(&mut request)?;
    Request::decode(request.as_slice()).map(Some).map_err(io::Error::other)
}

impl Testee {
    fn answer(&self, request: Request) -> Outcome {
        if request.message_type == "conformance.FailureSet" {
            // The runner's first question: which failures are known. Its list is a file, so none.
            return Outcome::Protobuf(Vec::new());
        }
        let Some(of) = self.pool.get_message_by_name(&request.message_type) else {
            return Outcome::Skipped(format!("{} is not known", request.message_type));
        };
        let codec = if request.category == IGNORE_UNKNOWN { &self.lenient } else { &self.strict };
        let (Some(payload), PROTOBUF | JSON) = (request.payload, request.output) else {
            return Outcome::Skipped("neither text format nor JSPB".to_owned());
        };
        translate(codec.as_ref(), &of, payload, request.output).unwrap_or_else(
            |error| match error {
                CodecError::Json(_) | CodecError::Wire(_) => Outcome::ParseError(error.to_string()),
                CodecError::Inexpressible(_) | CodecError::Unknown(_) => {
                    Outcome::SerializeError(error.to_string())
                }
            },
        )
    }
}

fn translate(
    codec: &dyn Codec,
    of: &MessageDescriptor,
    payload: Payload,
    output: i32,
) -> Result<Outcome, CodecError> {
    let mut json = Vec::new();
    match payload {
        Payload::Json(text) if output == PROTOBUF => {
            return codec.to_wire(of, &text).map(Outcome::Protobuf);
        }
        Payload::Json(text) => codec.to_json(of, None, codec.to_wire(of, &text)?.into(), &mut json),
        Payload::Protobuf(wire) => codec.to_json(of, None, wire, &mut json),
    }?;
    if output == PROTOBUF {
        return codec.to_wire(of, &json).map(Outcome::Protobuf);
    }
    Ok(Outcome::Json(json))
}

//! The checks: one input to all codecs, and what their answers must have in common.

use std::fmt::Write as _;

use bytes::Bytes;
use lightning_transcode::{CodecError, JsonStyle};
use prost::Message;
use prost_reflect::{FieldDescriptor, MessageDescriptor};
use serde_json::Value as Json;

use super::{
    Rng,
    codecs::{self, Codecs},
    compare::{same_json, same_message, same_reflected},
    json,
    message::{self, Source},
    schema::Schema,
    spoil, wire,
};

/// How many cases there were, and of which sort.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Inputs that all codecs were given.
    pub(crate) cases: u64,
    /// Those that the codec under test took.
    pub(crate) accepted: u64,
    /// Those that prost-reflect's own serde was given too.
    pub(crate) reflected: u64,
    /// Equal answers whose texts differ: in the order of a map or the notation of a float.
    pub(crate) other_text: u64,
    /// Equal refusals that name another field or byte.
    pub(crate) other_place: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.accepted += other.accepted;
        self.reflected += other.reflected;
        self.other_text += other.other_text;
        self.other_place += other.other_place;
    }
}

/// Makes a contract and checks so many inputs on it.
///
/// # Errors
/// The first disagreement, with everything that is needed to see it again.
pub(crate) fn contract(seed: u64, inputs: usize) -> Result<Tally, String> {
    let mut rng = Rng::new(seed);
    let schema = Schema::new(&mut rng);
    let all = Codecs::all(&schema.pool);
    let mut tally = Tally::default();
    for _ in 0..inputs {
        let of = schema.root(&mut rng);
        let codecs = rng.pick(&all);
        let mut check = Check { schema: &schema, codecs, of: &of, tally: Tally::default() };
        check.any(&mut rng).map_err(|fault| {
            let (style, lenient) = (codecs.style, codecs.lenient);
            format!("seed {seed}, {}, {style:?}, lenient {lenient}: {fault}", of.full_name())
        })?;
        tally.add(check.tally);
    }
    Ok(tally)
}

struct Check<'a> {
    schema: &'a Schema,
    codecs: &'a Codecs,
    of: &'a MessageDescriptor,
    tally: Tally,
}

type Verdict = Result<(), String>;

impl Check<'_> {
    fn any(&mut self, rng: &mut Rng) -> Verdict {
        match rng.below(10) {
            0..4 => {
                let source = Source { schema: self.schema, odd: rng.once_in(6) };
                let mut bytes = message::message(rng, &source, self.of).encode_to_vec();
                if rng.once_in(2) {
                    bytes = wire::vary(rng, self.of, &bytes);
                }
                self.wire(&bytes, !source.odd)?;
                self.field(rng, &bytes)
            }
            4..7 => {
                let text = json::text(rng, self.schema, self.of, self.codecs.style);
                self.text(text.as_bytes(), true)
            }
            7 if rng.once_in(8) => match json::deep(rng, self.of) {
                Some(text) => self.text(text.as_bytes(), false),
                None => Ok(()),
            },
            7 | 8 => {
                let text = json::text(rng, self.schema, self.of, self.codecs.style);
                self.text(&spoil::text(rng, &text), false)
            }
            _ => {
                let source = Source { schema: self.schema, odd: false };
                let bytes = message::message(rng, &source, self.of).encode_to_vec();
                self.spoiled_wire(&wire::spoil(rng, &bytes))
            }
        }
    }

    /// Wire to JSON for a message that all must be able to read.
    fn wire(&mut self, bytes: &[u8], plain: bool) -> Verdict {
        let fail = |what: &str| Err(format!("{what}\nwire: {}", hex(bytes)));
        let (ours, theirs) = (self.print(bytes, None), self.oracle_print(bytes, None));
        self.agree(&ours, &theirs).or_else(|fault| fail(&fault))?;
        if self.codecs.style == JsonStyle::Canonical && plain {
            self.tally.reflected += 1;
            let reflected = codecs::reflected_json(self.of, bytes);
            match (&ours, reflected) {
                (Ok(text), Ok(reflected)) if same_reflected(&parsed(text)?, &reflected) => {}
                (Ok(_), Err(error)) if codecs::reason_to_take(&error).is_some() => {}
                (ours, reflected) => {
                    return fail(&format!(
                        "prost-reflect disagrees\nours: {}\nits: {reflected:?}",
                        shown(ours)
                    ));
                }
            }
        }
        let (Ok(text), true) = (&ours, plain) else { return Ok(()) };
        // The oracle refuses duplicate keys, so it also checks what a JSON library would overlook.
        for (who, codec) in [("we", &self.codecs.subject), ("the oracle", &self.codecs.oracle)] {
            let again = match codec.to_wire(self.of, text) {
                Ok(again) => again,
                Err(error) => {
                    return fail(&format!("{who} cannot read it: {error}\nJSON: {}", lossy(text)));
                }
            };
            let (before, after) = (codecs::decode(self.of, bytes), codecs::decode(self.of, &again));
            let same =
                before.zip(after).is_some_and(|(a, b)| same_message(&self.schema.pool, &a, &b));
            if !same {
                let again = hex(&again);
                return fail(&format!("{who} read another: {again}\nJSON: {}", lossy(text)));
            }
        }
        Ok(())
    }

    /// Wire to JSON for one field of the message, as `response_body` asks for.
    fn field(&mut self, rng: &mut Rng, bytes: &[u8]) -> Verdict {
        let fields: Vec<FieldDescriptor> = self.of.fields().collect();
        if fields.is_empty() || !rng.once_in(3) {
            return Ok(());
        }
        let field = rng.pick(&fields);
        let (ours, theirs) =
            (self.print(bytes, Some(field)), self.oracle_print(bytes, Some(field)));
        self.agree(&ours, &theirs)
            .map_err(|fault| format!("field {}: {fault}\nwire: {}", field.name(), hex(bytes)))
    }

    /// Wire to JSON for what may be no message at all.
    fn spoiled_wire(&mut self, bytes: &[u8]) -> Verdict {
        let (ours, theirs) = (self.print(bytes, None), self.oracle_print(bytes, None));
        if let (Err(_), Err(_)) = (&ours, &theirs) {
            // Of two faults, either may be met first.
            self.tally.cases += 1;
            return Ok(());
        }
        if let (Err(CodecError::Wire(_)), Ok(_)) = (&ours, &theirs)
            && (codecs::prost_is_lenient(bytes) || wire::has_wrong_map_entry(self.of, bytes))
        {
            return Ok(());
        }
        self.agree(&ours, &theirs).map_err(|fault| format!("{fault}\nwire: {}", hex(bytes)))
    }

    /// JSON to wire; a valid text must be taken.
    fn text(&mut self, text: &[u8], valid: bool) -> Verdict {
        self.tally.cases += 1;
        let fail = |what: &str| Err(format!("{what}\nJSON: {}", lossy(text)));
        let ours = self.codecs.subject.to_wire(self.of, text);
        let theirs = self.codecs.oracle.to_wire(self.of, text);
        let message = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                self.tally.accepted += 1;
                let (a, b) = (codecs::decode(self.of, ours), codecs::decode(self.of, theirs));
                let same =
                    a.as_ref().zip(b).is_some_and(|(a, b)| same_message(&self.schema.pool, a, &b));
                if !same {
                    return fail(&format!("ours: {}\noracle: {}", hex(ours), hex(theirs)));
                }
                a
            }
            (Err(error), Err(_)) if valid => return fail(&format!("a valid text: {error}")),
            (Err(ours), Err(theirs)) => {
                if place(ours) != place(theirs) {
                    self.tally.other_place += 1;
                }
                None
            }
            (Ok(_), Err(error)) => return fail(&format!("only the oracle refuses: {error}")),
            (Err(error), Ok(_)) => return fail(&format!("only we refuse: {error}")),
        };
        if self.codecs.style != JsonStyle::Canonical {
            return Ok(());
        }
        self.tally.reflected += 1;
        match (ours, message, codecs::reflected_message(self.of, text, self.codecs.lenient)) {
            (_, Some(a), Ok(b)) if same_message(&self.schema.pool, &a, &b) => Ok(()),
            (_, Some(_), Err(error)) if codecs::reason_to_take(&error).is_some() => Ok(()),
            (Err(error), _, Ok(_)) if codecs::reason_to_refuse(&error).is_some() => Ok(()),
            (Err(_), _, Err(_)) => Ok(()),
            (Ok(_), _, Ok(_)) if !valid && codecs::prost_rounds(text) => Ok(()),
            (ours, _, its) => {
                let its = its.map(|message| hex(&message.encode_to_vec())).unwrap_or_else(|it| it);
                let ours = ours.map_or_else(|error| error.to_string(), |wire| hex(&wire));
                fail(&format!("prost-reflect disagrees\nours: {ours}\nits: {its}"))
            }
        }
    }

    fn print(&self, bytes: &[u8], field: Option<&FieldDescriptor>) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        let wire = Bytes::copy_from_slice(bytes);
        self.codecs.subject.to_json(self.of, field, wire, &mut out).map(|()| out)
    }

    fn oracle_print(
        &self,
        bytes: &[u8],
        field: Option<&FieldDescriptor>,
    ) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        let wire = Bytes::copy_from_slice(bytes);
        self.codecs.oracle.to_json(self.of, field, wire, &mut out).map(|()| out)
    }

    /// Both print the same, or both refuse for the same sort of reason.
    fn agree(
        &mut self,
        ours: &Result<Vec<u8>, CodecError>,
        theirs: &Result<Vec<u8>, CodecError>,
    ) -> Verdict {
        self.tally.cases += 1;
        match (ours, theirs) {
            (Ok(a), Ok(b)) => {
                self.tally.accepted += 1;
                if a == b {
                    return Ok(());
                }
                self.tally.other_text += 1;
                if same_json(&parsed(a)?, &parsed(b)?) {
                    return Ok(());
                }
            }
            (Err(CodecError::Wire(_)), Err(CodecError::Wire(_)))
            | (Err(CodecError::Inexpressible(_)), Err(CodecError::Inexpressible(_))) => {
                return Ok(());
            }
            (Ok(_) | Err(_), _) => {}
        }
        Err(format!("ours: {}\noracle: {}", shown(ours), shown(theirs)))
    }
}

fn parsed(text: &[u8]) -> Result<Json, String> {
    serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}: {}", lossy(text)))
}

fn place(error: &CodecError) -> Option<(String, usize)> {
    match error {
        CodecError::Json(error) => Some((error.path().to_owned(), error.offset())),
        CodecError::Wire(_) | CodecError::Inexpressible(_) | CodecError::Unknown(_) => None,
    }
}

fn shown(result: &Result<Vec<u8>, CodecError>) -> String {
    match result {
        Ok(text) => lossy(text),
        Err(error) => format!("error: {error}"),
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

//! Random texts that a contract accepts, in all the notations that ProtoJSON allows.

use std::fmt::Write as _;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use lightning_transcode::{JsonStyle, enum_word};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::{
    Rng,
    message::keep,
    schema::{Schema, is_null_value},
    values,
};

const DEPTH: usize = 5;

/// A text that the message accepts.
pub(crate) fn text(
    rng: &mut Rng,
    schema: &Schema,
    of: &MessageDescriptor,
    style: JsonStyle,
) -> String {
    let mut writer = Writer { rng, schema, style, out: String::new() };
    writer.message(of, 0);
    writer.out
}

/// A text that nests to about the limit, or `None` where the message does not contain itself.
pub(crate) fn deep(rng: &mut Rng, of: &MessageDescriptor) -> Option<String> {
    let levels = 90 + rng.below(20);
    if of.full_name() == "google.protobuf.Value" {
        return Some(format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    }
    let itself = of.fields().find(|field| {
        let same = matches!(field.kind(), Kind::Message(inner) if inner == *of);
        same && !field.is_list() && field.json_name().is_ascii() && !field.json_name().contains('"')
    })?;
    let open = format!("{{\"{}\":", itself.name());
    Some(format!("{}{{}}{}", open.repeat(levels), "}".repeat(levels)))
}

struct Writer<'a> {
    rng: &'a mut Rng,
    schema: &'a Schema,
    style: JsonStyle,
    out: String,
}

impl Writer<'_> {
    fn space(&mut self) {
        if self.rng.once_in(10) {
            const SPACES: [&str; 4] = [" ", "\n", "\t  ", "\r\n"];
            self.out.push_str(SPACES[self.rng.below(4)]);
        }
    }

    /// One of the members or elements, with its comma.
    fn separated(&mut self, index: usize) {
        if index > 0 {
            self.out.push(',');
        }
        self.space();
    }

    fn message(&mut self, of: &MessageDescriptor, depth: usize) {
        let name = of.full_name().strip_prefix("google.protobuf.").unwrap_or_default();
        match name {
            "Any" => self.any(depth),
            "Timestamp" => self.timestamp(),
            "Duration" => self.duration(),
            "FieldMask" => self.mask(),
            "Struct" => self.structure(depth),
            "ListValue" => self.list_value(depth),
            "Value" => self.json_value(depth),
            _ if name.ends_with("Value") => {
                let field = of.get_field(1).expect("a wrapper has field 1");
                self.value(&field.kind(), depth);
            }
            _ => self.object(of, depth, None),
        }
    }

    /// An object; with a type, the content of an `Any`, whose type may stand anywhere.
    fn object(&mut self, of: &MessageDescriptor, depth: usize, url: Option<&str>) {
        let mut fields: Vec<FieldDescriptor> = of.fields().collect();
        let few = fields.len() > 60 && depth > 0;
        let mut taken = Vec::new();
        fields.retain(|field| {
            let kept = keep(self.rng, depth, few);
            let message = matches!(field.kind(), Kind::Message(_));
            let oneof = field.containing_oneof().map(|oneof| oneof.full_name().to_owned());
            let free = oneof.is_none() || !taken.contains(&oneof);
            let kept = kept && free && (depth < DEPTH || !message);
            if kept && oneof.is_some() {
                taken.push(oneof);
            }
            kept
        });
        if !self.rng.once_in(3) {
            self.rng.shuffle(&mut fields);
        }
        let place = self.rng.below(fields.len() + 1);
        self.out.push('{');
        let mut index = 0;
        for (at, field) in fields.iter().enumerate() {
            if let (true, Some(url)) = (at == place, url) {
                self.member_type(index, url);
                index += 1;
            }
            self.separated(index);
            let own = self.rng.once_in(2);
            self.string(if own { field.name() } else { field.json_name() });
            self.colon();
            self.field(field, depth);
            index += 1;
        }
        if let (true, Some(url)) = (fields.len() == place, url) {
            self.member_type(index, url);
        }
        self.space();
        self.out.push('}');
    }

    fn member_type(&mut self, index: usize, url: &str) {
        self.separated(index);
        self.string("@type");
        self.colon();
        self.string(url);
    }

    fn colon(&mut self) {
        self.space();
        self.out.push(':');
        self.space();
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) {
        let kind = field.kind();
        let takes_null = if let Kind::Message(of) = &kind {
            of.full_name() == "google.protobuf.Value"
        } else {
            kind.as_enum().is_some_and(is_null_value)
        };
        if !takes_null && self.rng.once_in(20) {
            self.out.push_str("null");
        } else if let (true, Kind::Message(entry)) = (field.is_map(), &kind) {
            self.map(entry, depth);
        } else if field.is_list() {
            let length = if self.rng.once_in(30) { 40 } else { self.rng.below(4) };
            let length = if matches!(kind, Kind::Message(_)) { length.min(3) } else { length };
            self.out.push('[');
            for at in 0..length {
                self.separated(at);
                self.value(&kind, depth);
            }
            self.space();
            self.out.push(']');
        } else {
            self.value(&kind, depth);
        }
    }

    fn map(&mut self, entry: &MessageDescriptor, depth: usize) {
        let values = entry.map_entry_value_field().kind();
        let keys = entry.map_entry_key_field().kind();
        let mut seen = Vec::new();
        self.out.push('{');
        for _ in 0..self.rng.below(4) {
            let key = match &keys {
                Kind::Bool => self.rng.once_in(2).to_string(),
                Kind::String => values::text(self.rng),
                Kind::Uint32 | Kind::Fixed32 => values::unsigned(self.rng, 32).to_string(),
                Kind::Uint64 | Kind::Fixed64 => values::unsigned(self.rng, 64).to_string(),
                Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                    values::signed(self.rng, 32).to_string()
                }
                Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                    values::signed(self.rng, 64).to_string()
                }
                Kind::Double | Kind::Float | Kind::Bytes | Kind::Message(_) | Kind::Enum(_) => {
                    unreachable!("these are no map keys")
                }
            };
            if seen.contains(&key) {
                continue;
            }
            self.separated(seen.len());
            self.string(&key);
            seen.push(key);
            self.colon();
            self.value(&values, depth);
        }
        self.out.push('}');
    }

    fn value(&mut self, kind: &Kind, depth: usize) {
        match kind {
            Kind::Double => {
                let value = values::double(self.rng);
                self.float(
                    value.is_finite().then(|| (format!("{value:?}"), format!("{value:e}"))),
                    value,
                );
            }
            Kind::Float => {
                let value = values::float(self.rng);
                let texts = value.is_finite().then(|| (format!("{value:?}"), format!("{value:e}")));
                self.float(texts, f64::from(value));
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                let value = values::signed(self.rng, 32);
                self.integer(i128::from(value));
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                let value = values::signed(self.rng, 64);
                self.integer(i128::from(value));
            }
            Kind::Uint32 | Kind::Fixed32 => {
                let value = values::unsigned(self.rng, 32);
                self.integer(i128::from(value));
            }
            Kind::Uint64 | Kind::Fixed64 => {
                let value = values::unsigned(self.rng, 64);
                self.integer(i128::from(value));
            }
            Kind::Bool => self.out.push_str(if self.rng.once_in(2) { "true" } else { "false" }),
            Kind::String => {
                let text = values::text(self.rng);
                self.string(&text);
            }
            Kind::Bytes => {
                let bytes = values::bytes(self.rng);
                let engine =
                    *self.rng.pick(&[&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]);
                self.string(&engine.encode(bytes));
            }
            Kind::Enum(of) if is_null_value(of) => self.out.push_str("null"),
            Kind::Enum(of) => {
                let values: Vec<_> = of.values().collect();
                let value = self.rng.pick(&values);
                match self.rng.below(3) {
                    0 => self.out.push_str(&value.number().to_string()),
                    1 if self.style == JsonStyle::Product => {
                        self.string(&enum_word(of, value.name()));
                    }
                    _ => self.string(value.name()),
                }
            }
            Kind::Message(of) => self.message(of, depth + 1),
        }
    }

    fn integer(&mut self, value: i128) {
        let plain = value.to_string();
        let text = match self.rng.below(12) {
            0 if value.abs() < 1 << 50 => format!("{plain}.0"),
            1 if value.abs() < 1 << 50 => format!("{plain}.000e0"),
            2 if value != 0 && value.abs() < 1 << 30 => format!("{plain}0e-1"),
            3 if value % 100 == 0 && value.abs() < 1 << 50 => format!("{}E+2", value / 100),
            4 | 5 => format!("\"{plain}\""),
            6 if self.rng.once_in(4) && value.abs() < 1 << 50 => format!("\"{plain}.0\""),
            _ => plain,
        };
        self.out.push_str(&text);
    }

    fn float(&mut self, texts: Option<(String, String)>, value: f64) {
        let Some((plain, exponent)) = texts else {
            let special = if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            return self.string(special);
        };
        let text = if self.rng.once_in(2) { plain } else { exponent };
        let quote = if self.rng.once_in(4) { "\"" } else { "" };
        let _ = write!(self.out, "{quote}{text}{quote}");
    }

    fn string(&mut self, text: &str) {
        let escapes = self.rng.once_in(4);
        self.out.push('"');
        for letter in text.chars() {
            let must = matches!(letter, '"' | '\\' | '\0'..='\x1f');
            match letter {
                '"' | '\\' | '/' if must || escapes => {
                    self.out.push('\\');
                    self.out.push(letter);
                }
                '\n' => self.out.push_str("\\n"),
                _ if must || (escapes && self.rng.once_in(3)) => {
                    let mut units = [0; 2];
                    for unit in letter.encode_utf16(&mut units) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                _ => self.out.push(letter),
            }
        }
        self.out.push('"');
    }

    fn timestamp(&mut self) {
        let [month, day, hour, minute, second] =
            [12, 28, 24, 60, 60].map(|end| self.rng.below(end));
        let year = 2 + self.rng.below(9_996);
        let mut text =
            format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}", month + 1, day + 1);
        self.fraction(&mut text);
        match self.rng.below(4) {
            0 => text.push_str("+02:30"),
            1 => text.push_str("-11:00"),
            _ => text.push('Z'),
        }
        self.string(&text);
    }

    fn duration(&mut self) {
        let sign = if self.rng.once_in(3) { "-" } else { "" };
        let end = *self.rng.pick(&[2, 100_000, 315_576_000_000]);
        let mut text = format!("{sign}{}", self.rng.below(end));
        self.fraction(&mut text);
        text.push('s');
        self.string(&text);
    }

    fn fraction(&mut self, text: &mut String) {
        let digits = self.rng.below(10);
        if digits > 0 {
            let value = self.rng.below(10_usize.pow(u32::try_from(digits).unwrap_or_default()));
            let _ = write!(text, ".{value:0digits$}");
        }
    }

    fn mask(&mut self) {
        const PATHS: [&str; 4] = ["name", "displayName", "aB.c", "x.yZ.w"];
        let paths: Vec<&str> = (0..self.rng.below(4)).map(|_| *self.rng.pick(&PATHS)).collect();
        self.string(&paths.join(","));
    }

    fn structure(&mut self, depth: usize) {
        self.out.push('{');
        for at in 0..if depth < DEPTH { self.rng.below(4) } else { 0 } {
            self.separated(at);
            let key = format!("{at}{}", values::text(self.rng));
            self.string(&key);
            self.colon();
            self.json_value(depth + 1);
        }
        self.out.push('}');
    }

    fn list_value(&mut self, depth: usize) {
        self.out.push('[');
        for at in 0..if depth < DEPTH { self.rng.below(4) } else { 0 } {
            self.separated(at);
            self.json_value(depth + 1);
        }
        self.out.push(']');
    }

    fn json_value(&mut self, depth: usize) {
        match self.rng.below(6) {
            0 => self.out.push_str("null"),
            1 => self.out.push_str(if self.rng.once_in(2) { "true" } else { "false" }),
            2 => {
                let value = values::double(self.rng);
                let value = if value.is_finite() { value } else { -2.5 };
                self.out.push_str(&format!("{value:?}"));
            }
            3 => {
                let text = values::text(self.rng);
                self.string(&text);
            }
            4 => self.structure(depth),
            _ => self.list_value(depth),
        }
    }

    fn any(&mut self, depth: usize) {
        if depth >= DEPTH || self.rng.once_in(16) {
            return self.out.push_str("{}");
        }
        let of = self.schema.root(self.rng);
        let url = format!("type.googleapis.com/{}", of.full_name());
        let well_known = of.full_name().starts_with("google.protobuf.") && of.name() != "Empty";
        if !well_known {
            return self.object(&of, depth + 1, Some(&url));
        }
        self.out.push('{');
        let type_first = self.rng.once_in(2);
        if type_first {
            self.member_type(0, &url);
        }
        self.separated(usize::from(type_first));
        self.string("value");
        self.colon();
        self.message(&of, depth + 1);
        if !type_first {
            self.member_type(1, &url);
        }
        self.out.push('}');
    }
}

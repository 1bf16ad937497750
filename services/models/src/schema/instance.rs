//! The smallest value that fits a schema, for the scripted provider and for tool arguments.
//!
//! It builds from the keywords that say what a value must have (`enum`, `const`, `required`, bounds,
//! patterns, branches) and leaves the proof to the compiled schema: every choice between branches is
//! checked, and so is the whole. Schemas exist that it cannot satisfy; the answer is then refused like
//! any other misfit. All work is counted, because schemas come from callers: small ones can ask for
//! large values, and for the same part many times.

use std::collections::{HashMap, HashSet};

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Map, Number, Value, json};

use super::Schema;

/// How deep values are built.
const MAX_DEPTH: usize = 24;

/// The most items, characters or repetitions that are made for one bound.
const MAX_LENGTH: u64 = 10_000;

/// The most values that are made for one schema, over all branches.
const MAX_STEPS: usize = 5_000;

/// The most branches that are checked for one schema.
const MAX_CHECKS: usize = 64;

/// The most patterns that are compiled for these checks.
const MAX_CHECKED_PATTERNS: usize = 256;

/// The most bytes of texts and constants in a value, and of schemas copied on the way: 4 MiB each.
const MAX_BYTES: usize = 4 << 20;

/// The most steps of a walk over a pattern.
const MAX_WALK: usize = 50_000;

/// Builds values. `prefer` may pick the value of an `enum` or a text by the name of its property.
struct Builder<'a> {
    root: &'a Value,
    prefer: &'a dyn Fn(&str, &Value) -> Option<Value>,
    steps: usize,
    checks: usize,
    checked_patterns: usize,
    /// The bytes that were made.
    made: usize,
    /// The bytes of schemas that were copied.
    copied: usize,
    /// The texts of patterns, found once each.
    texts: HashMap<String, String>,
}

/// The smallest value for a schema.
pub(crate) fn smallest(schema: &Value, prefer: &dyn Fn(&str, &Value) -> Option<Value>) -> Value {
    let mut builder = Builder {
        root: schema,
        prefer,
        steps: 0,
        checks: 0,
        checked_patterns: 0,
        made: 0,
        copied: 0,
        texts: HashMap::new(),
    };
    builder.build("", schema, 0)
}

// === impl Builder ===

impl<'a> Builder<'a> {
    fn build(&mut self, name: &str, schema: &Value, depth: usize) -> Value {
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > MAX_STEPS || self.made > MAX_BYTES {
            return Value::Null;
        }
        let Value::Object(keywords) = schema else { return Value::Null };
        if let Some(value) = (self.prefer)(name, schema) {
            return self.spend(value);
        }
        if let Some(value) = keywords.get("const") {
            return self.spend(value.clone());
        }
        if let Some(first) =
            keywords.get("enum").and_then(Value::as_array).and_then(|values| values.first())
        {
            return self.spend(first.clone());
        }
        if let Some(target) =
            keywords.get("$ref").and_then(Value::as_str).and_then(|path| self.resolve(path))
        {
            return self.build(name, target, depth + 1);
        }
        if keywords.contains_key("allOf") && !self.copy(keywords, 2) {
            return Value::Null;
        }
        if let Some(merged) = merge_all(keywords) {
            return self.build(name, &merged, depth + 1);
        }
        for branches in ["anyOf", "oneOf"] {
            if let Some(value) = self.branch(name, keywords, branches, depth) {
                return value;
            }
        }
        self.of_type(keywords, depth)
    }

    /// Counts a value that is made.
    fn spend(&mut self, value: Value) -> Value {
        self.made += weight(&value);
        value
    }

    /// Counts copies of a part of the schema; tells whether they may be made.
    fn copy(&mut self, keywords: &Map<String, Value>, times: usize) -> bool {
        let bytes: usize = keywords.iter().map(|(name, value)| name.len() + weight(value)).sum();
        self.copied += bytes * times;
        self.copied <= MAX_BYTES
    }

    fn resolve(&self, path: &str) -> Option<&'a Value> {
        let pointer = path.strip_prefix('#')?;
        if pointer.is_empty() || pointer.starts_with('/') {
            return self.root.pointer(pointer);
        }
        let definitions = self.root.get("$defs").and_then(Value::as_object)?;
        definitions
            .values()
            .find(|each| each.get("$anchor").and_then(Value::as_str) == Some(pointer))
    }

    /// The first branch whose smallest value fits the schema that holds the branches.
    fn branch(
        &mut self,
        name: &str,
        keywords: &Map<String, Value>,
        branches: &str,
        depth: usize,
    ) -> Option<Value> {
        let alternatives = keywords.get(branches)?.as_array()?;
        if !self.copy(keywords, 2) {
            return None;
        }
        let mut rest = keywords.clone();
        rest.remove(branches);
        let mut first = None;
        for alternative in alternatives.iter().take(32) {
            if !self.copy(&rest, 1) {
                break;
            }
            let mut merged = rest.clone();
            if let Value::Object(more) = alternative {
                overlay(&mut merged, more);
            }
            let value = self.build(name, &Value::Object(merged), depth + 1);
            if self.fits(keywords, &value) {
                return Some(value);
            }
            first = first.or(Some(value));
        }
        first
    }

    /// Checks a value against a part of the schema, with the definitions of the whole.
    fn fits(&mut self, keywords: &Map<String, Value>, value: &Value) -> bool {
        self.checks += 1;
        if self.checks > MAX_CHECKS {
            return true;
        }
        let mut part = keywords.clone();
        for definitions in ["$defs", "definitions"] {
            if let Some(held) = self.root.get(definitions) {
                part.entry(definitions).or_insert_with(|| held.clone());
            }
        }
        let part = Value::Object(part);
        let mut patterns = Vec::new();
        super::patterns(&part, &mut patterns);
        self.checked_patterns += patterns.len();
        if self.checked_patterns > MAX_CHECKED_PATTERNS {
            return true;
        }
        Schema::compile(&part).is_ok_and(|schema| schema.fits(value))
    }

    fn of_type(&mut self, keywords: &Map<String, Value>, depth: usize) -> Value {
        let stated = match keywords.get("type") {
            Some(Value::Array(types)) => types.first().and_then(Value::as_str),
            Some(other) => other.as_str(),
            None => None,
        };
        match stated.unwrap_or_else(|| implied(keywords)) {
            "object" => self.object(keywords, depth),
            "array" => self.array(keywords, depth),
            "string" => {
                let text = Value::String(self.string(keywords));
                self.spend(text)
            }
            "integer" => number(keywords, true),
            "number" => number(keywords, false),
            "boolean" => Value::Bool(false),
            _ => Value::Null,
        }
    }

    fn string(&mut self, keywords: &Map<String, Value>) -> String {
        let keyword = |name: &str| keywords.get(name).and_then(Value::as_str);
        let mut text = match (keyword("pattern"), keyword("format")) {
            (Some(pattern), _) => match self.texts.get(pattern) {
                Some(known) => known.clone(),
                None => {
                    let found = matching(pattern);
                    self.texts.insert(pattern.to_owned(), found.clone());
                    found
                }
            },
            (None, Some(format)) => formatted(format).to_owned(),
            (None, None) => String::new(),
        };
        let least = bound(keywords, "minLength").unwrap_or(0).min(MAX_LENGTH);
        let length = text.chars().count() as u64;
        text.extend((length..least).map(|_| '-'));
        text
    }

    fn object(&mut self, keywords: &Map<String, Value>, depth: usize) -> Value {
        let empty = Map::new();
        let properties = keywords.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required = keywords.get("required").and_then(Value::as_array);
        let names: HashSet<&str> =
            required.into_iter().flatten().filter_map(Value::as_str).collect();
        let mut value = Map::new();
        // A property that is only declared is filled too: an answer with data is of more use than `{}`.
        let optional_too = depth < 4;
        for (name, schema) in properties {
            let needed = names.contains(name.as_str());
            if needed || (optional_too && schema != &Value::Bool(false)) {
                value.insert(name.clone(), self.build(name, schema, depth + 1));
            }
        }
        let anything = Value::Bool(true);
        let others = keywords.get("additionalProperties").unwrap_or(&anything);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !value.contains_key(name) {
                let made = self.build(name, others, depth + 1);
                value.insert(name.to_owned(), made);
            }
        }
        let least = bound(keywords, "minProperties").unwrap_or(0).min(MAX_LENGTH);
        let mut number = 0;
        while (value.len() as u64) < least {
            number += 1;
            let made = self.build("", others, depth + 1);
            value.insert(format!("property_{number}"), made);
        }
        Value::Object(value)
    }

    fn array(&mut self, keywords: &Map<String, Value>, depth: usize) -> Value {
        let least = bound(keywords, "minItems").unwrap_or(0).min(MAX_LENGTH);
        let least = usize::try_from(least).unwrap_or(0);
        let prefix =
            keywords.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let anything = Value::Bool(true);
        let anything = keywords.get("contains").unwrap_or(&anything);
        let items = keywords.get("items").unwrap_or(anything);
        let least =
            if keywords.contains_key("contains") { least.max(prefix.len() + 1) } else { least };
        let values = (0..least).map(|place| {
            let schema = prefix.get(place).unwrap_or(items);
            distinct(self.build("", schema, depth + 1), place, keywords.get("uniqueItems"))
        });
        Value::Array(values.collect())
    }
}

/// About how many bytes a value takes.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 8 + text.len(),
        Value::Array(values) => 8 + values.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => {
            8 + fields.iter().map(|(name, value)| 8 + name.len() + weight(value)).sum::<usize>()
        }
    }
}

/// Items that must differ get their number where a number or a text allows it.
fn distinct(value: Value, place: usize, unique: Option<&Value>) -> Value {
    match (value, unique) {
        (Value::Number(number), Some(Value::Bool(true))) => {
            json!(number.as_i64().unwrap_or(0).saturating_add(i64::try_from(place).unwrap_or(0)))
        }
        (Value::String(text), Some(Value::Bool(true))) if place > 0 => {
            format!("{text}{place}").into()
        }
        (value, _) => value,
    }
}

/// `allOf` and the keywords beside it as one schema.
fn merge_all(keywords: &Map<String, Value>) -> Option<Value> {
    let parts = keywords.get("allOf")?.as_array()?;
    let mut merged = keywords.clone();
    merged.remove("allOf");
    for part in parts.iter().filter_map(Value::as_object) {
        overlay(&mut merged, part);
    }
    Some(Value::Object(merged))
}

/// Adds keywords; properties and required names are united.
fn overlay(into: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (key, value) in more {
        match (into.get_mut(key), value) {
            (Some(Value::Object(held)), Value::Object(new)) if key == "properties" => {
                held.extend(new.clone());
            }
            (Some(Value::Array(held)), Value::Array(new)) if key == "required" => {
                held.extend(new.iter().cloned());
            }
            (_, _) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The type that keywords speak of when none is stated.
fn implied(keywords: &Map<String, Value>) -> &'static str {
    let any = |names: &[&str]| names.iter().any(|name| keywords.contains_key(*name));
    if any(&["properties", "required", "additionalProperties", "minProperties"]) {
        "object"
    } else if any(&["items", "prefixItems", "minItems", "contains"]) {
        "array"
    } else if any(&["pattern", "minLength", "maxLength", "format"]) {
        "string"
    } else if any(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        "number"
    } else {
        "null"
    }
}

/// An example of a format.
fn formatted(format: &str) -> &'static str {
    match format {
        "date-time" => "1970-01-01T00:00:00Z",
        "date" => "1970-01-01",
        "time" => "00:00:00Z",
        "duration" => "PT0S",
        "email" | "idn-email" => "nobody@example.com",
        "hostname" | "idn-hostname" => "example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uri" | "uri-reference" | "iri" | "iri-reference" => "https://example.com/",
        "uuid" => "00000000-0000-0000-0000-000000000000",
        "regex" => ".",
        _ => "",
    }
}

/// The shortest text of a pattern, as far as a walk over it finds one.
fn matching(pattern: &str) -> String {
    let mut text = String::new();
    if let Ok(hir) = regex_syntax::Parser::new().parse(pattern) {
        walk(&hir, &mut text, &mut 0);
    }
    text
}

fn walk(hir: &Hir, text: &mut String, steps: &mut usize) {
    *steps += 1;
    if text.len() as u64 > MAX_LENGTH || *steps > MAX_WALK {
        return;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(Class::Unicode(class)) => {
            text.extend(pick(class.ranges().iter().map(|r| (r.start(), r.end()))))
        }
        HirKind::Class(Class::Bytes(class)) => {
            text.extend(pick(
                class.ranges().iter().map(|r| (char::from(r.start()), char::from(r.end()))),
            ));
        }
        HirKind::Repetition(repetition) => {
            for _ in 0..u64::from(repetition.min).min(MAX_LENGTH) {
                if text.len() as u64 > MAX_LENGTH || *steps > MAX_WALK {
                    return;
                }
                walk(&repetition.sub, text, steps);
            }
        }
        HirKind::Capture(capture) => walk(&capture.sub, text, steps),
        HirKind::Concat(parts) => parts.iter().for_each(|part| walk(part, text, steps)),
        HirKind::Alternation(parts) => {
            parts.iter().take(1).for_each(|part| walk(part, text, steps))
        }
    }
}

/// A letter or digit of the ranges if there is one, else the first character.
fn pick(ranges: impl Iterator<Item = (char, char)>) -> Option<char> {
    let ranges: Vec<(char, char)> = ranges.collect();
    let within = |wanted: &char| ranges.iter().any(|(start, end)| (start..=end).contains(&wanted));
    ['a', 'A', '0', '-', ' ']
        .into_iter()
        .find(within)
        .or_else(|| ranges.first().map(|range| range.0))
}

/// The number nearest to zero within the bounds.
fn number(keywords: &Map<String, Value>, whole: bool) -> Value {
    let limit = |name: &str| keywords.get(name).and_then(Value::as_f64);
    let step = limit("multipleOf").filter(|step| *step > 0.0).unwrap_or(1.0);
    let step = if whole && step.fract() != 0.0 { 1.0 } else { step };
    let mut value: f64 = 0.0;
    if let Some(least) = limit("minimum").filter(|least| value < *least) {
        value = (least / step).ceil() * step;
    }
    if let Some(above) = limit("exclusiveMinimum").filter(|above| value <= *above) {
        value = ((above / step).floor() + 1.0) * step;
    }
    if let Some(most) = limit("maximum").filter(|most| value > *most) {
        value = if whole || keywords.contains_key("multipleOf") {
            (most / step).floor() * step
        } else {
            most
        };
    }
    if let Some(below) = limit("exclusiveMaximum").filter(|below| value >= *below) {
        let lower = limit("minimum").or_else(|| limit("exclusiveMinimum"));
        value = match lower {
            Some(lower) if !whole && !keywords.contains_key("multipleOf") => {
                f64::midpoint(lower, below)
            }
            Some(_) | None => ((below / step).ceil() - 1.0) * step,
        };
    }
    if value.fract() == 0.0 && value.abs() < 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn bound(keywords: &Map<String, Value>, name: &str) -> Option<u64> {
    keywords.get(name).and_then(Value::as_u64)
}

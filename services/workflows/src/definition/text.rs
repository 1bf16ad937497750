//! Definitions as text: YAML or JSON (which YAML includes), with the place of each part.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use super::{Finding, Positions, escape};

/// Parts of a text that are read.
const MAX_NODES: usize = 50_000;
/// How deep a text may be nested: as deep as arrays may be in what the API carries.
const MAX_NESTING: usize = 48;

/// Reads a text.
pub(super) fn parse(source: &str) -> Result<(Value, Positions), Finding> {
    let budget = serde_saphyr::budget! {
        max_depth: MAX_NESTING,
        max_nodes: MAX_NODES,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        duplicate_keys: DuplicateKeyPolicy::Error,
        // YAML 1.2: `y`, `no` and `on` are texts.
        strict_booleans: true,
    };
    let node: Spanned<Node> =
        serde_saphyr::from_str_with_options(source, options).map_err(|error| {
            let error = error.without_snippet();
            let position = error.location().map(|at| (at.line(), at.column()));
            let message: String = error.to_string().chars().take(300).collect();
            Finding {
                pointer: String::new(),
                message: format!("cannot be read: {message}"),
                position,
            }
        })?;
    let mut positions = Positions::new();
    let value = node_value(node, String::new(), &mut positions);
    Ok((value, positions))
}

fn node_value(node: Spanned<Node>, pointer: String, positions: &mut Positions) -> Value {
    let at = node.referenced;
    let value = match node.value {
        Node::Plain(value) => value,
        Node::Array(items) => {
            let items = items.into_iter().enumerate();
            Value::Array(
                items
                    .map(|(at, item)| node_value(item, format!("{pointer}/{at}"), positions))
                    .collect(),
            )
        }
        Node::Object(fields) => {
            let fields = fields.into_iter().map(|(key, field)| {
                let inner = format!("{pointer}/{}", escape(&key.value));
                let value = node_value(field, inner.clone(), positions);
                // The key's place is where a reader looks for the part.
                positions.insert(inner, (key.referenced.line(), key.referenced.column()));
                (key.value, value)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
    };
    positions.entry(pointer).or_insert_with(|| (at.line(), at.column()));
    value
}

/// A part of the text.
enum Node {
    Plain(Value),
    Array(Vec<Spanned<Node>>),
    Object(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can write")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(Value::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(Value::from(value)))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Node::Plain(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Plain(Value::String(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Plain(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Plain(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut fields: Vec<(Spanned<String>, Spanned<Node>)> = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<String>, Spanned<Node>>()? {
            if fields.len() >= MAX_NODES {
                return Err(A::Error::custom("too many keys"));
            }
            fields.push((key, value));
        }
        Ok(Node::Object(fields))
    }
}

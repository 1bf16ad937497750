//! Values with expressions in them: `${ ... }` as a whole string, at any depth.

use std::sync::Arc;

use serde_json::Value;

use crate::expression::Filter;

/// A value in which some strings are expressions.
#[derive(Debug)]
pub(crate) enum Template {
    Literal(Value),
    Expression(Arc<Filter>),
    Array(Vec<Template>),
    Object(Vec<(String, Template)>),
}

// === impl Template ===

impl Template {
    /// The value, if there is no expression in it.
    pub(crate) fn literal(&self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Expression(_) => None,
            Self::Array(items) => items.iter().map(Self::literal).collect::<Option<_>>().map(Value::Array),
            Self::Object(fields) => {
                let fields = fields.iter().map(|(key, field)| Some((key.clone(), field.literal()?)));
                fields.collect::<Option<_>>().map(Value::Object)
            }
        }
    }
}

/// The text inside `${ ... }` if the whole string is an expression.
pub(super) fn inside(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    Some(inner.trim())
}

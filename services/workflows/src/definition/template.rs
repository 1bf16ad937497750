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

/// The text inside `${ ... }` if the whole string is an expression.
pub(super) fn inside(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    Some(inner.trim())
}

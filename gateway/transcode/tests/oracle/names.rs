//! Names in JSON: the words of enums, and the paths of field masks.
//!
//! The word of an enum value is its name without the enum's own prefix, in lower case: `STATE_ACTIVE`
//! of `State` is `active`. The rule is derived from the descriptor alone and is invertible: a word is
//! accepted exactly when some value would be written so.

use prost_reflect::EnumDescriptor;

use super::Style;

/// The word for a value's name.
pub(crate) fn word(of: &EnumDescriptor, value: &str) -> String {
    without_prefix(of.name(), value).to_ascii_lowercase()
}

/// The number that an enum's text means: its full name, its word (product style) or its number.
pub(crate) fn enum_number(of: &EnumDescriptor, text: &str, style: Style) -> Option<i32> {
    if let Some(value) = of.get_value_by_name(text) {
        return Some(value.number());
    }
    if style == Style::Canonical || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    of.values().find(|value| word(of, value.name()) == text).map(|value| value.number())
}

/// Strips the enum's name, written in upper snake case whatever way its words are divided. A rest
/// that would be empty or begin with a digit keeps the prefix, since it could be taken for a number.
fn without_prefix<'v>(name: &str, value: &'v str) -> &'v str {
    let letters = name.bytes().filter(|byte| *byte != b'_');
    let mut wanted = letters.map(|byte| byte.to_ascii_uppercase()).peekable();
    for (at, byte) in value.bytes().enumerate() {
        if byte == b'_' {
            if wanted.peek().is_none() {
                let rest = &value[at + 1..];
                let word = rest.starts_with(|first: char| first.is_ascii_alphabetic());
                return if word { rest } else { value };
            }
            continue;
        }
        if wanted.next() != Some(byte) {
            return value;
        }
    }
    value
}

/// Reads the paths of a field mask. Canonical masks are lowerCamelCase; the product's are snake_case
/// and may be either.
pub(crate) fn parse_mask(text: &str, style: Style) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let path = |path: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
        let star = style == Style::Product && path == "*";
        if !star && (path.is_empty() || !path.bytes().all(allowed)) {
            return Err(format!("{path:?} is not a field path"));
        }
        if style == Style::Canonical && path.contains('_') {
            return Err(format!("{path:?} must be written in lowerCamelCase"));
        }
        Ok(snake(path))
    };
    text.split(',').map(path).collect()
}

/// Writes the paths of a field mask.
pub(crate) fn format_mask<'p>(
    paths: impl Iterator<Item = &'p str>,
    style: Style,
) -> Result<String, &'static str> {
    let mut text = String::new();
    for path in paths {
        if !text.is_empty() {
            text.push(',');
        }
        match style {
            Style::Product => text.push_str(path),
            Style::Canonical => {
                let camel = camel(path);
                if snake(&camel) != path {
                    return Err("a FieldMask path does not survive lowerCamelCase");
                }
                text.push_str(&camel);
            }
        }
    }
    Ok(text)
}

fn snake(text: &str) -> String {
    let mut snake = String::with_capacity(text.len() + 4);
    for character in text.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

fn camel(text: &str) -> String {
    let mut camel = String::with_capacity(text.len());
    let mut upper = false;
    for character in text.chars() {
        match character {
            '_' => upper = true,
            _ if std::mem::take(&mut upper) => camel.push(character.to_ascii_uppercase()),
            _ => camel.push(character),
        }
    }
    camel
}

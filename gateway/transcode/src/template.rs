//! The path template of a `google.api.http` rule: its grammar, checked strictly.
//!
//! Grammar: `"/" Segments [":" Verb]`, where a segment is `*`, `**`, a literal or a variable
//! `{field.path}` / `{field.path=Segments}` that fills whole segments. `{x}` means `{x=*}`. A rule
//! that a server would misread is refused at start with the rule named, so nothing is left to decide
//! at run time: `**` stands once and last, variables do not nest, a verb holds no colon, and a
//! literal colon or reserved character is written percent-encoded. Whether the fields exist is not
//! this file's business (see `routes`).

use std::fmt;

use percent_encoding::percent_decode_str;

#[cfg(test)]
mod tests;

/// The most segments that a template may have; it also bounds the matcher's recursion.
const MAX_SEGMENTS: usize = 64;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) verb: Option<String>,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Exactly these bytes after percent-decoding.
    Literal(Vec<u8>),
    /// Exactly one segment.
    One,
    /// Zero or more segments, always the last.
    Many,
}

/// A variable and the segments that it captures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// The field path, dotted, in proto names.
    pub(crate) field: String,
    /// The first captured segment.
    pub(crate) start: usize,
    /// One past the last captured segment; meaningless when the capture ends in `**`.
    pub(crate) end: usize,
    /// Whether the capture ends in `**` and so takes the rest of the path.
    pub(crate) rest: bool,
}

impl Variable {
    /// Whether the value may hold several segments, so that an encoded slash must stay encoded.
    pub(crate) fn multi(&self) -> bool {
        self.rest || self.end - self.start > 1
    }
}

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError(pub(crate) String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn refuse<T>(message: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError(message.into()))
}

impl Template {
    /// Parses `text`, or says which rule it breaks.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let Some(rest) = text.strip_prefix('/') else {
            return refuse("a template begins with a slash");
        };
        let mut parser = Parser { segments: Vec::new(), variables: Vec::new() };
        let (path, verb) = split_verb(rest)?;
        parser.segments(path, true)?;
        parser.check()?;
        Ok(Self { segments: parser.segments, variables: parser.variables, verb })
    }
}

/// Splits the verb off: the first colon outside of braces starts it.
fn split_verb(text: &str) -> Result<(&str, Option<String>), TemplateError> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b':' if depth > 0 => {
                return refuse(
                    "a colon inside a variable is refused; a verb follows the whole path",
                );
            }
            b':' => {
                let verb = &text[at + 1..];
                if verb.is_empty() {
                    return refuse("the verb after the colon is empty");
                }
                if !verb.bytes().all(is_verb) {
                    return refuse(
                        "a verb holds letters, digits, '-', '_', '.' only, and a colon stands only \
                         before it: write a literal colon as %3A",
                    );
                }
                return Ok((&text[..at], Some(verb.to_owned())));
            }
            _ => {}
        }
    }
    Ok((text, None))
}

fn is_verb(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

struct Parser {
    segments: Vec<Segment>,
    variables: Vec<Variable>,
}

impl Parser {
    /// Parses segments separated by slashes; `outer` is false inside a variable.
    fn segments(&mut self, text: &str, outer: bool) -> Result<(), TemplateError> {
        let mut rest = text;
        loop {
            let end = segment_end(rest)?;
            let (segment, after) = rest.split_at(end);
            if segment.is_empty() {
                return refuse("empty segments, doubled slashes and trailing slashes are refused");
            }
            self.segment(segment, outer)?;
            match after.strip_prefix('/') {
                Some(next) => rest = next,
                None => return Ok(()),
            }
        }
    }

    fn segment(&mut self, text: &str, outer: bool) -> Result<(), TemplateError> {
        match text {
            "*" => self.segments.push(Segment::One),
            "**" => self.segments.push(Segment::Many),
            _ if text.starts_with('{') => {
                let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'))
                else {
                    return refuse("a variable fills a whole segment");
                };
                if !outer || inner.contains(['{', '}']) {
                    return refuse("variables do not nest");
                }
                self.variable(inner)?;
            }
            _ if text.contains(['{', '}']) => return refuse("a variable fills a whole segment"),
            _ => self.segments.push(Segment::Literal(literal(text)?)),
        }
        Ok(())
    }

    fn variable(&mut self, text: &str) -> Result<(), TemplateError> {
        let (field, pattern) = text.split_once('=').unwrap_or((text, "*"));
        if !field.split('.').all(is_identifier) {
            return refuse(format!("{field:?} is not a field path"));
        }
        if pattern.starts_with('/') {
            return refuse("the pattern of a variable does not begin with a slash");
        }
        if self.variables.iter().any(|variable| variable.field == field) {
            return refuse(format!("the field {field} is captured twice"));
        }
        let start = self.segments.len();
        self.segments(pattern, false)?;
        let rest = self.segments.last() == Some(&Segment::Many);
        let end = self.segments.len();
        self.variables.push(Variable { field: field.to_owned(), start, end, rest });
        Ok(())
    }

    fn check(&self) -> Result<(), TemplateError> {
        if self.segments.len() > MAX_SEGMENTS {
            return refuse(format!("a template has at most {MAX_SEGMENTS} segments"));
        }
        let many = self.segments.iter().position(|segment| *segment == Segment::Many);
        if many.is_some_and(|at| at + 1 != self.segments.len()) {
            return refuse("** stands once and last (before the verb)");
        }
        Ok(())
    }
}

/// Finds the slash that ends the first segment, not counting those inside braces.
fn segment_end(text: &str) -> Result<usize, TemplateError> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return refuse("a closing brace has no opening one"),
            b'}' => depth -= 1,
            b'/' if depth == 0 => return Ok(at),
            _ => {}
        }
    }
    if depth > 0 {
        return refuse("a brace is not closed");
    }
    Ok(text.len())
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Decodes a literal. Reserved characters stand in it only percent-encoded.
fn literal(text: &str) -> Result<Vec<u8>, TemplateError> {
    if !well_escaped(text) {
        return refuse(format!("{text:?} holds a broken percent escape"));
    }
    if text == "." || text == ".." {
        return refuse("dot segments are refused");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%!$&'()+,;@".contains(&byte);
    if !text.bytes().all(plain) {
        return refuse(format!("{text:?} holds a character that must be percent-encoded"));
    }
    Ok(percent_decode_str(text).collect())
}

/// Whether every percent sign is followed by two hexadecimal digits.
pub(crate) fn well_escaped(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = bytes.get(at + 1..at + 3);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                return false;
            }
            at += 2;
        }
        at += 1;
    }
    true
}

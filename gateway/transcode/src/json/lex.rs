//! The tokenizer: strict RFC 8259 over a text that is already known to be UTF-8.
//!
//! It is a cursor, not a stream of tokens: the walk asks for what the schema expects and gets an
//! error with an offset when the text holds something else. It refuses what lenient parsers let
//! pass: comments, trailing commas, `NaN`, leading zeros, lone surrogates, control characters in
//! strings, a byte order mark and anything after the value.

use std::borrow::Cow;

use super::{JsonError, Reason};

pub(super) mod string;

/// The kind of the next value, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Next {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
        }
    }
}

/// A cursor over a JSON text.
#[derive(Clone)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    max_depth: usize,
}

impl<'t> Lexer<'t> {
    /// A cursor at the start of `json`.
    ///
    /// # Errors
    /// When the bytes are not UTF-8 or begin with a byte order mark.
    pub(crate) fn new(json: &'t [u8], max_depth: usize) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(json).map_err(|error| {
            JsonError::new(Reason::Malformed, error.valid_up_to(), "the text is not UTF-8")
        })?;
        if text.starts_with('\u{feff}') {
            return Err(JsonError::new(Reason::Malformed, 0, "a byte order mark is not accepted"));
        }
        Ok(Self { text, at: 0, depth: 0, max_depth })
    }

    /// The offset of the next byte that is not white space.
    pub(crate) fn offset(&mut self) -> usize {
        self.space();
        self.at
    }

    pub(crate) fn peek(&mut self) -> Result<Next, JsonError> {
        self.space();
        match self.byte() {
            Some(b'{') => Ok(Next::Object),
            Some(b'[') => Ok(Next::Array),
            Some(b'"') => Ok(Next::String),
            Some(b'-' | b'0'..=b'9') => Ok(Next::Number),
            Some(b't' | b'f') => Ok(Next::Bool),
            Some(b'n') => Ok(Next::Null),
            Some(_) => Err(self.malformed("a value is expected")),
            None => Err(self.malformed("the text ends where a value is expected")),
        }
    }

    /// Enters an object or a list; the caller has peeked.
    pub(crate) fn enter(&mut self) -> Result<(), JsonError> {
        if self.depth == self.max_depth {
            let message = format!("more than {} levels of nesting", self.max_depth);
            return Err(self.malformed(message));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// The next key of an object with its offset, or `None` at its end; the colon is consumed.
    pub(crate) fn key(
        &mut self,
        first: &mut bool,
    ) -> Result<Option<(Cow<'t, str>, usize)>, JsonError> {
        if !self.member(first)? {
            return Ok(None);
        }
        self.name().map(Some)
    }

    /// Takes a key with its quotes and its colon if the text goes on with just these bytes.
    pub(crate) fn takes(&mut self, key: &[u8]) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        // The first letter settles most of the misses.
        let taken = rest.get(1) == key.get(1) && rest.starts_with(key);
        if taken {
            self.at += key.len();
        }
        taken
    }

    /// Goes to the next key of an object, or says that there is none.
    pub(crate) fn member(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        let more = self.more(b'}', first)?;
        if more {
            self.space();
        }
        Ok(more)
    }

    /// Reads a key, at which [`Lexer::member`] has stopped, with its offset; the colon is consumed.
    pub(crate) fn name(&mut self) -> Result<(Cow<'t, str>, usize), JsonError> {
        let offset = self.at;
        if self.byte() != Some(b'"') {
            return Err(self.malformed("a key in double quotes is expected"));
        }
        let key = self.string()?;
        self.space();
        if self.byte() != Some(b':') {
            return Err(self.malformed("a colon is expected after the key"));
        }
        self.at += 1;
        Ok((key, offset))
    }

    /// Whether a list has another element.
    pub(crate) fn item(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        self.more(b']', first)
    }

    fn more(&mut self, close: u8, first: &mut bool) -> Result<bool, JsonError> {
        self.space();
        let begun = !std::mem::replace(first, false);
        match self.byte() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                return Ok(false);
            }
            Some(b',') if begun => self.at += 1,
            Some(_) if begun => return Err(self.malformed("a comma or the end is expected")),
            Some(_) => return Ok(true),
            None => return Err(self.malformed("the text ends inside a list or an object")),
        }
        self.space();
        if self.byte() == Some(close) {
            return Err(self.malformed("a trailing comma is not accepted"));
        }
        Ok(true)
    }

    /// Reads an integer in its plain form; `None`, and nothing read, for any other number. The caller
    /// has peeked.
    pub(crate) fn integer(&mut self) -> Option<i64> {
        let rest = &self.text.as_bytes()[self.at..];
        let (value, length) = leading_integer(rest)?;
        match rest.get(length) {
            None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') => {}
            Some(_) => return None,
        }
        self.at += length;
        Some(value)
    }

    /// Reads a number and gives its text; the caller has peeked.
    pub(crate) fn number(&mut self) -> Result<&'t str, JsonError> {
        let rest = &self.text[self.at..];
        let Some(length) = number_length(rest.as_bytes()) else {
            return Err(self.malformed("a malformed number"));
        };
        if rest
            .as_bytes()
            .get(length)
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-'))
        {
            return Err(self.malformed("a malformed number"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    pub(crate) fn bool(&mut self) -> Result<bool, JsonError> {
        let value = self.byte() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    pub(crate) fn null(&mut self) -> Result<(), JsonError> {
        self.word("null")
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.malformed(format!("{word} is expected")));
        }
        self.at += word.len();
        Ok(())
    }

    /// Skips a value, checking it all the same.
    pub(crate) fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek()? {
            Next::Object => {
                self.enter()?;
                let mut first = true;
                while self.key(&mut first)?.is_some() {
                    self.skip()?;
                }
            }
            Next::Array => {
                self.enter()?;
                let mut first = true;
                while self.item(&mut first)? {
                    self.skip()?;
                }
            }
            Next::String => drop(self.string()?),
            Next::Number => drop(self.number()?),
            Next::Bool => drop(self.bool()?),
            Next::Null => self.null()?,
        }
        Ok(())
    }

    /// Checks that nothing but white space is left.
    pub(crate) fn finish(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.at < self.text.len() {
            return Err(self.malformed("there is text after the value"));
        }
        Ok(())
    }

    fn space(&mut self) {
        while let Some(byte) = self.byte() {
            // One comparison decides where there is no white space, which is nearly everywhere.
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return;
            }
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed(&self, message: impl Into<String>) -> JsonError {
        JsonError::new(Reason::Malformed, self.at, message)
    }
}

/// The plain integer (no leading zeros, at most 18 digits) at the start of `text`, and its length.
pub(crate) fn leading_integer(text: &[u8]) -> Option<(i64, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut value = 0_i64;
    let mut at = start;
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|it| *it < 10) {
        if at - start == 18 {
            return None;
        }
        value = value * 10 + i64::from(digit);
        at += 1;
    }
    let leading_zero = at - start > 1 && text[start] == b'0';
    // A negative zero is another number to a float.
    if at == start || leading_zero || (negative && value == 0) {
        return None;
    }
    Some((if negative { -value } else { value }, at))
}

/// The length of the JSON number at the start of `text`.
pub(crate) fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    match text.get(at)? {
        b'0' => at += 1,
        b'1'..=b'9' => at += digits(at),
        _ => return None,
    }
    if text.get(at) == Some(&b'.') {
        let count = digits(at + 1);
        if count == 0 {
            return None;
        }
        at += 1 + count;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        let count = digits(at);
        if count == 0 {
            return None;
        }
        at += count;
    }
    Some(at)
}

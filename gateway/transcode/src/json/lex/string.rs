//! Strings: borrowed where the text has them as they are, unescaped where it does not.

use std::borrow::Cow;

use super::Lexer;
use crate::json::{
    JsonError, Reason,
    special::{first_special_of, is_special},
};

impl<'t> Lexer<'t> {
    /// Reads a string; the caller has peeked.
    pub(crate) fn string(&mut self) -> Result<Cow<'t, str>, JsonError> {
        self.at += 1;
        let start = self.at;
        let plain = self.plain();
        match self.byte() {
            Some(b'"') => {
                self.at += 1;
                return Ok(Cow::Borrowed(plain));
            }
            Some(b'\\') => {}
            Some(_) => return Err(self.malformed("a control character must be escaped")),
            None => return Err(self.malformed("the text ends inside a string")),
        }
        let mut owned = self.text[start..self.at].to_owned();
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => owned.push(self.escape()?),
                Some(_) => return Err(self.malformed("a control character must be escaped")),
                None => return Err(self.malformed("the text ends inside a string")),
            }
            owned.push_str(self.plain());
        }
    }

    /// Reads a string that has no escapes; `None`, and nothing read, when it has some. The caller has
    /// peeked.
    pub(crate) fn plain_string(&mut self) -> Result<Option<&'t str>, JsonError> {
        let quote = self.at;
        self.at += 1;
        let plain = self.plain();
        match self.byte() {
            Some(b'"') => {
                self.at += 1;
                Ok(Some(plain))
            }
            Some(b'\\') => {
                self.at = quote;
                Ok(None)
            }
            Some(_) => Err(self.malformed("a control character must be escaped")),
            None => Err(self.malformed("the text ends inside a string")),
        }
    }

    /// Reads a string and appends its text to `out`; the caller has peeked.
    pub(crate) fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        self.at += 1;
        let text = self.text.as_bytes();
        loop {
            self.at += copy_plain(&text[self.at..], out);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => match text.get(self.at + 1).and_then(|byte| simple(*byte)) {
                    Some(escaped) => {
                        out.push(escaped);
                        self.at += 2;
                    }
                    None => {
                        let escaped = self.escape()?;
                        out.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                },
                Some(_) => return Err(self.malformed("a control character must be escaped")),
                None => return Err(self.malformed("the text ends inside a string")),
            }
        }
    }

    /// Takes the bytes up to a quote, a backslash or a control character.
    fn plain(&mut self) -> &'t str {
        let start = self.at;
        self.at += plain_length(&self.text.as_bytes()[start..]);
        &self.text[start..self.at]
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        match self.byte() {
            Some(b'u') => self.unicode(),
            Some(byte) if let Some(escaped) = simple(byte) => {
                self.at += 1;
                Ok(char::from(escaped))
            }
            Some(_) | None => Err(self.malformed("an unknown escape")),
        }
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let start = self.at - 1;
        let lone = || JsonError::new(Reason::Malformed, start, "a lone surrogate is not text");
        let high = self.unit()?;
        let code = match high {
            0xd800..=0xdbff => {
                if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    return Err(lone());
                }
                self.at += 1;
                let low = self.unit()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(lone());
                }
                0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
            }
            _ => high,
        };
        char::from_u32(code).ok_or_else(lone)
    }

    /// Reads `uXXXX`.
    fn unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            return Err(self.malformed("four hexadecimal digits are expected"));
        };
        let unit = digits
            .iter()
            .fold(0, |unit, digit| unit * 16 + char::from(*digit).to_digit(16).unwrap_or_default());
        self.at += 5;
        Ok(unit)
    }
}

/// What a backslash and a letter stand for, but for `u`.
fn simple(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 0x8,
        b'f' => 0xc,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// The number of bytes before a quote, a backslash or a control character: eight at a time, and many
/// at a time once a string turns out to be long.
pub(crate) fn plain_length(text: &[u8]) -> usize {
    const SHORT: usize = 64;
    const BLOCK: usize = 64;
    let short = text.len().min(SHORT);
    let mut length = word_by_word(&text[..short]);
    if length < short {
        return length;
    }
    let (blocks, _) = text[short..].as_chunks::<BLOCK>();
    for block in blocks {
        // Without branches, which compiles to comparisons of whole registers.
        let stops = block.iter().fold(false, |stops, byte| stops | is_special(*byte));
        if stops {
            break;
        }
        length += BLOCK;
    }
    length + word_by_word(&text[length..])
}

/// Appends the bytes before a quote, a backslash or a control character, and counts them. Where there are
/// escapes they are mostly close together: eight bytes are copied at once and what was too much is
/// taken back, which costs less than a copy of just the right length.
fn copy_plain(text: &[u8], out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(word) = text[at..].first_chunk::<8>() {
        out.extend_from_slice(word);
        let stops = first_special_of(u64::from_le_bytes(*word));
        if stops != 0 {
            let plain = (stops.trailing_zeros() / 8) as usize;
            out.truncate(out.len() - 8 + plain);
            return at + plain;
        }
        at += 8;
    }
    let rest = &text[at..];
    let plain = rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len());
    out.extend_from_slice(&rest[..plain]);
    at + plain
}

fn word_by_word(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let stops = first_special_of(u64::from_le_bytes(*word));
        if stops != 0 {
            return at * 8 + (stops.trailing_zeros() / 8) as usize;
        }
    }
    let stop = rest.iter().position(|byte| is_special(*byte));
    text.len() - rest.len() + stop.unwrap_or(rest.len())
}

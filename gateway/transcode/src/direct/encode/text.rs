//! Strings, numbers and bytes as JSON, written straight into the output.
//!
//! A string is looked at in words: a few operations on eight bytes at once say whether anything in them
//! must be escaped and whether anything is not ASCII. Only a word that has something to escape is
//! walked byte by byte, and only a text that is not all ASCII is checked to be UTF-8.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::Fail;
use crate::json::number::{SAFE, put};

/// So many bytes are looked at together.
const WORD: usize = 8;
/// Floats from here on are written with an exponent, and so are those below [`TINY`].
const HUGE: f64 = 1e17;
const TINY: f64 = 1e-5;
const HUGE_FLOAT: f64 = 1e9;
/// Below this every whole number has a float.
const SAFE_F64: f64 = 9_007_199_254_740_992.0;

/// Writes bytes that should be UTF-8 as a string with quotes.
#[inline]
pub(crate) fn utf8(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Fail> {
    let (plain, ascii) = survey(bytes);
    if !ascii && std::str::from_utf8(bytes).is_err() {
        return Err(Fail::Wire);
    }
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if plain {
        out.extend_from_slice(bytes);
    } else {
        escape(out, bytes);
    }
    out.push(b'"');
    Ok(())
}

/// Writes a string with quotes, escaping what JSON asks for and nothing else.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text.as_bytes());
    out.push(b'"');
}

/// Whether nothing needs an escape, and whether everything is ASCII. The last word may overlap the one
/// before it: to look at a byte twice is cheaper than to look at the rest one by one.
#[inline]
fn survey(bytes: &[u8]) -> (bool, bool) {
    let (mut special, mut high) = (0, 0);
    if let Some(last) = bytes.last_chunk::<WORD>() {
        let (words, _) = bytes.as_chunks::<WORD>();
        for word in words.iter().chain([last]) {
            let word = u64::from_le_bytes(*word);
            special |= specials_of(word);
            high |= word & HIGHS;
        }
    } else {
        for &byte in bytes {
            special |= u64::from(is_special(byte));
            high |= u64::from(byte & 0x80);
        }
    }
    (special == 0, high == 0)
}

/// The upper bit of each of eight bytes.
const HIGHS: u64 = u64::from_ne_bytes([0x80; WORD]);

/// Not zero exactly if one of eight bytes needs an escape: what is below a limit borrows from the upper
/// bit, and what equals a character is zero, thus below one, without its bits.
#[inline]
fn specials_of(word: u64) -> u64 {
    let all = |byte: u8| u64::from_ne_bytes([byte; WORD]);
    let below = |word: u64, limit: u8| word.wrapping_sub(all(limit)) & !word & HIGHS;
    below(word, 0x20) | below(word ^ all(b'"'), 1) | below(word ^ all(b'\\'), 1)
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Writes the inside of a string. Bytes that are not ASCII pass as they are.
pub(crate) fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let mut plain = 0;
    for (at, word) in words.iter().enumerate() {
        if specials_of(u64::from_le_bytes(*word)) != 0 {
            out.extend_from_slice(&bytes[plain * WORD..at * WORD]);
            escape_bytes(out, word);
            plain = at + 1;
        }
    }
    out.extend_from_slice(&bytes[plain * WORD..words.len() * WORD]);
    escape_bytes(out, rest);
}

fn escape_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
            }
            _ => out.push(byte),
        }
    }
}

/// Writes bytes as a string of padded base64.
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    out.truncate(start + written.expect("padded base64 has four letters for each three bytes"));
    out.push(b'"');
}

/// Writes a whole number.
#[inline]
pub(crate) fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a whole number between quotes.
#[inline]
pub(crate) fn quoted(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.push(b'"');
    integer(out, value);
    out.push(b'"');
}

/// Writes a signed 64-bit integer: as a number when `plain` and every reader holds it exactly.
#[inline]
pub(crate) fn signed(out: &mut Vec<u8>, value: i64, plain: bool) {
    if plain && value.unsigned_abs() < SAFE { integer(out, value) } else { quoted(out, value) }
}

/// Writes an unsigned 64-bit integer: as a number when `plain` and every reader holds it exactly.
#[inline]
pub(crate) fn unsigned(out: &mut Vec<u8>, value: u64, plain: bool) {
    if plain && value < SAFE { integer(out, value) } else { quoted(out, value) }
}

/// Writes the shortest text that reads back as the same double; special values are strings.
pub(crate) fn double(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if !value.is_finite() {
        out.extend_from_slice(special(value));
    } else if size < SAFE_F64 && value.trunc() == value {
        if value == 0.0 && value.is_sign_negative() {
            return out.extend_from_slice(b"-0");
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
        integer(out, value as i64);
    } else if (SAFE_F64..HUGE).contains(&size) {
        put(out, format_args!("{value}"));
    } else {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        // An exponent is written without a plus.
        let parts = if size < HUGE { None } else { text.split_once("e+") };
        match parts {
            Some((mantissa, exponent)) => put(out, format_args!("{mantissa}e{exponent}")),
            None => out.extend_from_slice(text.as_bytes()),
        }
    }
}

/// Writes the shortest text that reads back as the same float; special values are strings.
pub(crate) fn float(out: &mut Vec<u8>, value: f32) {
    let size = f64::from(value.abs());
    if !value.is_finite() {
        out.extend_from_slice(special(f64::from(value)));
    } else if value == 0.0 || (TINY..HUGE_FLOAT).contains(&size) {
        put(out, format_args!("{value}"));
    } else {
        put(out, format_args!("{value:e}"));
    }
}

fn special(value: f64) -> &'static [u8] {
    if value.is_nan() {
        b"\"NaN\""
    } else if value > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    }
}

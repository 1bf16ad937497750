//! Strings, numbers and bytes as JSON, written straight into the output.
//!
//! A string is looked at in words: a few operations on eight bytes at once say which of them must be
//! escaped and whether anything is not ASCII. Most texts need no escape and are copied as they are; in
//! the others only the bytes that need one are looked at one by one. Only a text that is not all ASCII
//! is checked to be UTF-8.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::Fail;
use crate::json::{
    number::{SAFE, put},
    special::{HIGHS, is_special, specials_of},
};

/// So many bytes are looked at together.
const WORD: usize = 8;
/// So many bytes are copied together if none of them needs an escape.
const BLOCK: usize = 4 * WORD;
/// The longest a block can become, and as much as the last store behind it may write in vain.
const ROOM: usize = 6 * BLOCK + WORD;
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
    if plain {
        out.reserve(bytes.len() + 2);
        out.push(b'"');
        out.extend_from_slice(bytes);
    } else {
        out.push(b'"');
        escape_some(out, bytes);
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

/// Writes the inside of a string. Bytes that are not ASCII pass as they are.
pub(crate) fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    let (plain, _) = survey(bytes);
    if plain {
        out.extend_from_slice(bytes);
    } else {
        escape_some(out, bytes);
    }
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

/// Writes the inside of a string in which something needs an escape.
///
/// It writes over zeros that are already in the output, more than are needed as a rule, and takes back
/// those that are left over: so there is one question about room for each block instead of several for
/// each byte.
fn escape_some(out: &mut Vec<u8>, bytes: &[u8]) {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut end = out.len();
    for (at, block) in blocks.iter().enumerate() {
        end += escape_block(room(out, end, bytes.len() - at * BLOCK), block);
    }
    // A blank is written as it is, so those that fill up the last block are at the end of it.
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    end += escape_block(room(out, end, rest.len()), &block);
    out.truncate(end - (BLOCK - rest.len()));
}

/// The part of the output after `end`, made longer if it is too short. A quarter more than is `left` to
/// be written is enough for most texts.
#[inline]
fn room(out: &mut Vec<u8>, end: usize, left: usize) -> &mut [u8; ROOM] {
    if out.len() < end + ROOM {
        out.resize(end + ROOM + left + left / 4, 0);
    }
    out[end..].first_chunk_mut().expect("the output was made long enough")
}

/// What each byte is written as: up to six letters, the first the lowest, and above them how many.
static ESCAPES: [u64; 256] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut escapes = [0; 256];
    let mut at = 0;
    while at < escapes.len() {
        let byte = at as u8;
        let letter = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => byte,
        };
        let (high, low) = (HEX[at >> 4], HEX[at & 15]);
        escapes[at] = u64::from_le_bytes(if letter < 0x20 {
            [b'\\', b'u', b'0', b'0', high, low, 0, 6]
        } else if is_special(byte) {
            [b'\\', letter, 0, 0, 0, 0, 0, 2]
        } else {
            [byte, 0, 0, 0, 0, 0, 0, 1]
        });
        at += 1;
    }
    escapes
};

/// Writes a block and gives the length of what it became. All of a word that follows an escape is
/// written again behind it, which is one store, and every store is of eight bytes.
#[inline]
fn escape_block(room: &mut [u8; ROOM], block: &[u8; BLOCK]) -> usize {
    let (words, _) = block.as_chunks::<WORD>();
    let special = |word: &[u8; WORD]| specials_of(u64::from_le_bytes(*word));
    if words.iter().fold(0, |all, word| all | special(word)) == 0 {
        room[..BLOCK].copy_from_slice(block);
        return BLOCK;
    }
    let mut put = |at: usize, letters: u64| {
        room[at..at + WORD].copy_from_slice(&letters.to_le_bytes());
    };
    // Where the word would end up if it had no more escapes.
    let mut start = 0;
    for word in words {
        let mut specials = special(word);
        let word = u64::from_le_bytes(*word);
        put(start, word);
        while specials != 0 {
            let bits = specials.trailing_zeros() & !7;
            let at = start + (bits / 8) as usize;
            let escape = ESCAPES[usize::from((word >> bits) as u8)];
            let length = (escape >> 56) as usize;
            put(at, escape);
            put(at + length, word >> bits >> 8);
            start += length - 1;
            specials &= specials - 1;
        }
        start += WORD;
    }
    start
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

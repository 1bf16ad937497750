//! Reading protobuf's wire format from a slice, without copying and without trusting it.
//!
//! Every function takes the bytes and a place in them, and either moves the place behind what it
//! read or says that the bytes are not a message. Fields that nobody knows are stepped over,
//! groups among them; a group is closed by its own number and nests no deeper than messages may.

use super::{Fail, MAX_DEPTH};

/// The wire type of integers, booleans and enums.
pub(crate) const VARINT: u8 = 0;
/// The wire type of eight bytes.
pub(crate) const FIXED64: u8 = 1;
/// The wire type of everything that says its length.
pub(crate) const LEN: u8 = 2;
/// The wire type that opens a group.
pub(crate) const GROUP: u8 = 3;
/// The wire type of four bytes.
pub(crate) const FIXED32: u8 = 5;

/// The wire type that closes a group.
const END_GROUP: u8 = 4;
/// The longest varint, in bytes.
const MAX_VARINT: usize = 10;
/// The longest varint before a field, in bytes.
const MAX_KEY: usize = 5;

/// Reads a varint.
#[inline]
pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, Fail> {
    match bytes.get(*at) {
        Some(&byte) if byte < 0x80 => {
            *at += 1;
            Ok(u64::from(byte))
        }
        Some(_) => long_varint(bytes, at),
        None => Err(Fail::Wire),
    }
}

fn long_varint(bytes: &[u8], at: &mut usize) -> Result<u64, Fail> {
    let mut value = 0;
    for (place, &byte) in bytes[*at..].iter().take(MAX_VARINT).enumerate() {
        // The tenth byte has room for one bit.
        if place == MAX_VARINT - 1 && byte > 1 {
            return Err(Fail::Wire);
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            *at += place + 1;
            return Ok(value);
        }
    }
    Err(Fail::Wire)
}

/// Reads the number and the wire type of a field, which have room for 32 bits and five bytes.
#[inline]
pub(crate) fn key(bytes: &[u8], at: &mut usize) -> Result<(u32, u8), Fail> {
    let start = *at;
    let key = u32::try_from(varint(bytes, at)?).map_err(|_| Fail::Wire)?;
    let wire_type = (key & 7) as u8;
    if key < 8 || wire_type > FIXED32 || *at - start > MAX_KEY {
        return Err(Fail::Wire);
    }
    Ok((key >> 3, wire_type))
}

/// Reads what says its length.
#[inline]
pub(crate) fn delimited<'b>(bytes: &'b [u8], at: &mut usize) -> Result<&'b [u8], Fail> {
    let length = usize::try_from(varint(bytes, at)?).map_err(|_| Fail::Wire)?;
    let rest = bytes.get(*at..).ok_or(Fail::Wire)?;
    let value = rest.get(..length).ok_or(Fail::Wire)?;
    *at += length;
    Ok(value)
}

/// Reads a number of bytes that is known, little end first.
#[inline]
pub(crate) fn fixed<const N: usize>(bytes: &[u8], at: &mut usize) -> Result<[u8; N], Fail> {
    let value = bytes.get(*at..).and_then(|rest| rest.first_chunk::<N>()).ok_or(Fail::Wire)?;
    *at += N;
    Ok(*value)
}

/// Steps over a value.
#[inline]
pub(crate) fn skip(bytes: &[u8], at: &mut usize, number: u32, wire_type: u8) -> Result<(), Fail> {
    match wire_type {
        VARINT => varint(bytes, at).map(drop),
        LEN => delimited(bytes, at).map(drop),
        FIXED64 => fixed::<8>(bytes, at).map(drop),
        FIXED32 => fixed::<4>(bytes, at).map(drop),
        _ => skip_group(bytes, at, number, wire_type, MAX_DEPTH),
    }
}

#[cold]
fn skip_group(
    bytes: &[u8],
    at: &mut usize,
    number: u32,
    wire_type: u8,
    depth: u32,
) -> Result<(), Fail> {
    if wire_type != GROUP || depth == 0 {
        return Err(Fail::Wire);
    }
    loop {
        match key(bytes, at)? {
            (inner, END_GROUP) if inner == number => return Ok(()),
            (inner, wire_type @ (GROUP | END_GROUP)) => {
                skip_group(bytes, at, inner, wire_type, depth - 1)?;
            }
            (inner, wire_type) => skip(bytes, at, inner, wire_type)?,
        }
    }
}

/// Reads the content of a group, behind its start tag, and moves behind its end tag.
pub(crate) fn group<'b>(bytes: &'b [u8], at: &mut usize, number: u32) -> Result<&'b [u8], Fail> {
    let start = *at;
    loop {
        let end = *at;
        let (inner, wire_type) = key(bytes, at)?;
        if wire_type != END_GROUP {
            skip(bytes, at, inner, wire_type)?;
        } else if inner == number {
            return Ok(&bytes[start..end]);
        } else {
            return Err(Fail::Wire);
        }
    }
}

//! Writing the wire format: varints, and lengths that are known only afterwards.

use crate::tables::Tag;

/// A length-delimited part that is being written.
#[must_use]
pub(crate) struct Open(usize);

/// Writes a varint.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a tag, a length and the bytes.
pub(crate) fn bytes(out: &mut Vec<u8>, tag: &[u8], value: &[u8]) {
    out.extend_from_slice(tag);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Begins a part whose length follows the tag. One byte is kept for the length, which is enough for
/// most parts.
pub(crate) fn open(out: &mut Vec<u8>, tag: &[u8]) -> Open {
    out.extend_from_slice(tag);
    out.push(0);
    Open(out.len())
}

/// Ends a part: writes its length, and moves the part where the length needs more than one byte.
pub(crate) fn close(out: &mut Vec<u8>, Open(start): Open) {
    let end = out.len();
    let mut length = end - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    let width = (usize::BITS - length.leading_zeros()).div_ceil(7) as usize;
    out.resize(end + width - 1, 0);
    out.copy_within(start..end, start + width - 1);
    for at in 0..width {
        let more = if at + 1 < width { 0x80 } else { 0 };
        out[start - 1 + at] = (length & 0x7f) as u8 | more;
        length >>= 7;
    }
}

/// Whether nothing was written since a part began.
pub(crate) fn is_empty(out: &[u8], part: &Open) -> bool {
    out.len() == part.0
}

/// Drops a part with its tag.
pub(crate) fn abandon(out: &mut Vec<u8>, Open(start): Open, tag: &[u8]) {
    out.truncate(start - 1 - tag.len());
}

/// A value of fixed or varint form, as its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Varint(u64),
    Four(u32),
    Eight(u64),
}

impl Scalar {
    /// Whether this is what an unset field holds. A negative zero is not.
    pub(crate) fn is_default(self) -> bool {
        match self {
            Self::Varint(bits) | Self::Eight(bits) => bits == 0,
            Self::Four(bits) => bits == 0,
        }
    }

    /// Writes the value without a tag.
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Varint(bits) => varint(out, bits),
            Self::Four(bits) => out.extend_from_slice(&bits.to_le_bytes()),
            Self::Eight(bits) => out.extend_from_slice(&bits.to_le_bytes()),
        }
    }

    /// Writes the value with its tag.
    pub(crate) fn put_field(self, out: &mut Vec<u8>, tag: &Tag) {
        out.extend_from_slice(tag.bytes());
        self.put(out);
    }
}

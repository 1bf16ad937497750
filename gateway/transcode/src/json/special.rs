//! The bytes that a JSON string holds only escaped: quotes, backslashes and control characters.
//!
//! Reader and writer look for them, mostly in words of eight bytes. What stands for such a byte is their
//! own affair.

/// The upper bit of each of eight bytes.
pub(crate) const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

#[inline]
pub(crate) const fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Marks, of eight bytes, the upper bit of those that are special. Each sum is of seven bits, so it
/// carries into its own upper bit and no further, and does not exactly if the byte is to be marked:
/// because it is below a space, or because it is zero without the bits of a character.
#[inline]
pub(crate) fn specials_of(word: u64) -> u64 {
    let all = |byte: u8| u64::from_ne_bytes([byte; 8]);
    let low = word & !HIGHS;
    let not_control = low + all(0x80 - 0x20);
    let not_quote = (low ^ all(b'"')) + all(0x7f);
    let not_backslash = (low ^ all(b'\\')) + all(0x7f);
    !(word | (not_control & not_quote & not_backslash)) & HIGHS
}

/// Marks special bytes like [`specials_of`], but only the lowest mark is right: a subtraction borrows
/// where a byte is special, and a borrow may mark what is above. The result is there sooner, which
/// counts where the next step waits for it.
#[inline]
pub(crate) fn first_special_of(word: u64) -> u64 {
    let all = |byte: u8| u64::from_ne_bytes([byte; 8]);
    let below = |word: u64, limit: u8| word.wrapping_sub(all(limit)) & !word;
    (below(word, 0x20) | below(word ^ all(b'"'), 1) | below(word ^ all(b'\\'), 1)) & HIGHS
}

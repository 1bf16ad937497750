//! Random secrets, their hashes, and the seal around answers that hold one.
//!
//! Everything made here has at least 128 bits of randomness, so a plain SHA-256 is kept of it and not
//! a password hash: nobody can try 2^128 texts, and a fast hash lets every call be checked. Passwords,
//! which people choose, are in `passwords`.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, RandomizedNonceKey},
    digest, rand,
};

/// The digits, in the order of their values.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)
        .expect("the random source of the system does not fail once it is seeded");
    bytes
}

/// Random digits and letters, each with 5.95 bits: 43 of them have 256.
pub(crate) fn random_base62(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // Bytes from 248 on are thrown away: they would make the first eight digits likelier.
        let usable = random::<64>().into_iter().filter(|byte| *byte < 248);
        text.extend(
            usable.take(length - text.len()).map(|byte| char::from(BASE62[usize::from(byte % 62)])),
        );
    }
    text
}

/// A number as six digits and letters; 62^6 is more than 2^32.
pub(crate) fn base62_of(mut number: u32) -> String {
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[usize::try_from(number % 62).expect("below 62")];
        number /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// SHA-256 in hexadecimal, as the database keeps it.
pub(crate) fn hash(bytes: impl AsRef<[u8]>) -> String {
    use std::fmt::Write as _;
    sha256(bytes.as_ref()).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// Whether two texts are the same, in a time that tells nothing about where they differ.
pub(crate) fn are_equal(left: &[u8], right: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// CRC-32 (IEEE 802.3): finds typing errors in keys before anything is looked up; no protection.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let poly = if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            (crc >> 1) ^ poly
        })
    })
}

/// Closes answers that hold a secret, so that they can be kept for a repetition of the request
/// without the secret standing in the database.
pub(crate) struct Seal(RandomizedNonceKey);

/// What was sealed cannot be opened: the key file was replaced, or the text damaged.
#[derive(Debug, thiserror::Error)]
#[error("a sealed answer cannot be opened with the present key")]
pub struct SealBroken;

// === impl Seal ===

impl Seal {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(RandomizedNonceKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes"))
    }

    /// Closes `plain`; `about` must be the same when it is opened.
    pub(crate) fn close(&self, about: &str, plain: &[u8]) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(about), &mut sealed)
            .expect("answers are far below the limit of AES-GCM");
        [nonce.as_ref().as_slice(), &sealed].concat()
    }

    /// Opens what [`Self::close`] made.
    pub(crate) fn open(&self, about: &str, sealed: &[u8]) -> Result<Vec<u8>, SealBroken> {
        let (nonce, text) = sealed.split_first_chunk::<12>().ok_or(SealBroken)?;
        let mut text = text.to_vec();
        let plain = self
            .0
            .open_in_place(nonce.into(), Aad::from(about), &mut text)
            .map_err(|_| SealBroken)?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests;

//! Known answers, and seals that open only for their own.

use super::{Seal, base62_of, crc32, hash, random_base62};

#[test]
fn the_checksum_is_crc_32() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(b""), 0);
}

#[test]
fn the_hash_is_sha_256() {
    assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn random_texts_have_their_length_and_never_repeat() {
    let text = random_base62(43);
    assert_eq!(text.len(), 43);
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_ne!(text, random_base62(43));
}

#[test]
fn numbers_have_six_digits() {
    assert_eq!(base62_of(0), "000000");
    assert_eq!(base62_of(61), "00000z");
    assert_eq!(base62_of(62), "000010");
    assert_eq!(base62_of(u32::MAX).len(), 6);
}

#[test]
fn a_seal_opens_only_what_it_closed_about_the_same_thing() {
    let seal = Seal::new(&[7; 32]);
    let sealed = seal.close("a", b"the answer");
    assert_eq!(seal.open("a", &sealed).unwrap(), b"the answer");
    assert!(seal.open("b", &sealed).is_err());
    assert!(Seal::new(&[8; 32]).open("a", &sealed).is_err());
    assert!(seal.open("a", &sealed[..11]).is_err());
}

//! Which keys can be registered.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{check, parse};

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn p256() -> Value {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
        "y": URL_SAFE_NO_PAD.encode(&point[33..])})
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

#[test]
fn sound_keys_are_taken() {
    let key = with(p256(), "kid", json!("a"));
    assert_eq!(check(&set(&[key.clone(), with(p256(), "kid", json!("b"))])), Ok(()));
    assert_eq!(parse(&set(&[key])).unwrap()[0].algorithms, [jsonwebtoken::Algorithm::ES256]);
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    assert!(!pair.as_der().unwrap().as_ref().is_empty());
    let components = aws_lc_rs::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let rsa = json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(&components.n),
        "e": URL_SAFE_NO_PAD.encode(&components.e)});
    assert_eq!(check(&set(&[rsa])), Ok(()));
    // RFC 8037, appendix A.2.
    let ed25519 = json!({"kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    assert_eq!(check(&set(&[ed25519])), Ok(()));
}

// Row T11 of the attacks.
#[test]
fn weak_broken_and_private_keys_are_refused() {
    let number = |bits: usize| URL_SAFE_NO_PAD.encode(vec![0xff; bits / 8]);
    let rsa = |bits: usize, e: &str| json!({"kty": "RSA", "n": number(bits), "e": e});
    let refused = |keys: &[Value]| assert!(check(&set(keys)).is_err(), "{keys:?}");
    refused(&[rsa(1024, "AQAB")]);
    refused(&[rsa(2040, "AQAB")]);
    refused(&[rsa(8192, "AQAB")]);
    refused(&[rsa(2048, "AQ")]);
    refused(&[rsa(2048, "Ag")]);
    refused(&[json!({"kty": "RSA", "e": "AQAB"})]);
    // 2,048 bits of length, but the first are zero.
    let zeros = URL_SAFE_NO_PAD.encode([vec![0; 128], vec![0xff; 128]].concat());
    refused(&[json!({"kty": "RSA", "n": zeros, "e": "AQAB"})]);
    // On no curve.
    let off = URL_SAFE_NO_PAD.encode([1; 32]);
    refused(&[with(with(p256(), "x", json!(off)), "y", json!(off))]);
    refused(&[with(p256(), "x", json!(URL_SAFE_NO_PAD.encode([0; 32])))]);
    refused(&[with(p256(), "crv", json!("P-384"))]);
    refused(&[with(p256(), "crv", json!("secp256k1"))]);
    refused(&[with(p256(), "y", json!(""))]);
    refused(&[with(p256(), "d", json!(off))]);
    refused(&[json!({"kty": "oct", "k": "c2VjcmV0"})]);
    refused(&[with(p256(), "alg", json!("HS256"))]);
    refused(&[with(p256(), "alg", json!("RS256"))]);
    refused(&[with(p256(), "use", json!("enc"))]);
    refused(&[p256(), p256()]);
    refused(&[with(p256(), "kid", json!("a")), with(p256(), "kid", json!("a"))]);
    refused(&[with(p256(), "kid", json!(7))]);
    refused(&[]);
    refused(&vec![p256(); 11]);
    for text in ["", "{}", "[]", "{\"keys\": {}}", "{\"keys\": [1]}"] {
        assert!(check(text).is_err(), "{text}");
    }
}

//! What is read and what is not, with the examples of the standards.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

fn token(header: &str, payload: &str) -> String {
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

#[test]
fn only_what_reads_in_one_way_is_read() {
    let check = |header: &str, payload: &str, expected: bool| {
        let token = token(header, payload);
        assert_eq!(Jws::parse(&token).is_some(), expected, "{header} {payload}");
    };
    let good = r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}"#;
    check(good, r#"{"sub":"a","list":[1,-2,3.5,null,true,{"x":1}]}"#, true);
    check(good, r#"{"sub":"a","sub":"b"}"#, false);
    check(good, r#"{"act":{"sub":"a","sub":"b"}}"#, false);
    check(good, r#"{"list":[{"x":1,"x":1}]}"#, false);
    check(good, r#"{"s\u0075b":"a","sub":"b"}"#, false);
    check(good, r#"{"exp":1e400}"#, false);
    check(good, r#"{"sub":"a"} x"#, false);
    check(good, "[]", false);
    check(good, &format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)), false);
    check(r#"{"alg":"none","alg":"ES256"}"#, "{}", false);
    for member in REFUSED {
        check(&format!(r#"{{"alg":"ES256","{member}":[]}}"#), "{}", false);
    }
    for text in ["", ".", "..", "a.b", "e30.e30", "e30.e30.e30.e30", "e30=.e30.", "e30.e30.e31="] {
        assert!(Jws::parse(text).is_none(), "{text}");
    }
}

#[test]
fn the_id_of_a_key_is_a_plain_word() {
    let check = |kid: Value, expected: bool| {
        let token = token(&json!({"kid": kid}).to_string(), "{}");
        assert_eq!(Jws::parse(&token).unwrap().kid().is_some(), expected, "{kid}");
    };
    check(json!("aB3-_."), true);
    check(json!("../../etc/passwd"), false);
    check(json!("x' OR 1=1 --"), false);
    check(json!("k\0"), false);
    check(json!("k\n"), false);
    check(json!("k".repeat(10_000)), false);
    check(json!(""), false);
    check(json!(1), false);
    check(json!(["k"]), false);
}

#[test]
fn only_sound_public_keys_are_read() {
    // The point of RFC 7515 appendix A.3.
    let (x, y) = (
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    );
    let check = |jwk: Value, expected: bool| {
        assert_eq!(PublicKey::parse(jwk.as_object().unwrap()).is_some(), expected, "{jwk}");
    };
    check(json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}), true);
    check(json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "d": x}), false);
    check(json!({"kty": "EC", "crv": "P-256", "x": y, "y": x}), false);
    check(json!({"kty": "EC", "crv": "P-256", "x": x}), false);
    check(json!({"kty": "EC", "crv": "P-384", "x": x, "y": y}), false);
    check(json!({"kty": "EC", "crv": "P-256", "x": format!("{x}AA"), "y": y}), false);
    check(json!({"kty": "oct", "k": x}), false);
    // RFC 8037 appendix A.2.
    let ed = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    check(json!({"kty": "OKP", "crv": "Ed25519", "x": ed}), true);
    check(json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}), false);
    check(json!({"kty": "OKP", "crv": "X25519", "x": ed}), false);
    let modulus = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xc5; bytes]);
    check(json!({"kty": "RSA", "n": modulus(256), "e": "AQAB"}), true);
    check(json!({"kty": "RSA", "n": modulus(128), "e": "AQAB"}), false);
    check(json!({"kty": "RSA", "n": modulus(1_024), "e": "AQAB"}), false);
    check(json!({"kty": "RSA", "n": modulus(256), "e": "AQ"}), false);
}

#[test]
fn a_thumbprint_is_the_one_of_the_standard() {
    // RFC 8037 appendix A.3.
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "ignored",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let key = PublicKey::parse(jwk.as_object().unwrap()).unwrap();
    assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

//! Proofs that are good, and each way in which one is not.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use serde_json::json;

use super::*;

const NOW: i64 = 1_700_000_000;
const URL: &str = "https://api.example/v1/agents";
const TOKEN: &str = "a.b.c";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A client that makes proofs.
struct Prover {
    pair: EcdsaKeyPair,
    jwk: Value,
}

impl Prover {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
        Self { pair, jwk: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}) }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature.as_ref()))
    }

    fn proof(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let mut header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk});
        let mut claims = claims();
        change(&mut header, &mut claims);
        self.sign(&header, &claims)
    }
}

fn claims() -> Value {
    let ath = encode(digest::digest(&digest::SHA256, TOKEN.as_bytes()));
    let jti = crate::id::generate();
    json!({"jti": jti, "htm": "GET", "htu": URL, "iat": NOW, "ath": ath})
}

fn verify_with(proof: &str, replay: &ReplayCache) -> Result<Proof, DpopError> {
    verify(proof, "GET", &[URL.to_owned()], Some(TOKEN), at(NOW), replay)
}

#[test]
fn a_proof_is_good_for_its_request_alone() {
    let prover = Prover::new();
    let check = |what: &str, change: &dyn Fn(&mut Value, &mut Value), expected| {
        let proof = prover.proof(change);
        let outcome = verify_with(&proof, &ReplayCache::new()).map(|_| ());
        assert_eq!(outcome, expected, "{what}");
    };
    check("good", &|_, _| {}, Ok(()));
    check("query", &|_, c| c["htu"] = format!("{URL}?a=b#c").into(), Ok(()));
    check("case", &|_, c| c["htu"] = "HTTPS://API.example:443/v1/agents".into(), Ok(()));
    check("type", &|h, _| h["typ"] = "JWT".into(), Err(DpopError::Type));
    check("access token", &|h, _| h["typ"] = "at+jwt".into(), Err(DpopError::Type));
    check("no algorithm", &|h, _| h["alg"] = "none".into(), Err(DpopError::Algorithm));
    check("symmetric", &|h, _| h["alg"] = "HS256".into(), Err(DpopError::Algorithm));
    check("other algorithm", &|h, _| h["alg"] = "PS256".into(), Err(DpopError::Signature));
    check("no key", &|h, _| h["jwk"] = Value::Null, Err(DpopError::Key));
    check("private key", &|h, _| h["jwk"]["d"] = "AA".into(), Err(DpopError::Key));
    check("other key", &|h, _| h["jwk"] = Prover::new().jwk, Err(DpopError::Signature));
    check("key of a place", &|h, _| h["jku"] = "https://evil".into(), Err(DpopError::Malformed));
    check("extension", &|h, _| h["crit"] = json!(["x"]), Err(DpopError::Malformed));
    check("method", &|_, c| c["htm"] = "POST".into(), Err(DpopError::Method));
    check("no method", &|_, c| c["htm"] = Value::Null, Err(DpopError::Method));
    check("path", &|_, c| c["htu"] = format!("{URL}/x").into(), Err(DpopError::Url));
    check("host", &|_, c| c["htu"] = "https://evil/v1/agents".into(), Err(DpopError::Url));
    check("scheme", &|_, c| c["htu"] = "http://api.example/v1/agents".into(), Err(DpopError::Url));
    check(
        "port",
        &|_, c| c["htu"] = URL.replace(".example", ".example:1").into(),
        Err(DpopError::Url),
    );
    check("user", &|_, c| c["htu"] = URL.replace("api", "u@api").into(), Err(DpopError::Url));
    check("relative", &|_, c| c["htu"] = "/v1/agents".into(), Err(DpopError::Url));
    check("old", &|_, c| c["iat"] = (NOW - 61).into(), Err(DpopError::Time));
    check("not so old", &|_, c| c["iat"] = (NOW - 60).into(), Ok(()));
    check("early", &|_, c| c["iat"] = (NOW + 11).into(), Err(DpopError::Time));
    check("a little early", &|_, c| c["iat"] = (NOW + 10).into(), Ok(()));
    check("time as text", &|_, c| c["iat"] = NOW.to_string().into(), Err(DpopError::Malformed));
    check("broken time", &|_, c| c["iat"] = json!(NOW as f64 + 0.5), Err(DpopError::Malformed));
    check("huge time", &|_, c| c["iat"] = json!(i64::MAX), Err(DpopError::Time));
    check("no token", &|_, c| c["ath"] = Value::Null, Err(DpopError::Token));
    check("other token", &|_, c| c["ath"] = encode("x").into(), Err(DpopError::Token));
    check("no id", &|_, c| c["jti"] = "".into(), Err(DpopError::Malformed));
    check("long id", &|_, c| c["jti"] = "j".repeat(257).into(), Err(DpopError::Malformed));
    check("odd nonce", &|_, c| c["nonce"] = 1.into(), Err(DpopError::Malformed));
}

#[test]
fn a_proof_tells_its_key_and_its_nonce() {
    let prover = Prover::new();
    let proof = prover.proof(|_, claims| claims["nonce"] = "n1".into());
    let proof = verify_with(&proof, &ReplayCache::new()).unwrap();
    let key = PublicKey::parse(prover.jwk.as_object().unwrap()).unwrap();
    assert_eq!((proof.jkt, proof.nonce.as_deref()), (key.thumbprint(), Some("n1")));
}

#[test]
fn a_proof_for_a_token_endpoint_needs_no_token() {
    let proof = Prover::new().proof(|_, claims| claims["ath"] = Value::Null);
    let urls = ["https://other/".to_owned(), URL.to_owned()];
    assert!(verify(&proof, "GET", &urls, None, at(NOW), &ReplayCache::new()).is_ok());
}

#[test]
fn other_algorithms_prove_too() {
    let check = |alg: &str, jwk: &Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let header = json!({"typ": "dpop+jwt", "alg": alg, "jwk": jwk});
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims().to_string()));
        let proof = format!("{signed}.{}", encode(sign(signed.as_bytes())));
        assert!(verify_with(&proof, &ReplayCache::new()).is_ok(), "{alg}");
    };
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())});
    check("EdDSA", &jwk, &|message| pair.sign(message).as_ref().to_vec());
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let n = public.modulus().big_endian_without_leading_zero();
    let e = public.exponent().big_endian_without_leading_zero();
    let jwk = json!({"kty": "RSA", "n": encode(n), "e": encode(e)});
    let sign = |encoding: &'static dyn aws_lc_rs::signature::RsaEncoding, message: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    };
    check("RS256", &jwk, &|message| sign(&RSA_PKCS1_SHA256, message));
    check("PS256", &jwk, &|message| sign(&RSA_PSS_SHA256, message));
}

#[test]
fn a_proof_is_good_once() {
    let (replay, prover) = (ReplayCache::new(), Prover::new());
    let proof = prover.proof(|_, claims| claims["jti"] = "one".into());
    assert!(verify_with(&proof, &replay).is_ok());
    assert_eq!(verify_with(&proof, &replay), Err(DpopError::Replayed));
    // The same id under another key is another proof.
    let other = Prover::new().proof(|_, claims| claims["jti"] = "one".into());
    assert!(verify_with(&other, &replay).is_ok());
    // At the very end of its life it is still known, and then it is too old.
    let late = |seconds| {
        let now = at(NOW) + Duration::from_secs(seconds);
        verify(&proof, "GET", &[URL.to_owned()], Some(TOKEN), now, &replay)
    };
    assert_eq!(late(60), Err(DpopError::Replayed));
    assert_eq!(late(61), Err(DpopError::Time));
}

#[test]
fn a_flood_of_proofs_makes_none_good_again() {
    let replay = ReplayCache::with_capacity(100);
    for second in 0..30 {
        for number in 0..20 {
            let known =
                replay.remember("key", &format!("{second}-{number}"), NOW + second, NOW + second);
            assert_eq!(known, Ok(()));
        }
    }
    for second in 0..30 {
        let again = replay.remember("key", &format!("{second}-0"), NOW + second, NOW + 30);
        assert!(matches!(again, Err(DpopError::Replayed | DpopError::Time)), "{second}");
    }
    assert!(replay.count() <= 100);
}

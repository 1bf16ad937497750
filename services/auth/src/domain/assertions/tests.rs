//! Row G5 of the attacks: what an assertion must be like.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lightning_mesh::clock::Timestamp;
use serde_json::{Value, json};

use super::{check, claimed_issuer};
use crate::domain::jwks::{self, PublicKey};

const ISSUER: &str = "https://auth.example";
const NOW: i64 = 1_700_000_000;

struct Signer {
    pair: EcdsaKeyPair,
    keys: Vec<PublicKey>,
}

impl Signer {
    fn new() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap();
        let point = pair.public_key().as_ref();
        let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..])}]});
        let keys = jwks::parse(&set.to_string()).unwrap();
        Self { pair, keys }
    }

    fn sign(&self, header: &Value, claims: &str) -> String {
        let head = URL_SAFE_NO_PAD.encode(header.to_string());
        let message = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn claims() -> Value {
    json!({"iss": "app", "sub": "app", "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": "1"})
}

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000)
}

#[test]
fn a_good_assertion_says_who_it_is() {
    let signer = Signer::new();
    for header in [
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "typ": "JWT", "kid": "k"}),
        json!({"alg": "ES256", "typ": "client-authentication+jwt"}),
    ] {
        let text = signer.sign(&header, &claims().to_string());
        assert_eq!(claimed_issuer(&text).as_deref(), Some("app"));
        let assertion = check(&text, &signer.keys, ISSUER, now()).unwrap();
        assert_eq!((assertion.issuer.as_str(), assertion.id.as_str()), ("app", "1"));
    }
}

#[test]
fn claims_are_what_they_must_be() {
    let signer = Signer::new();
    let header = json!({"alg": "ES256", "kid": "k"});
    let refused = |name: &str, value: Value| {
        let mut changed = claims();
        if value.is_null() {
            changed.as_object_mut().unwrap().remove(name);
        } else {
            changed[name] = value;
        }
        let text = signer.sign(&header, &changed.to_string());
        assert!(check(&text, &signer.keys, ISSUER, now()).is_err(), "{changed}");
    };
    for name in ["iss", "sub", "aud", "exp", "jti"] {
        refused(name, Value::Null);
    }
    refused("aud", json!([ISSUER]));
    refused("aud", json!([ISSUER, "https://other.example"]));
    refused("aud", json!(format!("{ISSUER}/oauth/token")));
    refused("aud", json!(format!("{ISSUER}/")));
    refused("exp", json!(NOW));
    refused("exp", json!(NOW - 1));
    refused("exp", json!(NOW + 7_200));
    refused("exp", json!((NOW + 60).to_string()));
    refused("exp", json!(NOW as f64 + 60.5));
    refused("nbf", json!(NOW + 60));
    refused("nbf", json!("soon"));
    refused("iat", json!(NOW + 60));
    refused("iat", json!(NOW - 7_200));
    refused("jti", json!(""));
    refused("jti", json!("x".repeat(257)));
    refused("jti", json!(7));
    // Two readers could see two subjects.
    let twice = claims().to_string().replacen('{', r#"{"sub":"other","#, 1);
    let text = signer.sign(&header, &twice);
    assert!(check(&text, &signer.keys, ISSUER, now()).is_err());
}

#[test]
fn headers_name_no_keys_and_no_other_kind() {
    let signer = Signer::new();
    let refused = |header: Value| {
        let text = signer.sign(&header, &claims().to_string());
        assert!(check(&text, &signer.keys, ISSUER, now()).is_err(), "{header}");
    };
    for algorithm in ["none", "None", "HS256", "RS256", "ES384", ""] {
        refused(json!({ "alg": algorithm }));
    }
    refused(json!({"kid": "k"}));
    refused(json!({"alg": "ES256", "kid": "other"}));
    refused(json!({"alg": "ES256", "kid": 7}));
    for kind in ["at+jwt", "dpop+jwt", "logout+jwt", "JOSE"] {
        refused(json!({"alg": "ES256", "typ": kind}));
    }
    for member in ["crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"] {
        refused(json!({"alg": "ES256", member: "x"}));
    }
    let other = Signer::new();
    let text = other.sign(&json!({"alg": "ES256"}), &claims().to_string());
    assert!(check(&text, &signer.keys, ISSUER, now()).is_err());
    for text in ["", "a", "a.b", "a.b.c", "....", "e30.e30."] {
        assert!(check(text, &signer.keys, ISSUER, now()).is_err(), "{text}");
    }
}

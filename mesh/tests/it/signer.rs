//! A signer of access tokens, as auth is one, and a client that proves to hold a key.

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lightning_mesh::clock::{Clock, ManualClock, Timestamp};
use lightning_proto::auth::v1::AccessState;
use serde_json::{Value, json};

/// The time at which tests begin, in seconds.
pub(crate) const NOW: i64 = 1_700_000_000;

pub(crate) fn clock() -> (Clock, ManualClock) {
    Clock::manual(Timestamp::from_micros(NOW * 1_000_000))
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn sha256(text: &str) -> String {
    encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// A P-256 key.
pub(crate) struct Pair {
    pair: EcdsaKeyPair,
    pub(crate) x: String,
    pub(crate) y: String,
}

impl Pair {
    fn new(document: &[u8]) -> Self {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..65]));
        Self { pair, x, y }
    }

    pub(crate) fn jwk(&self) -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": self.x, "y": self.y})
    }

    pub(crate) fn thumbprint(&self) -> String {
        let (x, y) = (&self.x, &self.y);
        sha256(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#))
    }

    /// Signs texts as they are, whatever they say.
    pub(crate) fn sign(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature.as_ref()))
    }
}

/// Signs access tokens.
pub(crate) struct Signer {
    pub(crate) pair: Pair,
    pub(crate) key: EncodingKey,
    pub(crate) jwks: String,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let document = document.unwrap();
        let pair = Pair::new(document.as_ref());
        let mut jwk = pair.jwk();
        (jwk["alg"], jwk["use"], jwk["kid"]) = ("ES256".into(), "sig".into(), kid.into());
        let key = EncodingKey::from_ec_der(document.as_ref());
        Self { pair, key, jwks: json!({ "keys": [jwk] }).to_string() }
    }

    pub(crate) fn token(&self, header: &Header, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims();
        change(&mut claims);
        jsonwebtoken::encode(header, &claims, &self.key).unwrap()
    }

    pub(crate) fn good(&self) -> String {
        self.token(&header("k1"), |_| {})
    }

    pub(crate) fn state(&self, revision: i64) -> AccessState {
        AccessState {
            revision,
            open: false,
            issuer: "http://lightning".into(),
            jwks: self.jwks.clone(),
            ..AccessState::default()
        }
    }
}

/// What a good token says.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "http://lightning", "aud": ["lightning"], "sub": "u1", "name": "Ada", "jti": "t1",
        "permissions": ["monitoring.read"], "roles": ["viewer"], "sid": "s1",
        "iat": NOW, "nbf": NOW, "exp": NOW + 300,
    })
}

pub(crate) fn header(kid: &str) -> Header {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("at+jwt".into());
    header.kid = Some(kid.into());
    header
}

/// A client that holds a key.
pub(crate) struct Prover(pub(crate) Pair);

impl Prover {
    pub(crate) fn new() -> Self {
        Self(Signer::new("own").pair)
    }

    /// A proof for a request with a token.
    pub(crate) fn proof(&self, method: &str, url: &str, token: &str) -> String {
        self.proof_but(method, url, token, |_, _| {})
    }

    pub(crate) fn proof_but(
        &self,
        method: &str,
        url: &str,
        token: &str,
        change: impl FnOnce(&mut Value, &mut Value),
    ) -> String {
        let mut header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.0.jwk()});
        let jti = lightning_mesh::id::generate();
        let mut claims =
            json!({"jti": jti, "htm": method, "htu": url, "iat": NOW, "ath": sha256(token)});
        change(&mut header, &mut claims);
        self.0.sign(&header.to_string(), &claims.to_string())
    }
}

//! One signing key: its private half, its public half, and what is prepared once for all its tokens.
//!
//! Tokens are put together here and signed with aws-lc directly: the header is encoded once per key and
//! kind of token, the claims go into one buffer, and nothing is parsed again. A key is chosen by its id
//! and its algorithm is its own: nothing in a token decides how it is checked.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::json;

use super::KeyError;
use crate::{Error, domain::keys::Algorithm, secrets};

/// What a token is (`typ`), so that none passes for another (RFC 8725 section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// RFC 9068.
    Access,
    /// OpenID Connect Core section 2.
    Id,
    /// OpenID Connect Back-Channel Logout section 2.4.
    Logout,
}

/// A key that signs and verifies. Has no `Debug`.
pub(crate) struct Material {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    /// The public half as a JWK, in JSON.
    pub(crate) jwk: String,
    pub(super) private: Private,
    public: ParsedPublicKey,
    /// The encoded header and the dot, for each kind.
    heads: [String; 3],
}

pub(super) enum Private {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 3] = [Self::Access, Self::Id, Self::Logout];

    /// The `typ` header.
    pub(crate) fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Id => "JWT",
            Self::Logout => "logout+jwt",
        }
    }
}

// === impl Material ===

impl Material {
    /// A new private key, as PKCS #8. Takes a moment for RSA: not for an async thread.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Vec<u8>, KeyError> {
        match algorithm {
            Algorithm::Es256 => {
                let rng = SystemRandom::new();
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
                    .map(|document| document.as_ref().to_vec())
            }
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).and_then(|pair| {
                let document: Pkcs8V1Der<'_> = pair.as_der()?;
                Ok(document.as_ref().to_vec())
            }),
        }
        .map_err(|_| KeyError::Generate)
    }

    /// Reads a private key as PKCS #8; `None` if it is none for the algorithm.
    pub(crate) fn read(algorithm: Algorithm, der: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok()?;
                let point = pair.public_key().as_ref();
                let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
                // An uncompressed point: 4, then x and y with 32 bytes each.
                let (x, y) = point.get(1..)?.split_at_checked(32)?;
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                // RFC 7638: the hash of the required members, in this order and without blanks.
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                let kid = thumbprint(&canonical);
                let jwk = json!({
                    "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256",
                    "kid": kid,
                });
                Some(Self::with(kid, algorithm, &jwk, Private::Ec(pair), public))
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(der).ok()?;
                if pair.public_modulus_len() < 256 {
                    return None;
                }
                let key = pair.public_key();
                let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).ok()?;
                let encode = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
                let n = encode(key.modulus().big_endian_without_leading_zero());
                let e = encode(key.exponent().big_endian_without_leading_zero());
                let kid = thumbprint(&format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#));
                let jwk = json!({
                    "kty": "RSA", "n": n, "e": e, "use": "sig", "alg": "RS256", "kid": kid,
                });
                Some(Self::with(kid, algorithm, &jwk, Private::Rsa(pair), public))
            }
        }
    }

    fn with(
        kid: String,
        algorithm: Algorithm,
        jwk: &serde_json::Value,
        private: Private,
        public: ParsedPublicKey,
    ) -> Self {
        let heads = Kind::ALL.map(|kind| {
            let header = json!({"alg": algorithm.name(), "typ": kind.typ(), "kid": kid});
            let mut head = URL_SAFE_NO_PAD.encode(header.to_string());
            head.push('.');
            head
        });
        Self { kid, algorithm, jwk: jwk.to_string(), private, public, heads }
    }

    /// A token with these claims.
    pub(crate) fn token(&self, kind: Kind, claims: &impl Serialize) -> Result<String, Error> {
        self.token_of(kind, &serde_json::to_vec(claims).map_err(|_| Error::Signing)?)
    }

    /// A token with claims that are JSON already.
    pub(super) fn token_of(&self, kind: Kind, claims: &[u8]) -> Result<String, Error> {
        let head = match kind {
            Kind::Access => &self.heads[0],
            Kind::Id => &self.heads[1],
            Kind::Logout => &self.heads[2],
        };
        let mut token = String::with_capacity(head.len() + claims.len() * 4 / 3 + 4 + 344);
        token.push_str(head);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let rng = SystemRandom::new();
        match &self.private {
            Private::Ec(pair) => {
                let signature = pair.sign(&rng, token.as_bytes()).map_err(|_| Error::Signing)?;
                token.push('.');
                URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
            }
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &rng, token.as_bytes(), &mut signature)
                    .map_err(|_| Error::Signing)?;
                token.push('.');
                URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
            }
        }
        Ok(token)
    }

    /// Whether it signed `message`.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

fn thumbprint(canonical: &str) -> String {
    URL_SAFE_NO_PAD.encode(secrets::sha256(canonical.as_bytes()))
}

//! Public keys as JWKs (RFC 7517), and the signatures they verify.
//!
//! A key is read once, with everything about it checked: its curve and the place of its point, its
//! length, and that nothing private came with it. Shared secrets are no keys here, so that no public key
//! can ever be taken for one.

use aws_lc_rs::{
    digest,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Members that a public key does not have.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// Bytes of an RSA modulus: 2048 to 4096 bits. Larger ones cost too much to be offered by strangers.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=512;
/// The exponent that everybody uses.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// How something was signed. Asymmetric ways alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::identity) enum Algorithm {
    Es256,
    EdDsa,
    Rs256,
    Ps256,
}

/// A key that can verify.
pub(in crate::identity) struct PublicKey {
    kind: Kind,
    /// The required members in their order, as RFC 7638 hashes them.
    canonical: String,
}

enum Kind {
    P256(ParsedPublicKey),
    Ed25519(ParsedPublicKey),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl Algorithm {
    /// By its name in a header.
    pub(in crate::identity) fn parse(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            _ => None,
        }
    }
}

impl PublicKey {
    /// Reads a public key; none if it is private, weak, malformed or of a kind that is not used here.
    pub(in crate::identity) fn parse(jwk: &Map<String, Value>) -> Option<Self> {
        if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
            return None;
        }
        let text = |name: &str| jwk.get(name)?.as_str();
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let (kind, canonical) = match (text("kty")?, text("crv")) {
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                let point = [&[4], &*x, &*y].concat();
                // Refuses a point that is not on the curve.
                let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
                let (x, y) = (text("x")?, text("y")?);
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                (Kind::P256(key), canonical)
            }
            ("OKP", Some("Ed25519")) => {
                let key = ParsedPublicKey::new(&ED25519, bytes("x")?).ok()?;
                let x = text("x")?;
                (Kind::Ed25519(key), format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#))
            }
            ("RSA", None) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                let sound = MODULUS.contains(&n.len()) && n.first() != Some(&0) && e == EXPONENT;
                if !sound {
                    return None;
                }
                let canonical =
                    format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text("e")?, text("n")?);
                (Kind::Rsa(RsaPublicKeyComponents { n, e }), canonical)
            }
            (_, _) => return None,
        };
        Some(Self { kind, canonical })
    }

    /// Whether it is one for ES256, the one algorithm of our access tokens.
    pub(in crate::identity) fn is_p256(&self) -> bool {
        matches!(self.kind, Kind::P256(_))
    }

    /// Whether both are the same key.
    pub(in crate::identity) fn is(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }

    /// The thumbprint (RFC 7638, SHA-256, base64url), by which a token is bound to the key.
    pub(in crate::identity) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.canonical.as_bytes()))
    }

    /// Whether the signature is one of this key over the message, by this algorithm and no other.
    pub(in crate::identity) fn verifies(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let verified = match (&self.kind, algorithm) {
            (Kind::P256(key), Algorithm::Es256) | (Kind::Ed25519(key), Algorithm::EdDsa) => {
                key.verify_sig(message, signature)
            }
            (Kind::Rsa(key), Algorithm::Rs256) => {
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            (Kind::Rsa(key), Algorithm::Ps256) => {
                key.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
            }
            (Kind::P256(_) | Kind::Ed25519(_) | Kind::Rsa(_), _) => return false,
        };
        verified.is_ok()
    }
}

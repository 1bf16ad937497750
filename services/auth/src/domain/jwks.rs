//! Public keys that others register with us (RFC 7517), to sign assertions with.
//!
//! A key is looked at when it is registered, not when somebody relies on it: RSA below 2,048 bits, points
//! that are on no curve, symmetric keys and private parts are refused. Only keys for signing count.

use std::collections::HashSet;

use aws_lc_rs::{
    rsa::PublicEncryptingKey,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

/// The most keys of a set.
const MAX_KEYS: usize = 10;
/// Members that only a private or symmetric key has.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A key that can check signatures.
#[derive(Clone)]
pub(crate) struct PublicKey {
    pub(crate) id: Option<String>,
    pub(crate) key: DecodingKey,
    /// The algorithms that may be used with it.
    pub(crate) algorithms: Vec<Algorithm>,
}

/// Whether a set can be registered, or why not.
pub(crate) fn check(text: &str) -> Result<(), &'static str> {
    let keys = parse(text)?;
    let ids: Vec<&str> = keys.iter().filter_map(|key| key.id.as_deref()).collect();
    let distinct: HashSet<&str> = ids.iter().copied().collect();
    if keys.len() > 1 && ids.len() < keys.len() {
        return Err("must give each key a kid if there are several");
    }
    if distinct.len() < ids.len() {
        return Err("must give each key another kid");
    }
    Ok(())
}

/// The keys of a set for signing. All of them have to be good ones.
pub(crate) fn parse(text: &str) -> Result<Vec<PublicKey>, &'static str> {
    let set: Value = serde_json::from_str(text).map_err(|_| "must be a JWK Set")?;
    let keys =
        set.get("keys").and_then(Value::as_array).ok_or("must be a JWK Set: {\"keys\": […]}")?;
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err("must hold 1 to 10 keys");
    }
    let for_signing = |key: &&Value| key.get("use").is_none_or(|usage| usage == "sig");
    let parsed: Vec<PublicKey> =
        keys.iter().filter(for_signing).map(public_key).collect::<Result<_, _>>()?;
    if parsed.is_empty() {
        return Err("must hold a key for signing");
    }
    Ok(parsed)
}

fn public_key(key: &Value) -> Result<PublicKey, &'static str> {
    let key = key.as_object().ok_or("must hold objects")?;
    if PRIVATE.iter().any(|member| key.contains_key(*member)) {
        return Err("must hold public keys only");
    }
    let id = match key.get("kid") {
        None => None,
        Some(Value::String(id)) if (1..=200).contains(&id.len()) => Some(id.clone()),
        Some(_) => return Err("must have key ids of 1 to 200 characters"),
    };
    let kind = key.get("kty").and_then(Value::as_str).unwrap_or_default();
    let (decoding, algorithms) = match kind {
        "RSA" => rsa(key)?,
        "EC" => elliptic(key)?,
        "OKP" => edwards(key)?,
        _ => return Err("may hold keys of the types RSA, EC and OKP"),
    };
    let algorithms = match key.get("alg").and_then(Value::as_str) {
        None => algorithms,
        Some(named) => {
            algorithms.into_iter().filter(|known| format!("{known:?}") == named).collect()
        }
    };
    if algorithms.is_empty() {
        return Err("names an algorithm that is not offered for the key");
    }
    Ok(PublicKey { id, key: decoding, algorithms })
}

type Usable = (DecodingKey, Vec<Algorithm>);

fn rsa(key: &Map<String, Value>) -> Result<Usable, &'static str> {
    const BAD: &str = "must hold RSA keys of 2,048 to 4,096 bits";
    let (n, e) = (member(key, "n").ok_or(BAD)?, member(key, "e").ok_or(BAD)?);
    let leading = n.first().map_or(8, |byte| byte.leading_zeros());
    let bits = (n.len() * 8).saturating_sub(usize::try_from(leading).unwrap_or(8));
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    if !(2048..=4096).contains(&bits) || !odd(&n) || !odd(&e) || e.len() > 4 || e == [1] {
        return Err(BAD);
    }
    let components = RsaPublicKeyComponents { n: n.as_slice(), e: e.as_slice() };
    let known: Result<PublicEncryptingKey, _> = components.try_into();
    known.map_err(|_| BAD)?;
    let algorithms = vec![
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ];
    Ok((DecodingKey::from_rsa_raw_components(&n, &e), algorithms))
}

fn elliptic(key: &Map<String, Value>) -> Result<Usable, &'static str> {
    const BAD: &str = "must hold points of the curve P-256 or P-384";
    let curve = key.get("crv").and_then(Value::as_str).ok_or(BAD)?;
    let (x, y) = (member(key, "x").ok_or(BAD)?, member(key, "y").ok_or(BAD)?);
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let (algorithm, kind, length) = match curve {
        "P-256" => (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, 32),
        "P-384" => (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, 48),
        _ => return Err(BAD),
    };
    if x.len() != length || y.len() != length || ParsedPublicKey::new(kind, &point).is_err() {
        return Err(BAD);
    }
    Ok((DecodingKey::from_ec_der(&point), vec![algorithm]))
}

fn edwards(key: &Map<String, Value>) -> Result<Usable, &'static str> {
    const BAD: &str = "must hold points of the curve Ed25519";
    let x = member(key, "x").ok_or(BAD)?;
    let named = key.get("crv").and_then(Value::as_str) == Some("Ed25519");
    if !named || x.len() != 32 || ParsedPublicKey::new(&ED25519, &x).is_err() {
        return Err(BAD);
    }
    Ok((DecodingKey::from_ed_der(&x), vec![Algorithm::EdDSA]))
}

fn member(key: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok()
}

#[cfg(test)]
mod tests;

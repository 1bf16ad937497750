//! JWTs that somebody signs with a registered key to prove who they are (RFC 7523).
//!
//! Stricter than the RFC where looseness has been somebody's hole: the audience is the issuer as one
//! string and nothing else (an assertion for another server's token endpoint is worth nothing here), times
//! are whole numbers, the algorithm comes from the key, the header names no keys of its own, and a token of
//! another kind is refused by its type.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation};
use lightning_mesh::clock::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::jwks::PublicKey;

/// The longest life of an assertion.
const LONGEST: Duration = Duration::from_hours(1);
/// By how much the clock of whoever signs may be fast.
const LEEWAY: Duration = Duration::from_secs(10);
/// Header members that name keys or change what a signature covers.
const REFUSED: [&str; 8] = ["crit", "b64", "zip", "jwk", "jku", "x5u", "x5c", "enc"];

/// An assertion whose signature and times are right. That it comes for the first time is for whoever can
/// remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assertion {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) id: String,
    pub(crate) expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: String,
}

/// Who an assertion says that it comes from, before anything is checked: to find the keys.
pub(crate) fn claimed_issuer(text: &str) -> Option<String> {
    let payload = text.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(claims.iss)
}

/// Checks an assertion against the keys of whoever it must come from.
pub(crate) fn check(
    text: &str,
    keys: &[PublicKey],
    audience: &str,
    now: Timestamp,
) -> Result<Assertion, &'static str> {
    let (algorithm, id) = header(text)?;
    let mut fitting = keys.iter().filter(|key| {
        let named = id.is_none() || key.id.is_none() || key.id == id;
        named && key.algorithms.contains(&algorithm)
    });
    let claims = fitting
        .find_map(|key| {
            let mut validation = Validation::new(algorithm);
            // Times and audience are checked below, with types that the library lets pass.
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            validation.validate_aud = false;
            jsonwebtoken::decode::<Claims>(text, &key.key, &validation).ok()
        })
        .ok_or("the assertion is not signed with a registered key, or lacks a claim")?
        .claims;
    let at = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let expires_at = at(claims.exp);
    if claims.aud != audience {
        return Err("the audience of the assertion must be the issuer, as one string");
    }
    if expires_at <= now || expires_at > now + LONGEST + LEEWAY {
        return Err("the assertion has expired, or lives longer than an hour");
    }
    if claims.nbf.is_some_and(|from| at(from) > now + LEEWAY) {
        return Err("the assertion is not good yet");
    }
    if claims.iat.is_some_and(|made| at(made) > now + LEEWAY || at(made) < now.before(LONGEST)) {
        return Err("the assertion was made in the future or more than an hour ago");
    }
    if !(1..=256).contains(&claims.jti.len()) {
        return Err("the assertion must have a jti of 1 to 256 bytes");
    }
    Ok(Assertion { issuer: claims.iss, subject: claims.sub, id: claims.jti, expires_at })
}

/// The algorithm and the key id that the header names.
fn header(text: &str) -> Result<(Algorithm, Option<String>), &'static str> {
    const BAD: &str = "the assertion is not a signed JWT";
    let header = text.split('.').next().ok_or(BAD)?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| BAD)?;
    let header: Map<String, Value> = serde_json::from_slice(&header).map_err(|_| BAD)?;
    if REFUSED.iter().any(|member| header.contains_key(*member)) {
        return Err("the header of the assertion names what is not supported");
    }
    let kind = header.get("typ").map(|kind| kind.as_str().unwrap_or("?").to_ascii_lowercase());
    if !kind.as_deref().is_none_or(|kind| matches!(kind, "jwt" | "client-authentication+jwt")) {
        return Err("the assertion is a token of another kind");
    }
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(BAD)?;
    let algorithm = algorithm.parse().map_err(|_| BAD)?;
    let id = header.get("kid").map(|id| id.as_str().ok_or(BAD)).transpose()?;
    Ok((algorithm, id.map(str::to_owned)))
}

#[cfg(test)]
mod tests;

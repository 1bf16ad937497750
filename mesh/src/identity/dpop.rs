//! Proofs of possession (DPoP, RFC 9449): whoever presents a token shows that they hold the key it is
//! bound to, so that a token that was stolen is worth nothing.
//!
//! The same check serves the ports, where a proof comes with an access token, and auth's token endpoint,
//! where one comes with a request for a token. Proofs that were seen are remembered for as long as they
//! would be good, in this process and within bounds ([`ReplayCache`]); replicas do not tell each other,
//! which leaves a stolen proof a minute at another replica, for the same URL and token. Nonces are read
//! and handed on: asking for one is the business of who checks.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Uri;
use serde_json::Value;

use super::jose::{Algorithm, Jws, PublicKey};
use crate::clock::Timestamp;

mod replay;

pub use replay::ReplayCache;

/// The algorithms of proofs, as `dpop_signing_alg_values_supported` and challenges name them.
pub const ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "RS256", "PS256"];
/// Seconds for which a proof is good once it was made.
pub const LIFETIME: i64 = 60;
/// Seconds that a proof may be ahead of our clock.
pub const SKEW: i64 = 10;

/// The `typ` of a proof.
const TYPE: &str = "dpop+jwt";
/// The longest proof that is looked at, in bytes; an RSA key and signature of 4096 bits fit.
const MAX_PROOF: usize = 8 * 1024;
/// The longest id of a proof, in bytes.
const MAX_JTI: usize = 256;

/// A proof that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of the key (RFC 7638), as `cnf.jkt` names it.
    pub jkt: String,
    /// The id of the proof.
    pub jti: String,
    /// The nonce that the proof repeats.
    pub nonce: Option<String>,
}

/// What is wrong with a proof. The text may be shown to whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    /// It is no JWS, is too long, or a claim is missing or of the wrong kind.
    #[error("the DPoP proof is malformed")]
    Malformed,
    /// It is a token of another kind.
    #[error("the typ of a DPoP proof is dpop+jwt")]
    Type,
    /// It is signed in a way that is not accepted.
    #[error("the DPoP proof must be signed with ES256, EdDSA, RS256 or PS256")]
    Algorithm,
    /// The key is missing, private, weak or of another kind.
    #[error("the DPoP proof must carry a sound public key in jwk, and nothing private")]
    Key,
    /// The key did not sign it.
    #[error("the signature of the DPoP proof is wrong")]
    Signature,
    /// It is for another HTTP method.
    #[error("htm of the DPoP proof is not the method of this request")]
    Method,
    /// It is for another address.
    #[error("htu of the DPoP proof is not the address of this request")]
    Url,
    /// It is too old or from the future.
    #[error("iat of the DPoP proof is not now; make a new proof for each request")]
    Time,
    /// It belongs to another access token, or to none.
    #[error("ath of the DPoP proof is not the hash of this access token")]
    Token,
    /// It was used before.
    #[error("the DPoP proof was used before; make a new one for each request")]
    Replayed,
}

/// Checks a proof (RFC 9449 section 4.3) for a request with `method` to any of `urls`, which comes with
/// `access_token` unless it asks for one. A proof that passes is remembered and does not pass again.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(
    proof: &str,
    method: &str,
    urls: &[String],
    access_token: Option<&str>,
    now: Timestamp,
    replay: &ReplayCache,
) -> Result<Proof, DpopError> {
    if proof.len() > MAX_PROOF {
        return Err(DpopError::Malformed);
    }
    let jws = Jws::parse(proof).ok_or(DpopError::Malformed)?;
    if jws.header("typ") != Some(TYPE) {
        return Err(DpopError::Type);
    }
    let algorithm = jws.header("alg").and_then(Algorithm::parse).ok_or(DpopError::Algorithm)?;
    let key = jws.header.get("jwk").and_then(Value::as_object).and_then(PublicKey::parse);
    let key = key.ok_or(DpopError::Key)?;
    let text = |name: &str| jws.payload.get(name).and_then(Value::as_str);
    // What costs nothing comes before the signature, which does.
    if text("htm") != Some(method) {
        return Err(DpopError::Method);
    }
    let htu = text("htu").and_then(normal).ok_or(DpopError::Url)?;
    if !urls.iter().filter_map(|url| normal(url)).any(|url| url == htu) {
        return Err(DpopError::Url);
    }
    let made = jws.payload.get("iat").and_then(Value::as_i64).ok_or(DpopError::Malformed)?;
    let now = now.as_seconds();
    if made > now.saturating_add(SKEW) || made.saturating_add(LIFETIME) < now {
        return Err(DpopError::Time);
    }
    if let Some(token) = access_token {
        let hash = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes()));
        if text("ath") != Some(&hash) {
            return Err(DpopError::Token);
        }
    }
    let jti = text("jti").filter(|jti| (1..=MAX_JTI).contains(&jti.len()));
    let jti = jti.ok_or(DpopError::Malformed)?.to_owned();
    let nonce = match jws.payload.get("nonce") {
        None => None,
        Some(nonce) => Some(nonce.as_str().ok_or(DpopError::Malformed)?.to_owned()),
    };
    if !jws.is_signed_by(&key, algorithm) {
        return Err(DpopError::Signature);
    }
    let jkt = key.thumbprint();
    replay.remember(&jkt, &jti, made, now)?;
    Ok(Proof { jkt, jti, nonce })
}

/// An address as it is compared: scheme and host in lower case, without the usual port, query and
/// fragment. None if it is not an http address of a host.
fn normal(url: &str) -> Option<String> {
    let uri: Uri = url.split('#').next()?.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let host = authority.host().to_ascii_lowercase();
    let port = authority.port_u16().filter(|port| *port != usual);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{host}{port}{}", uri.path()))
}

#[cfg(test)]
mod tests;

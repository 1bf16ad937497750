//! Signed JSON (JWS, RFC 7515), read strictly: what two readers could read differently is refused.
//!
//! A library reads what a token says about itself and then asks whether that was allowed. Here nothing
//! of the header chooses how it is checked: the caller brings the key and the algorithm, and a header
//! that names a key, a place of one, an extension or a compression is refused before any work is done.
//! Objects with a key twice are refused, since another reader might take the other value. There is no
//! encryption here and no other form than the compact one.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

mod key;

pub(super) use key::{Algorithm, PublicKey};

/// Header members that would choose the key or the reading, which is not the token's to do.
const REFUSED: [&str; 10] =
    ["crit", "b64", "zip", "enc", "jku", "x5u", "x5c", "x5t", "x5t#S256", "cty"];
/// The longest id of a key.
const MAX_KID: usize = 128;

/// A token that was taken apart and not yet believed.
pub(super) struct Jws<'a> {
    pub(super) header: Map<String, Value>,
    pub(super) payload: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart; none if it is not exactly three parts of base64url, of which the first two
    /// are objects without a key twice, or if its header says more than it may.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let header = object(header)?;
        if REFUSED.iter().any(|name| header.contains_key(*name)) {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { header, payload: object(payload)?, signed, signature })
    }

    /// A member of the header that is a text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    /// The id of the key, if it looks like one.
    pub(super) fn kid(&self) -> Option<&str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let kid = self.header("kid")?;
        ((1..=MAX_KID).contains(&kid.len()) && kid.bytes().all(plain)).then_some(kid)
    }

    /// Whether this key has signed the token by this algorithm.
    pub(super) fn is_signed_by(&self, key: &PublicKey, algorithm: Algorithm) -> bool {
        key.verifies(algorithm, self.signed.as_bytes(), &self.signature)
    }
}

/// The `typ` that the header of a token claims, for choosing whose business the token is.
pub(super) fn type_of(token: &str) -> Option<String> {
    let header = object(token.split('.').next()?)?;
    Some(header.get("typ")?.as_str()?.to_owned())
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Strict>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?.0 {
        Value::Object(object) => Some(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            None
        }
    }
}

/// JSON whose objects have each key once.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON in which no object has a key twice")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests;

//! The claims about a user: those that scopes stand for and those that the `claims` parameter names
//! (OpenID Connect Core sections 5.1, 5.4 and 5.5).
//!
//! A claim that we do not have is left out, also when it is called essential: that says how much the
//! client would like it, not that the login fails. What `acr` asks for is the
//! authorization endpoint's business.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::domain::{principals::Principal, users::User};

/// The claims that we may give, for the metadata.
pub(crate) const CLAIMS: [&str; 19] = [
    "acr",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "email",
    "email_verified",
    "exp",
    "groups",
    "iat",
    "iss",
    "name",
    "nonce",
    "org_id",
    "preferred_username",
    "sid",
    "sub",
    "updated_at",
];

/// The most members that a `claims` parameter may have in each of its parts.
const MAX_CLAIMS: usize = 100;

/// The `claims` parameter, read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Requested {
    #[serde(default)]
    pub(crate) id_token: BTreeMap<String, Option<Wish>>,
    #[serde(default)]
    pub(crate) userinfo: BTreeMap<String, Option<Wish>>,
}

/// How one claim is asked for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Wish {
    #[serde(default)]
    pub(crate) essential: bool,
    #[serde(default)]
    pub(crate) value: Option<Value>,
    #[serde(default)]
    pub(crate) values: Option<Vec<Value>>,
}

// === impl Wish ===

impl Wish {
    /// Whether a value is one of those that are asked for.
    fn fits(&self, found: &Value) -> bool {
        self.value.as_ref().is_none_or(|value| value == found)
            && self.values.as_ref().is_none_or(|values| values.contains(found))
    }
}

// === impl Requested ===

impl Requested {
    /// Reads the parameter; what is wrong with it otherwise.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "claims must be a JSON object with id_token and userinfo";
        // Without this, a list would be read as the values of the members in order.
        let read: Value = serde_json::from_str(text).map_err(|_| WRONG)?;
        if !read.is_object() {
            return Err(WRONG);
        }
        let read: Self = serde_json::from_value(read).map_err(|_| WRONG)?;
        if read.id_token.len() > MAX_CLAIMS || read.userinfo.len() > MAX_CLAIMS {
            return Err("claims names more than 100 claims");
        }
        Ok(read)
    }

    /// Reads the parameter as a session keeps it; one that does not read asks for nothing.
    pub(crate) fn kept(text: Option<&str>) -> Self {
        text.and_then(|text| Self::parse(text).ok()).unwrap_or_default()
    }
}

/// The claims for these scopes and wishes. `sub` and whatever describes the token itself are not among
/// them. `requested` is the part of [`Requested`] for the place where the claims go.
pub(crate) fn claims_for(
    user: &User,
    principal: &Principal,
    scopes: &[String],
    requested: &BTreeMap<String, Option<Wish>>,
    email_is_proven: bool,
) -> Map<String, Value> {
    let has = |scope: &str| scopes.iter().any(|held| held == scope);
    let mut claims = Map::new();
    for (name, scope, value) in known(user, principal, email_is_proven) {
        let is_wished = requested
            .get(name)
            .is_some_and(|wish| wish.as_ref().is_none_or(|wish| wish.fits(&value)));
        if has(scope) || is_wished {
            claims.insert(name.to_owned(), value);
        }
    }
    claims
}

/// All that is known of a user: the claim, the scope that stands for it, the value.
fn known(
    user: &User,
    principal: &Principal,
    email_is_proven: bool,
) -> Vec<(&'static str, &'static str, Value)> {
    let mut known = vec![
        ("name", "profile", json!(user.name())),
        ("preferred_username", "profile", json!(user.username)),
        ("updated_at", "profile", json!(user.updated_at.as_seconds())),
        ("groups", "groups", json!(principal.groups)),
        ("org_id", "organization", json!(principal.organization_id)),
    ];
    if !user.email.is_empty() {
        known.push(("email", "email", json!(user.email)));
        known.push(("email_verified", "email", json!(email_is_proven)));
    }
    known
}

#[cfg(test)]
mod tests;

//! The claims about a user: those that scopes stand for and those that the `claims` parameter names
//! (OpenID Connect Core sections 5.1, 5.4 and 5.5).
//!
//! A claim that we do not have is left out, also when it is called essential: that says how much the
//! client would like it, not that the login fails. The exception is `acr`, which the authorization
//! endpoint looks at before anybody logs in; `Requested` tells it what is asked for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::domain::{principals::Principal, users::User};

/// The scopes that stand for claims or for behaviour, and for no permission.
pub(crate) const SCOPES: [&str; 6] =
    ["openid", "profile", "email", "groups", "organization", "offline_access"];

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
        let read: Self = serde_json::from_str(text)
            .map_err(|_| "claims must be a JSON object with id_token and userinfo")?;
        if read.id_token.len() > MAX_CLAIMS || read.userinfo.len() > MAX_CLAIMS {
            return Err("claims names more than 100 claims");
        }
        Ok(read)
    }

    /// Reads the parameter as a session keeps it; one that does not read asks for nothing.
    pub(crate) fn kept(text: Option<&str>) -> Self {
        text.and_then(|text| Self::parse(text).ok()).unwrap_or_default()
    }

    /// The classes of authentication that are asked for (`acr`), and whether one of them is a must.
    pub(crate) fn acr(&self) -> (Vec<String>, bool) {
        let Some(Some(wish)) = self.id_token.get("acr") else {
            return (Vec::new(), false);
        };
        let named = wish.value.iter().chain(wish.values.iter().flatten());
        let classes = named.filter_map(|value| value.as_str().map(str::to_owned)).collect();
        (classes, wish.essential)
    }

    /// The user that must be the one who logs in (section 5.5.1), if one is named.
    pub(crate) fn sub(&self) -> Option<&str> {
        [&self.id_token, &self.userinfo]
            .into_iter()
            .find_map(|part| part.get("sub")?.as_ref()?.value.as_ref()?.as_str())
    }
}

/// The claims for these scopes and wishes. `sub` and whatever describes the token itself are not among
/// them. `requested` is the part of [`Requested`] for the place where the claims go.
pub(crate) fn claims_for(
    user: &User,
    principal: &Principal,
    scopes: &[String],
    requested: &BTreeMap<String, Option<Wish>>,
) -> Map<String, Value> {
    let has = |scope: &str| scopes.iter().any(|held| held == scope);
    let mut claims = Map::new();
    for (name, scope, value) in known(user, principal) {
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
fn known(user: &User, principal: &Principal) -> Vec<(&'static str, &'static str, Value)> {
    let mut known = vec![
        ("name", "profile", json!(user.name())),
        ("preferred_username", "profile", json!(user.username)),
        ("updated_at", "profile", json!(user.updated_at.as_seconds())),
        ("groups", "groups", json!(principal.groups)),
        ("org_id", "organization", json!(principal.organization_id)),
    ];
    if !user.email.is_empty() {
        known.push(("email", "email", json!(user.email)));
        known.push(("email_verified", "email", json!(false)));
    }
    known
}

#[cfg(test)]
mod tests;

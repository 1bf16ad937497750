//! Access tokens (RFC 9068): reading one, which is done once, and holding it against the present, which
//! is done each time.
//!
//! A claim that is there must be of its kind. One that is not does not count as absent, and a token that
//! says when it begins in words is no token without a beginning.

use std::sync::Arc;

use lightning_proto::mesh::v1::ErrorReason;
use serde_json::{Map, Value};

use super::{expired_token, invalid_token};
use crate::{
    clock::Timestamp,
    fault::Fault,
    identity::{
        Caller,
        access::Access,
        jose::{Algorithm, Jws, PublicKey},
    },
};

/// The `typ` of an access token.
pub(super) const TYPE: &str = "at+jwt";
/// The audience of a token that is good everywhere.
const EVERYWHERE: &str = "lightning";
/// Seconds that a token may be ahead of our clock.
const NOT_BEFORE_LEEWAY: i64 = 30;
/// The longest chain of actors.
const MAX_ACTORS: usize = 4;
/// The most audiences of one token.
const MAX_AUDIENCES: usize = 32;
/// Who can be the subject of an access token. Services and the local admin have none.
const SUBJECTS: [&str; 5] = ["user", "api-key", "service-account", "agent", "client"];

/// A token that auth has signed.
pub(super) struct AccessToken {
    pub(super) caller: Caller,
    /// The thumbprint of the key that whoever shows the token must prove to hold.
    pub(super) jkt: Option<String>,
    kid: String,
    key: Arc<PublicKey>,
    issuer: String,
    audiences: Vec<String>,
    id: Option<String>,
    /// From when until when it is good, in seconds.
    not_before: i64,
    expires: i64,
}

impl AccessToken {
    /// Reads a token and verifies its signature. The key is chosen by its id among those that auth
    /// publishes, and the algorithm by the key.
    pub(super) fn read(token: &str, access: &Access) -> Option<Self> {
        let jws = Jws::parse(token)?;
        let expected = jws.header("typ") == Some(TYPE) && jws.header("alg") == Some("ES256");
        if !expected || jws.header.contains_key("jwk") {
            return None;
        }
        let kid = jws.kid()?;
        let key = access.keys.get(kid)?;
        if !jws.is_signed_by(key, Algorithm::Es256) {
            return None;
        }
        let claims = Claims(&jws.payload);
        let issued = claims.seconds("iat")??;
        Some(Self {
            caller: claims.caller()?,
            jkt: claims.binding()?,
            kid: kid.to_owned(),
            key: key.clone(),
            issuer: claims.text("iss")??,
            audiences: claims.audiences()?,
            id: claims.text("jti")?,
            not_before: claims.seconds("nbf")?.map_or(issued, |begin| begin.max(issued)),
            expires: claims.seconds("exp")??,
        })
    }

    /// Whether the token is good now, and for this service.
    pub(super) fn check(
        &self,
        access: &Access,
        now: Timestamp,
        service: &str,
    ) -> Result<(), Fault> {
        let trusted = access.keys.get(&self.kid).is_some_and(|key| key.is(&self.key));
        let now = now.as_seconds();
        let begun = self.not_before <= now.saturating_add(NOT_BEFORE_LEEWAY);
        if !trusted || self.issuer != access.issuer || !begun {
            return Err(invalid_token());
        }
        if now >= self.expires {
            return Err(expired_token());
        }
        let session = self.caller.session_id.as_deref();
        if access.has_revoked(session, self.id.as_deref()) || access.stopped(&self.caller).is_some()
        {
            return Err(invalid_token());
        }
        let for_us =
            |audience: &String| audience == EVERYWHERE || access.is_resource_of(audience, service);
        if !self.audiences.iter().any(for_us) {
            return Err(Fault::unauthenticated(ErrorReason::TokenInvalid)
                .message("the token is for another resource; ask for one that is for this service")
                .with("service", service));
        }
        Ok(())
    }
}

/// The claims of a token. What returns an option of an option has none outside for a claim of another
/// kind, and none inside for a claim that is not there.
struct Claims<'a>(&'a Map<String, Value>);

#[expect(clippy::option_option, reason = "absent and wrong are not the same")]
impl Claims<'_> {
    fn text(&self, name: &str) -> Option<Option<String>> {
        match self.0.get(name) {
            None => Some(None),
            Some(value) => Some(Some(value.as_str()?.to_owned())),
        }
    }

    /// A time in whole seconds since 1970: neither a text nor a fraction nor before that.
    fn seconds(&self, name: &str) -> Option<Option<i64>> {
        match self.0.get(name) {
            None => Some(None),
            Some(value) => Some(Some(value.as_i64().filter(|seconds| *seconds >= 0)?)),
        }
    }

    fn texts(&self, name: &str) -> Option<Vec<String>> {
        let Some(value) = self.0.get(name) else { return Some(Vec::new()) };
        value.as_array()?.iter().map(|item| Some(item.as_str()?.to_owned())).collect()
    }

    fn audiences(&self) -> Option<Vec<String>> {
        let audiences = match self.0.get("aud")? {
            Value::String(one) => vec![one.clone()],
            Value::Array(_) => self.texts("aud")?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        (audiences.len() <= MAX_AUDIENCES).then_some(audiences)
    }

    /// The key that the token is bound to. Bound in a way that is not known here is not unbound.
    fn binding(&self) -> Option<Option<String>> {
        match self.0.get("cnf") {
            None => Some(None),
            Some(confirmation) => {
                let confirmation = confirmation.as_object().filter(|members| members.len() == 1)?;
                Some(Some(confirmation.get("jkt")?.as_str()?.to_owned()))
            }
        }
    }

    /// Who acts for the subject, from the outermost `act`, who acts now, inwards.
    fn actors(&self) -> Option<Vec<String>> {
        let mut actors = Vec::new();
        let mut next = self.0.get("act");
        while let Some(act) = next {
            let act = act.as_object().filter(|_| actors.len() < MAX_ACTORS)?;
            actors.push(subject(act.get("sub")?.as_str()?)?);
            next = act.get("act");
        }
        Some(actors)
    }

    fn caller(&self) -> Option<Caller> {
        // Its words are in the permissions already; here it only must be a text.
        self.text("scope")?;
        let subject = subject(&self.text("sub")??)?;
        let name = self.text("name")?.unwrap_or_default();
        let mut caller = Caller::new(subject, name, self.texts("permissions")?);
        caller.roles = self.texts("roles")?;
        caller.groups = self.texts("groups")?;
        caller.session_id = self.text("sid")?;
        caller.organization_id = self.text("org_id")?.unwrap_or_default();
        caller.client_id = self.text("client_id")?;
        caller.actors = self.actors()?;
        caller.reach = self.texts("reach")?;
        caller.acr = self.text("acr")?;
        caller.auth_time = self.seconds("auth_time")?;
        Some(caller)
    }
}

/// Users are named by their bare id in a token.
fn subject(sub: &str) -> Option<String> {
    match sub.split_once(':') {
        None if sub.is_empty() => None,
        None => Some(format!("user:{sub}")),
        Some((kind, id)) => (SUBJECTS.contains(&kind) && !id.is_empty()).then(|| sub.to_owned()),
    }
}

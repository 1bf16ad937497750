//! Clients between the contract and the domain.

use std::time::Duration;

use lightning_mesh::{clock::Timestamp, etag, fault::Fault, json, mask::Mask};
use lightning_proto::auth::v1 as pb;
use serde_json::Value;

use crate::{
    Error,
    domain::clients::{AUTHORIZATION_CODE, Client, ClientAuth, REFRESH_TOKEN, metadata::Metadata},
};

/// What an update may name.
const ALLOWED: [&str; 15] = [
    "name",
    "token_endpoint_auth_method",
    "redirect_uris",
    "post_logout_redirect_uris",
    "grant_types",
    "scopes",
    "jwks",
    "jwks_uri",
    "backchannel_logout_uri",
    "id_token_signed_response_alg",
    "require_pushed_authorization_requests",
    "dpop_bound_access_tokens",
    "first_party",
    "disabled",
    "etag",
];
/// What only we say.
const OUTPUT_ONLY: [&str; 8] = [
    "id",
    "organization_id",
    "client_secret",
    "self_registered",
    "declared",
    "secrets",
    "create_time",
    "update_time",
];
/// How long a replaced secret lives on unless something else is said, and at most.
const GRACE: Duration = Duration::from_hours(24);
const LONGEST_GRACE: Duration = Duration::from_hours(30 * 24);

/// A change that was asked for: which fields, and their new values.
pub(crate) struct Update {
    pub(crate) id: String,
    pub(crate) etag: String,
    mask: Mask,
    new: Metadata,
    /// The fields that are present, for a request without mask.
    given: pb::Client,
}

// === impl Update ===

impl Update {
    fn has(&self, field: &str, is_present: bool) -> bool {
        if self.mask.is_empty() { is_present } else { self.mask.has(field) }
    }

    /// What a client had, with the new values in it, and whether it is shut out.
    pub(crate) fn onto(self, mut old: Metadata, disabled: bool) -> (Metadata, bool) {
        let given = &self.given;
        let has_method = !given.token_endpoint_auth_method.is_empty();
        let has = [
            self.has("name", !given.name.is_empty()),
            self.has("token_endpoint_auth_method", has_method),
            self.has("redirect_uris", !given.redirect_uris.is_empty()),
            self.has("post_logout_redirect_uris", !given.post_logout_redirect_uris.is_empty()),
            self.has("grant_types", !given.grant_types.is_empty()),
            self.has("scopes", !given.scopes.is_empty()),
            self.has("jwks", given.jwks.is_some()),
            self.has("jwks_uri", !given.jwks_uri.is_empty()),
            self.has("backchannel_logout_uri", !given.backchannel_logout_uri.is_empty()),
            self.has(
                "id_token_signed_response_alg",
                !given.id_token_signed_response_alg.is_empty(),
            ),
            self.has(
                "require_pushed_authorization_requests",
                given.require_pushed_authorization_requests,
            ),
            self.has("dpop_bound_access_tokens", given.dpop_bound_access_tokens),
            self.has("first_party", given.first_party),
        ];
        let disabled = if self.has("disabled", given.disabled) { given.disabled } else { disabled };
        let new = self.new;
        let [
            name,
            auth,
            redirects,
            logouts,
            grants,
            scopes,
            jwks,
            jwks_uri,
            back,
            alg,
            par,
            dpop,
            own,
        ] = has;
        take(name, &mut old.name, new.name);
        take(auth, &mut old.auth, new.auth);
        take(redirects, &mut old.redirect_uris, new.redirect_uris);
        take(logouts, &mut old.post_logout_redirect_uris, new.post_logout_redirect_uris);
        take(grants, &mut old.grant_types, new.grant_types);
        take(scopes, &mut old.scopes, new.scopes);
        take(jwks, &mut old.jwks, new.jwks);
        take(jwks_uri, &mut old.jwks_uri, new.jwks_uri);
        take(back, &mut old.backchannel_logout_uri, new.backchannel_logout_uri);
        take(alg, &mut old.id_token_alg, new.id_token_alg);
        take(par, &mut old.require_par, new.require_par);
        take(dpop, &mut old.dpop_bound, new.dpop_bound);
        take(own, &mut old.first_party, new.first_party);
        (old, disabled)
    }
}

fn take<T>(has: bool, old: &mut T, new: T) {
    if has {
        *old = new;
    }
}

/// A client that is to be.
pub(crate) fn metadata(client: pb::Client) -> Result<Metadata, Error> {
    let method = client.token_endpoint_auth_method.as_str();
    let auth = match method {
        "" => ClientAuth::SecretBasic,
        named => ClientAuth::parse(named).ok_or_else(|| {
            Error::client_field(
                "token_endpoint_auth_method",
                "must be client_secret_basic, client_secret_post, private_key_jwt or none",
            )
        })?,
    };
    let grant_types = match client.grant_types.is_empty() {
        true => vec![AUTHORIZATION_CODE.to_owned(), REFRESH_TOKEN.to_owned()],
        false => client.grant_types,
    };
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let alg = some(client.id_token_signed_response_alg);
    Ok(Metadata {
        name: client.name.trim().to_owned(),
        auth,
        jwks: client.jwks.map(|set| Value::Object(json::from_struct(&set)).to_string()),
        jwks_uri: some(client.jwks_uri),
        redirect_uris: client.redirect_uris,
        post_logout_redirect_uris: client.post_logout_redirect_uris,
        grant_types,
        scopes: client.scopes,
        backchannel_logout_uri: some(client.backchannel_logout_uri),
        id_token_alg: alg.unwrap_or_else(|| "ES256".to_owned()),
        require_par: client.require_pushed_authorization_requests,
        dpop_bound: client.dpop_bound_access_tokens,
        first_party: client.first_party,
    })
}

pub(crate) fn update(request: pb::UpdateClientRequest) -> Result<Update, Fault> {
    let mask = Mask::parse(request.update_mask.as_ref(), &ALLOWED, &OUTPUT_ONLY)?;
    let given = request.client.unwrap_or_default();
    let (id, etag) = (given.id.clone(), given.etag.clone());
    let new = metadata(given.clone())?;
    Ok(Update { id, etag, mask, new, given })
}

/// How long the secret before lives on.
pub(crate) fn grace<E>(period: Option<Result<Duration, E>>) -> Result<Duration, Error> {
    let Some(period) = period else {
        return Ok(GRACE);
    };
    let grace = period.ok().filter(|grace| *grace <= LONGEST_GRACE);
    grace.ok_or_else(|| Error::client_field("grace_period", "must be 0 to 30 days"))
}

/// A client, together with its secret if it was made just now.
pub(crate) fn client(client: &Client, secret: Option<String>, now: Timestamp) -> pb::Client {
    let jwks = client.jwks.as_ref().and_then(|set| serde_json::from_str::<Value>(set).ok());
    let alive = client.secrets.iter().filter(|secret| {
        let expires = secret.expires_at;
        expires.is_none_or(|expires| now < expires)
    });
    pb::Client {
        id: client.id.clone(),
        name: client.name.clone(),
        organization_id: client.organization_id.clone(),
        token_endpoint_auth_method: client.auth.name().to_owned(),
        client_secret: secret.unwrap_or_default(),
        redirect_uris: client.redirect_uris.clone(),
        post_logout_redirect_uris: client.post_logout_redirect_uris.clone(),
        grant_types: client.grant_types.clone(),
        scopes: client.scopes.clone(),
        jwks: jwks.map(json::to_struct),
        jwks_uri: client.jwks_uri.clone().unwrap_or_default(),
        backchannel_logout_uri: client.backchannel_logout_uri.clone().unwrap_or_default(),
        id_token_signed_response_alg: client.id_token_alg.clone(),
        require_pushed_authorization_requests: client.require_par,
        dpop_bound_access_tokens: client.dpop_bound,
        first_party: client.first_party,
        disabled: client.disabled,
        self_registered: client.dynamic,
        declared: client.declared,
        secrets: alive
            .map(|secret| pb::ClientSecret {
                create_time: Some(secret.created_at.to_proto()),
                expire_time: secret.expires_at.map(Timestamp::to_proto),
            })
            .collect(),
        create_time: Some(client.created_at.to_proto()),
        update_time: Some(client.updated_at.to_proto()),
        etag: etag::of(client.revision),
    }
}

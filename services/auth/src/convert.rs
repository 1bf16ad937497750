//! Between the contract and the domain: what came is checked here, with the paths of the fields that
//! are wrong, and what goes out is written here.

use std::{collections::BTreeMap, time::Duration};

use lightning_mesh::{
    clock::Timestamp, config::Secret, etag, fault::Fault, filter::Filter, idempotency::Key,
    identity::Caller, mask::Mask, page::Page,
};
use lightning_proto::auth::v1 as pb;

use crate::{
    Error,
    domain::{
        Violations,
        api_keys::{self as keys, ApiKey, KeyText, MAX_ADDRESSES, MAX_NAME},
        clients::{JWT_BEARER, OWN_CLIENT},
        codes::{Asked, Demand},
        is_line,
        keys::{Algorithm, KeyState},
        permissions,
        policies::PolicySet,
        sessions::Session,
        users::{Change, Draft, User},
    },
    error::CredentialError,
    logic::{
        api_keys::{self, Verified},
        keys::ShownKey,
        sessions::Tokens,
        users::Profile,
    },
    oidc::{error::OauthResult, form::Form},
    store::{Slice, Snapshot},
};

pub(crate) mod audit;
pub(crate) mod clients;
pub(crate) mod directory;
mod factors;
mod paged;
pub(crate) mod policies;

pub(crate) use factors::{account_change, factor};
pub(crate) use paged::page_of;

/// The orders of every list here, the default first.
const ORDERS: [&str; 2] = ["create_time desc", "create_time"];
/// The longest life of an API key that is asked for: 100 years.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);
/// A page of a list and what it is filtered by.
pub(crate) struct List {
    pub(crate) page: Page,
    pub(crate) filter: Filter,
}

/// A change that was asked for.
pub(crate) struct Update {
    pub(crate) id: String,
    pub(crate) etag: String,
    pub(crate) change: Change,
}

/// A login. Has no `Debug`: the code is a secret.
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: Secret,
    pub(crate) code: String,
}

// === impl List ===

impl List {
    pub(crate) fn parse(
        page_size: i32,
        page_token: &str,
        order_by: &str,
        filter: &str,
        fields: &[&str],
    ) -> Result<Self, Fault> {
        let page = Page::parse(page_size, page_token, order_by, filter, &ORDERS)?;
        Ok(Self { page, filter: Filter::parse(filter, fields)? })
    }

    /// What to read: one more than is shown, to know whether there is more.
    pub(crate) fn slice(&self) -> Slice {
        Slice {
            after: self.page.after(),
            newest_first: self.page.order() == ORDERS[0],
            limit: i64::try_from(self.page.size() + 1).unwrap_or(i64::MAX),
        }
    }

    /// Cuts off what was read too much; answers the token of the next page.
    pub(crate) fn cut<T>(&self, items: &mut Vec<T>, key: impl Fn(&T) -> (i64, String)) -> String {
        let more = items.len() > self.page.size();
        items.truncate(self.page.size());
        let last = items.last().map(key);
        self.page.next(more, last.as_ref().map(|(time, id)| (*time, id.as_str())))
    }
}

/// A login: name and password, neither of them empty, and perhaps the code of a second factor.
pub(crate) fn login(request: pb::LoginRequest) -> Result<Login, Error> {
    let mut wrong = Violations::default();
    let name_fits = (1..=300).contains(&request.username.len());
    wrong.check(name_fits, "username", "must be a user name or an e-mail address");
    wrong.check(!request.password.is_empty(), "password", "must not be empty");
    let (name, password) = (request.username, Secret::new(request.password));
    wrong.finish(Login { name, password, code: request.otp }).map_err(Error::user_invalid)
}

/// A user who is to be, and the password.
pub(crate) fn registration(request: pb::RegisterRequest) -> Result<(Draft, Secret), Error> {
    let (name, email) = (&request.username, &request.email);
    let mut draft = Draft::try_new(name, email, &request.display_name, request.roles)
        .map_err(Error::user_invalid)?;
    draft.organization_id = Some(request.organization_id).filter(|id| !id.is_empty());
    Ok((draft, Secret::new(request.password)))
}

pub(crate) fn update(request: pb::UpdateUserRequest) -> Result<Update, Fault> {
    let allowed = ["display_name", "email", "roles", "disabled", "username"];
    let output_only = ["id", "create_time", "update_time", "etag", "organization_id"];
    let mask = Mask::parse(request.update_mask.as_ref(), &allowed, &output_only)?;
    let user = request.user.unwrap_or_default();
    let has = |field: &str, is_present: bool| {
        if mask.is_empty() { is_present } else { mask.has(field) }
    };
    let roles = has("roles", !user.roles.is_empty()).then_some(user.roles);
    // `*` replaces what can be replaced; the user name is not part of that unless it is given.
    let names_username = has("username", !user.username.is_empty()) && !user.username.is_empty();
    let change = Change {
        username: names_username.then_some(user.username),
        email: has("email", !user.email.is_empty()).then_some(user.email),
        display_name: has("display_name", !user.display_name.is_empty())
            .then_some(user.display_name),
        roles,
        disabled: has("disabled", user.disabled).then_some(user.disabled),
    };
    Ok(Update { id: user.id, etag: user.etag, change })
}

pub(crate) fn demand(request: &pb::AuthorizeRequest, may_redirect: bool) -> Result<Demand, Error> {
    let asked = Asked {
        response_type: &request.response_type,
        client_id: &request.client_id,
        redirect_uri: &request.redirect_uri,
        state: &request.state,
        scope: &request.scope,
        challenge: &request.code_challenge,
        challenge_method: &request.code_challenge_method,
    };
    Demand::try_new(&asked, may_redirect)
        .map_err(|wrong| Error::Credential(CredentialError::AuthorizationInvalid(wrong.0)))
}

/// A key that is to be. `now` is what `ttl` counts from.
pub(crate) fn api_key_draft(
    request: pb::CreateApiKeyRequest,
    now: Timestamp,
) -> Result<api_keys::Draft, Error> {
    let mut wrong = Violations::default();
    let name = request.name.trim().to_owned();
    wrong.check(
        is_line(&name, 1, MAX_NAME),
        "name",
        "must have 1 to 200 characters and no control characters",
    );
    wrong.check(
        request.expire_time.is_none() || request.ttl.is_none(),
        "ttl",
        "and expire_time are two ways to say the same; give one of them",
    );
    let given = request.expire_time.as_ref().map(Timestamp::from_proto);
    let lived = request.ttl.map(|ttl| Duration::try_from(ttl).ok().map(|ttl| now + ttl));
    let expires_at = given.or(lived);
    let fits = |expires: Option<Timestamp>| {
        expires.is_some_and(|expires| now < expires && expires <= now + LONGEST)
    };
    let field = if request.ttl.is_some() { "ttl" } else { "expire_time" };
    wrong.check(expires_at.is_none_or(fits), field, "must be in the future and within 100 years");
    let few = request.allowed_addresses.len() <= MAX_ADDRESSES;
    wrong.check(few, "allowed_addresses", "may name at most 50 addresses");
    let addresses = if few { keys::addresses(&request.allowed_addresses) } else { Ok(Vec::new()) };
    let allowed_addresses = addresses.unwrap_or_else(|bad| {
        let text = format!("names {bad:?}, which is neither an address nor a network");
        wrong.check(false, "allowed_addresses", &text);
        Vec::new()
    });
    let (scopes, expires_at) = (request.scopes, expires_at.flatten());
    let account = Some(request.service_account_id).filter(|id| !id.is_empty());
    let draft = api_keys::Draft { name, scopes, allowed_addresses, expires_at, account };
    wrong.finish(draft).map_err(|wrong| Error::Credential(CredentialError::ApiKeyInvalid(wrong.0)))
}

/// What tells a repetition of a request; takes the `request_id` out of it.
pub(crate) fn repeat(
    caller: &Caller,
    request: &mut pb::CreateApiKeyRequest,
) -> Result<Option<Key>, Fault> {
    let request_id = std::mem::take(&mut request.request_id);
    Key::of(caller, "CreateApiKey", request_id, request)
}

pub(crate) fn user(user: User) -> pb::User {
    pb::User {
        id: user.id.into(),
        username: user.username,
        email: user.email,
        display_name: user.display_name,
        roles: user.roles,
        organization_id: user.organization_id,
        disabled: user.disabled,
        create_time: Some(user.created_at.to_proto()),
        update_time: Some(user.updated_at.to_proto()),
        etag: etag::of(user.revision),
    }
}

pub(crate) fn tokens(tokens: Tokens) -> pb::TokenResponse {
    pb::TokenResponse {
        token_type: tokens.token_type().to_owned(),
        access_token: tokens.access_token,
        expires_in: tokens.expires_in,
        refresh_token: tokens.refresh_token,
        scope: tokens.scope,
        id_token: tokens.id_token,
        issued_token_type: tokens.issued_token_type.to_owned(),
    }
}

/// A request for tokens as the form that it is over HTTP.
pub(crate) fn token_form(request: &pb::IssueTokenRequest) -> OauthResult<Form> {
    let client_id = match request.client_id.as_str() {
        "" if request.client_assertion.is_empty() && request.grant_type != JWT_BEARER => OWN_CLIENT,
        id => id,
    };
    let once = [
        ("grant_type", request.grant_type.as_str()),
        ("code", &request.code),
        ("redirect_uri", &request.redirect_uri),
        ("client_id", client_id),
        ("code_verifier", &request.code_verifier),
        ("refresh_token", &request.refresh_token),
        ("scope", &request.scope),
        ("client_secret", &request.client_secret),
        ("client_assertion_type", &request.client_assertion_type),
        ("client_assertion", &request.client_assertion),
        ("device_code", &request.device_code),
        ("assertion", &request.assertion),
        ("subject_token", &request.subject_token),
        ("subject_token_type", &request.subject_token_type),
        ("actor_token", &request.actor_token),
        ("actor_token_type", &request.actor_token_type),
        ("requested_token_type", &request.requested_token_type),
    ];
    let resources = request.resource.iter().map(|one| ("resource", one.as_str()));
    let audiences = request.audience.iter().map(|one| ("audience", one.as_str()));
    Form::of(once.into_iter().chain(resources).chain(audiences))
}

pub(crate) fn profile(profile: Profile) -> pb::UserInfo {
    let (preferred_username, email) =
        profile.user.map(|user| (user.username, user.email)).unwrap_or_default();
    pb::UserInfo {
        sub: profile.subject,
        name: profile.name,
        preferred_username,
        email,
        roles: profile.roles,
        permissions: profile.permissions,
    }
}

pub(crate) fn session(session: Session, current: Option<&str>) -> pb::Session {
    pb::Session {
        current: current == Some(session.id.as_str()),
        id: session.id.into(),
        user_id: session.user_id.into(),
        client_id: session.client_id,
        create_time: Some(session.created_at.to_proto()),
        refresh_time: Some(session.refreshed_at.to_proto()),
        expire_time: Some(session.expires_at.to_proto()),
    }
}

/// A key, together with its text if it was made just now.
pub(crate) fn api_key(key: &ApiKey, text: Option<&KeyText>) -> pb::ApiKey {
    pb::ApiKey {
        id: key.id.to_string(),
        name: key.name.clone(),
        user_id: key.owner.user_id().map(ToString::to_string).unwrap_or_default(),
        service_account_id: key.owner.account_id().map(ToString::to_string).unwrap_or_default(),
        allowed_addresses: key.allowed_addresses.clone(),
        suffix: key.suffix.clone(),
        prefix: key.prefix.clone(),
        key: text.map(|text| text.expose().to_owned()).unwrap_or_default(),
        scopes: key.scopes.clone(),
        expire_time: key.expires_at.map(Timestamp::to_proto),
        last_use_time: key.used_at.map(Timestamp::to_proto),
        create_time: Some(key.created_at.to_proto()),
    }
}

pub(crate) fn verified(verified: Verified) -> pb::VerifyApiKeyResponse {
    let Verified { key, owner, permissions } = verified;
    let is_users = key.owner.user_id().is_some();
    let reach = permissions::reach(&key.scopes);
    pb::VerifyApiKeyResponse {
        api_key_id: key.id.into(),
        user_id: if is_users { key.owner.id().to_owned() } else { String::new() },
        owner_subject: if is_users { String::new() } else { owner.subject.full() },
        name: key.name,
        roles: owner.roles,
        permissions,
        expire_time: key.expires_at.map(Timestamp::to_proto),
        organization_id: owner.organization_id,
        groups: owner.groups,
        allowed_addresses: key.allowed_addresses,
        reach,
    }
}

fn policy_set(set: &PolicySet) -> pb::PolicySet {
    pb::PolicySet {
        organization_id: set.organization_id.clone(),
        version: set.version,
        text: set.text.clone(),
    }
}

pub(crate) fn signing_key(key: ShownKey) -> pb::SigningKey {
    let state = match key.state {
        KeyState::Published => pb::SigningKeyState::Published,
        KeyState::Active => pb::SigningKeyState::Active,
        KeyState::Retired => pb::SigningKeyState::Retired,
    };
    pb::SigningKey {
        kid: key.times.kid,
        algorithm: key.times.algorithm.name().to_owned(),
        state: state.into(),
        create_time: Some(key.times.created_at.to_proto()),
        active_time: Some(key.times.active_at.to_proto()),
        expire_time: key.ends_at.map(Timestamp::to_proto),
    }
}

/// The algorithms that a name stands for; both if it is empty.
pub(crate) fn algorithms(name: &str) -> Result<Vec<Algorithm>, Error> {
    match (name, Algorithm::parse(name)) {
        ("", _) => Ok(Algorithm::ALL.to_vec()),
        (_, Some(algorithm)) => Ok(vec![algorithm]),
        (_, None) => Err(Error::Credential(CredentialError::AlgorithmUnknown)),
    }
}

pub(crate) fn access_state(
    snapshot: Snapshot,
    issuer: &str,
    resources: &BTreeMap<String, String>,
) -> pb::AccessState {
    pb::AccessState {
        revision: snapshot.revision,
        open: snapshot.users == 0,
        issuer: issuer.to_owned(),
        jwks: snapshot.jwks,
        revoked_session_ids: snapshot.revoked,
        resources: resources.clone().into_iter().collect(),
        revoked_token_ids: snapshot.revoked_tokens,
        stopped_subjects: snapshot.stopped,
        policy_sets: snapshot.policy_sets.iter().map(|set| policy_set(set)).collect(),
    }
}

#[cfg(test)]
mod tests;

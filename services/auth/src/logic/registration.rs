//! Clients that register themselves (RFC 7591) and look after themselves (RFC 7592).
//!
//! Whoever may register does so without anybody looking at it, so what comes of it is bounded: only grants
//! with a user, names that pages show as unverified, a quota for each address and one for all, and an end
//! for those that never get a token. A client holds its own registration token, which is good for that
//! client alone.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use lightning_mesh::{
    clock::Timestamp,
    identity::{Caller, DEFAULT_ORGANIZATION},
};

use super::Auth;
use crate::{
    audit::{Event, Outcome},
    config::DynamicRegistration,
    contract,
    domain::{
        api_keys::PREFIX as KEY_PREFIX,
        clients::{self, Client, metadata::Metadata},
    },
    oidc::error::{OauthError, OauthResult},
    secrets,
};

/// For how long registrations of an address are counted.
const WINDOW: Duration = Duration::from_hours(1);
/// The most addresses that are counted; beyond, the oldest window is forgotten.
const MAX_ADDRESSES: usize = 10_000;

/// Counts registrations by address, in this process.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<HashMap<Option<IpAddr>, (Timestamp, u32)>>);

/// A client that registered itself, with everything that it is told once.
pub(crate) struct Registered {
    pub(crate) client: Client,
    pub(crate) secret: Option<String>,
    pub(crate) registration_token: Option<String>,
}

// === impl Arrivals ===

impl Arrivals {
    /// Counts one more from an address. Fails with how long to wait if there were `most`.
    fn admit(&self, address: Option<IpAddr>, most: u32, now: Timestamp) -> Result<(), Duration> {
        // The counts are plain numbers: a panic while they were held cannot have broken them.
        let address = address.map(network);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_ADDRESSES && !counts.contains_key(&address) {
            counts.retain(|_, (since, _)| now < *since + WINDOW);
            if counts.len() >= MAX_ADDRESSES {
                let oldest = counts.iter().min_by_key(|(_, (since, _))| *since);
                if let Some(oldest) = oldest.map(|(address, _)| *address) {
                    counts.remove(&oldest);
                }
            }
        }
        let (since, count) = counts.entry(address).or_insert((now, 0));
        if now >= *since + WINDOW {
            (*since, *count) = (now, 0);
        }
        if *count >= most {
            return Err((*since + WINDOW).since(now));
        }
        *count += 1;
        Ok(())
    }
}

impl Auth {
    /// Whoever shows an initial access token: an access token of ours, or an API key.
    pub(crate) async fn registrar(&self, token: &str) -> OauthResult<Caller> {
        let refused = || OauthError::new("invalid_token", "the initial access token is not good");
        let (principal, permissions) = if token.starts_with(KEY_PREFIX) {
            let verified = self.verify_api_key(token).await.map_err(|_| refused())?;
            (verified.owner, verified.permissions)
        } else {
            let given = self.given(token, "initial access token", self.clock.now()).await;
            let given = given.map_err(|_| refused())?;
            self.authority_of(&given).await.map_err(|_| refused())?
        };
        let mut caller = Caller::new(principal.subject.full(), principal.name, permissions);
        caller.organization_id = principal.organization_id;
        Ok(caller)
    }

    /// Registers a client. `caller` is who showed an initial access token.
    pub(crate) async fn register_client(
        &self,
        caller: Option<&Caller>,
        metadata: Metadata,
        address: Option<IpAddr>,
    ) -> OauthResult<Registered> {
        let allowed = caller.is_some_and(|caller| caller.permits("clients.write"));
        match self.config.dynamic_registration() {
            DynamicRegistration::Open => {}
            DynamicRegistration::Token if allowed => {}
            DynamicRegistration::Token => {
                return Err(OauthError::new(
                    "invalid_token",
                    "registering needs an access token with the permission clients.write",
                ));
            }
            DynamicRegistration::Closed => {
                return Err(OauthError::new(
                    "access_denied",
                    "clients do not register themselves here; ask an administrator",
                ));
            }
        }
        let metadata = metadata.check_dynamic(contract::permissions()).map_err(refused)?;
        let now = self.clock.now();
        let most = self.config.dynamic_clients_per_address;
        self.clients.arrivals.admit(address, most, now).map_err(too_many)?;
        let (secret, kept) = match metadata.auth.has_secret() {
            true => {
                let (text, kept) = clients::new_secret(now);
                (Some(text), vec![kept])
            }
            false => (None, Vec::new()),
        };
        let (token, token_hash) = clients::new_registration_token();
        let organization = caller.map_or("", |caller| &caller.organization_id);
        let client = metadata.onto(Client {
            id: lightning_mesh::id::generate(),
            organization_id: match organization {
                "" => DEFAULT_ORGANIZATION.to_owned(),
                id => id.to_owned(),
            },
            secrets: kept,
            dynamic: true,
            declared: false,
            registration_hash: Some(token_hash),
            created_at: now,
            updated_at: now,
            ..Client::own()
        });
        if !self
            .store
            .insert_dynamic_client(&client, i64::from(self.config.dynamic_clients))
            .await?
        {
            return Err(too_many(WINDOW));
        }
        self.client_changed(&client.id).await;
        let subject = caller.map_or("anonymous", |caller| &caller.subject);
        let event = Event::new("client.registered", Outcome::Success, subject);
        let organization_id = client.organization_id.clone();
        let event = Event { address, organization_id, ..event };
        self.audit(&event.on("client", &client.id).with("name", &client.name));
        Ok(Registered { client, secret, registration_token: Some(token) })
    }

    /// The client whose registration token this is. One and the same error for an unknown client and a
    /// wrong token.
    pub(crate) async fn registered_client(&self, id: &str, token: &str) -> OauthResult<Client> {
        let refused = || OauthError::new("invalid_token", "the registration access token is wrong");
        let hash = secrets::hash(token);
        let client = self.store.client(id).await?.filter(|client| !client.disabled);
        let fits = |client: &Client| {
            let kept = client.registration_hash.as_ref();
            kept.is_some_and(|kept| secrets::are_equal(kept.as_bytes(), hash.as_bytes()))
        };
        client.filter(fits).ok_or_else(refused)
    }

    /// Replaces what a client registered. One that changes to a secret gets one.
    pub(crate) async fn change_registration(
        &self,
        client: Client,
        metadata: Metadata,
    ) -> OauthResult<Registered> {
        let metadata = metadata.check_dynamic(contract::permissions()).map_err(refused)?;
        let now = self.clock.now();
        let needs_secret = metadata.auth.has_secret();
        let (secret, secrets) = match (needs_secret, client.secrets.is_empty()) {
            (true, true) => {
                let (text, kept) = clients::new_secret(now);
                (Some(text), vec![kept])
            }
            (true, false) => (None, client.secrets.clone()),
            (false, _) => (None, Vec::new()),
        };
        let revision = client.revision + 1;
        let changed = metadata.onto(Client { secrets, revision, updated_at: now, ..client });
        if !self.store.update_client(&changed, now).await? {
            return Err(OauthError::invalid_request("somebody else changed the client just now"));
        }
        self.client_changed(&changed.id).await;
        let subject = format!("client:{}", changed.id);
        let event = Event::new("client.updated", Outcome::Success, subject);
        self.audit(&event.on("client", &changed.id));
        Ok(Registered { client: changed, secret, registration_token: None })
    }

    /// Deletes a client at its own wish.
    pub(crate) async fn unregister_client(&self, client: &Client) -> OauthResult<()> {
        self.store.delete_client(&client.id, self.clock.now()).await?;
        self.client_changed(&client.id).await;
        let subject = format!("client:{}", client.id);
        let event = Event::new("client.deleted", Outcome::Success, subject);
        self.audit(&event.on("client", &client.id));
        Ok(())
    }
}

/// An address as it is counted: of IPv6 a network of 64 bits, which is one customer's.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

fn too_many(wait: Duration) -> OauthError {
    OauthError {
        status: StatusCode::TOO_MANY_REQUESTS,
        retry_after: Some(wait.as_secs().max(1)),
        ..OauthError::new("temporarily_unavailable", "too many clients were registered; try later")
    }
}

fn refused(wrong: crate::domain::Violations) -> OauthError {
    let first = wrong.0.into_iter().next();
    let (field, text) = first.map_or(("", String::new()), |one| (one.field, one.text));
    let code = match field {
        "redirect_uris" | "post_logout_redirect_uris" => "invalid_redirect_uri",
        _ => "invalid_client_metadata",
    };
    OauthError::new(code, format!("{field} {text}"))
}

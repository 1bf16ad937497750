//! OAuth clients: finding them fast, and administering them.
//!
//! A client is looked up at nearly every request to an OAuth endpoint, so what was read is kept until
//! anything that decides about callers changes. The clients of the configuration stand beside those of the
//! database and win; the API shows them and changes none. Ids are global, administration is per
//! organisation: another organisation's client is not found.

use std::{collections::HashMap, sync::Arc, time::Duration};

use lightning_mesh::{
    clock::Timestamp,
    etag,
    identity::{Caller, DEFAULT_ORGANIZATION},
    task,
};
use moka::{future, sync};

use super::{Auth, registration::Arrivals};
use crate::{
    Config, Error,
    audit::{Event, Outcome},
    contract,
    domain::{
        clients::{self, Client, OWN_CLIENT, is_oidc_scope, metadata::Metadata},
        jwks::PublicKey,
        permissions,
    },
    egress::Egress,
    error::CredentialError,
    store::Slice,
};

/// The most clients that are kept in memory.
const MAX_CACHED: u64 = 10_000;
/// How long keys behind an address are kept.
const KEYS_LIVE: Duration = Duration::from_mins(5);
/// The most such sets.
const MAX_KEY_SETS: u64 = 1_000;

/// What is remembered of clients.
pub(super) struct Clients {
    declared: HashMap<String, Arc<Client>>,
    /// Each with the revision of the access state at which it was read.
    cache: sync::Cache<String, (i64, Arc<Client>)>,
    pub(super) keys: future::Cache<String, Arc<Vec<PublicKey>>>,
    pub(super) egress: Egress,
    pub(super) arrivals: Arrivals,
}

/// A client together with a secret that was made just now.
pub(crate) struct WithSecret {
    pub(crate) client: Client,
    pub(crate) secret: Option<String>,
}

// === impl Clients ===

impl Clients {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let mut declared = HashMap::new();
        let own = Client::own();
        let redirect_uris = [own.redirect_uris.clone(), config.redirect_uris.clone()].concat();
        declared.insert(OWN_CLIENT.to_owned(), Arc::new(Client { redirect_uris, ..own }));
        for client in config.declared_clients()? {
            declared.insert(client.id.clone(), Arc::new(client));
        }
        let egress = Egress::new(config.is_loopback()).map_err(Error::Egress)?;
        Ok(Self {
            declared,
            cache: sync::Cache::new(MAX_CACHED),
            keys: future::Cache::builder()
                .max_capacity(MAX_KEY_SETS)
                .time_to_live(KEYS_LIVE)
                .build(),
            egress,
            arrivals: Arrivals::default(),
        })
    }
}

impl Auth {
    /// The client with this id, unless it is shut out.
    pub(crate) async fn client(&self, id: &str) -> Result<Option<Arc<Client>>, Error> {
        if let Some(declared) = self.clients.declared.get(id) {
            return Ok(Some(declared.clone()));
        }
        // The revision first: a change in between makes what is kept look old, never a new one stale.
        let revision = self.access.revision();
        if let Some((at, client)) = self.clients.cache.get(id)
            && at == revision
        {
            return Ok(Some(client));
        }
        let Some(client) = self.store.client(id).await?.filter(|client| !client.disabled) else {
            self.clients.cache.invalidate(id);
            return Ok(None);
        };
        let client = Arc::new(client);
        self.clients.cache.insert(id.to_owned(), (revision, client.clone()));
        Ok(Some(client))
    }

    /// Keeps that a client which registered itself got a token: such clients stay.
    pub(super) fn note_client_use(&self, client: &Arc<Client>, now: Timestamp) {
        let day = Duration::from_hours(24);
        if !client.dynamic || client.used_at.is_some_and(|used| now < used + day) {
            return;
        }
        let (store, cache, id) =
            (self.store.clone(), self.clients.cache.clone(), client.id.clone());
        task::spawn("auth-client-use", async move {
            match store.client_used(&id, now).await {
                Ok(()) => cache.invalidate(&id),
                Err(error) => {
                    tracing::warn!(client_id = %id, error = %error, "the use of a client is not kept");
                }
            }
        });
    }

    /// Tells that a client changed.
    pub(super) async fn client_changed(&self, id: &str) {
        self.clients.cache.invalidate(id);
        self.access.changed().await;
    }

    /// A client of the caller's organisation.
    pub(crate) async fn client_of(&self, caller: &Caller, id: &str) -> Result<Client, Error> {
        let unknown = || {
            Error::Credential(CredentialError::ClientNotFound {
                id: id.chars().take(200).collect(),
            })
        };
        let organization = organization_of(caller)?;
        let found = match self.clients.declared.get(id) {
            Some(declared) => Some((**declared).clone()),
            None => self.store.client(id).await?,
        };
        found.filter(|client| client.organization_id == organization).ok_or_else(unknown)
    }

    /// Clients of the caller's organisation, without those of the configuration.
    pub(crate) async fn clients(
        &self,
        caller: &Caller,
        slice: &Slice,
        name: Option<&str>,
    ) -> Result<Vec<Client>, Error> {
        self.store.clients_in(slice, organization_of(caller)?, name).await
    }

    /// Makes a client; its secret is told this once.
    pub(crate) async fn create_client(
        &self,
        caller: &Caller,
        metadata: Metadata,
    ) -> Result<WithSecret, Error> {
        let organization = organization_of(caller)?.to_owned();
        let metadata = metadata.check(contract::permissions()).map_err(Error::client_invalid)?;
        may_hand_out(caller, &metadata)?;
        let now = self.clock.now();
        let (secret, kept) = match metadata.auth.has_secret() {
            true => {
                let (text, kept) = clients::new_secret(now);
                (Some(text), vec![kept])
            }
            false => (None, Vec::new()),
        };
        let client = metadata.onto(Client {
            id: lightning_mesh::id::generate(),
            organization_id: organization,
            secrets: kept,
            first_party: false,
            declared: false,
            created_at: now,
            updated_at: now,
            ..Client::own()
        });
        self.store.insert_client(&client).await?;
        self.client_changed(&client.id).await;
        let event = Event::by(caller, "client.created", Outcome::Success);
        self.audit(&event.on("client", &client.id).with("name", &client.name));
        Ok(WithSecret { client, secret })
    }

    /// Changes a client. Empty `etag`: whatever its revision is.
    pub(crate) async fn update_client(
        &self,
        caller: &Caller,
        id: &str,
        etag: &str,
        change: impl FnOnce(Metadata, bool) -> (Metadata, bool),
    ) -> Result<Client, Error> {
        let client = self.changeable(caller, id).await?;
        if !etag::matches(etag, client.revision) {
            return Err(Error::EtagMismatch);
        }
        let before = Metadata::of(&client);
        let (metadata, disabled) = change(before.clone(), client.disabled);
        let metadata = metadata.check(contract::permissions()).map_err(Error::client_invalid)?;
        if metadata.scopes != before.scopes
            || metadata.first_party != before.first_party
            || metadata.grant_types != before.grant_types
        {
            may_hand_out(caller, &metadata)?;
        }
        let now = self.clock.now();
        let secrets = match metadata.auth.has_secret() {
            true => client.secrets.clone(),
            false => Vec::new(),
        };
        let revision = client.revision + 1;
        let changed =
            metadata.onto(Client { disabled, secrets, revision, updated_at: now, ..client });
        self.keep_client(caller, "client.updated", &changed, now).await?;
        Ok(changed)
    }

    /// Gives a client a new secret; the one before lives on for `grace`.
    pub(crate) async fn rotate_client_secret(
        &self,
        caller: &Caller,
        id: &str,
        grace: Duration,
    ) -> Result<WithSecret, Error> {
        let client = self.changeable(caller, id).await?;
        if !client.auth.has_secret() {
            return Err(Error::client_field("token_endpoint_auth_method", "has no secret"));
        }
        let now = self.clock.now();
        let (text, new) = clients::new_secret(now);
        let secrets = client.with_secret(new, now + grace);
        let revision = client.revision + 1;
        let changed = Client { secrets, revision, updated_at: now, ..client };
        self.keep_client(caller, "client.secret_rotated", &changed, now).await?;
        Ok(WithSecret { client: changed, secret: Some(text) })
    }

    /// Deletes a client and ends every session that it was given.
    pub(crate) async fn delete_client(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let client = self.changeable(caller, id).await?;
        if !self.store.delete_client(&client.id, self.clock.now()).await? {
            return Err(Error::Credential(CredentialError::ClientNotFound { id: client.id }));
        }
        self.client_changed(&client.id).await;
        let event = Event::by(caller, "client.deleted", Outcome::Success);
        self.audit(&event.on("client", &client.id));
        Ok(())
    }

    async fn changeable(&self, caller: &Caller, id: &str) -> Result<Client, Error> {
        let client = self.client_of(caller, id).await?;
        if client.declared {
            Err(Error::Credential(CredentialError::ClientDeclared { id: client.id }))
        } else {
            Ok(client)
        }
    }

    async fn keep_client(
        &self,
        caller: &Caller,
        action: &'static str,
        client: &Client,
        now: Timestamp,
    ) -> Result<(), Error> {
        if !self.store.update_client(client, now).await? {
            return Err(Error::EtagMismatch);
        }
        self.client_changed(&client.id).await;
        let event = Event::by(caller, action, Outcome::Success).on("client", &client.id);
        self.audit(&event.with("disabled", client.disabled.to_string()));
        Ok(())
    }
}

fn organization_of(caller: &Caller) -> Result<&str, Error> {
    match caller.organization_id.as_str() {
        "" => Err(Error::Denied { permission: "clients.read".to_owned() }),
        id => Ok(id),
    }
}

/// Nobody gives a client what they do not hold: its scopes are what it may do in its own name, and one of
/// our own is not even asked about by its users.
fn may_hand_out(caller: &Caller, metadata: &Metadata) -> Result<(), Error> {
    let scopes: Vec<String> =
        metadata.scopes.iter().filter(|scope| !is_oidc_scope(scope)).cloned().collect();
    permissions::check_scopes(&scopes, &caller.permissions, contract::permissions())
        .map_err(Error::scope)?;
    let is_operator = caller.organization_id == DEFAULT_ORGANIZATION;
    if metadata.first_party && !(is_operator && caller.permits("auth.write")) {
        return Err(Error::Denied { permission: "auth.write".to_owned() });
    }
    Ok(())
}

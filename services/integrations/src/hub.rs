//! The hub: keeps integrations and runs their actions.
//!
//! The only place where credentials are sealed and opened. They are open for one call, in an
//! [`Access`], and checked together with the configuration whenever either changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lightning_mesh::{
    audit::Reports,
    clock::{Clock, Timestamp},
    etag,
    idempotency::Key,
    identity::{Caller, DEFAULT_ORGANIZATION},
};
use lightning_store::{Once, Outcome};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    Error,
    connectors::{Access, Registered, Registry, Work},
    domain::{Address, Change, Draft, Integration, IntegrationId, Violation},
    seal::Keyring,
    slots::Slots,
    store::{Listing, Store},
};

/// Keeps integrations and runs their actions.
pub(crate) struct Hub {
    pub(crate) store: Store,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) registry: Registry,
    pub(crate) slots: Slots,
    pub(crate) clock: Clock,
    /// Where uses of credentials are reported.
    pub(crate) reports: Reports,
}

/// What came of an action.
pub(crate) struct Ran {
    pub(crate) result: Value,
    pub(crate) latency: Duration,
}

/// How a test of a connection went.
pub(crate) struct Tested {
    pub(crate) ok: bool,
    pub(crate) message: String,
    pub(crate) latency: Duration,
}

/// A new thing, or the answer that was given when it was asked for the first time.
pub(crate) enum Made<T> {
    New(T),
    Before(Vec<u8>),
}

// === impl Hub ===

impl Hub {
    /// Creates an integration; `reply` encodes the answer that a repetition gets.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        draft: Draft,
        repeat: Option<Key>,
        reply: impl Fn(&Integration) -> Vec<u8>,
    ) -> Result<Made<Integration>, Error> {
        let unknown = |_| Error::ConnectorUnknown { known: self.registry.ids() };
        let registered = self.registry.get(&draft.connector).map_err(unknown)?;
        refuse(registered.check(&draft.config, &draft.credentials))?;
        let now = self.clock.now();
        let address = Address { organization_id: caller.organization()?.to_owned(), id: draft.id };
        refuse(check_place(&address, registered, &draft.config))?;
        let integration = Integration {
            sealed: self.seal(&address, &draft.credentials)?,
            organization_id: address.organization_id,
            id: address.id,
            name: draft.name,
            connector: draft.connector,
            config: draft.config,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        let once =
            repeat.map(|repeat| once(repeat, &self.keyring, reply(&integration))).transpose()?;
        match self.store.insert_integration(&integration, once).await? {
            Outcome::Done(_) => {}
            Outcome::Replayed(before) => return Ok(Made::Before(before)),
            Outcome::Mismatch => return Err(Error::KeyReused),
        }
        tracing::info!(
            integration_id = %integration.id,
            connector_type = integration.connector,
            caller = caller.subject,
            "integration created"
        );
        Ok(Made::New(integration))
    }

    /// The integration of an id.
    pub(crate) async fn get(
        &self,
        caller: &Caller,
        id: &IntegrationId,
    ) -> Result<Integration, Error> {
        self.store.integration(caller.organization()?, id).await
    }

    /// A page of integrations.
    pub(crate) async fn list(&self, listing: &Listing<'_>) -> Result<Vec<Integration>, Error> {
        self.store.integrations(listing).await
    }

    /// Changes an integration. Configuration and credentials are checked together as they will be.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        change: Change,
    ) -> Result<Integration, Error> {
        let mut integration = self.get(caller, &change.id).await?;
        if !etag::matches(&change.etag, integration.revision) {
            return Err(Error::EtagMismatch);
        }
        let registered = self.registry.get(&integration.connector)?;
        if change.connector.is_some_and(|connector| connector != integration.connector) {
            let fixed = Violation::new(
                "integration.connector_type",
                "cannot be changed; create a new integration",
            );
            return Err(Error::ConfigInvalid(vec![fixed]));
        }
        if let Some(name) = change.name {
            integration.name = name;
        }
        if !change.config.is_keep() || !change.credentials.is_keep() {
            // Credentials that nobody can open any more can still be replaced as a whole.
            let current = match change.credentials.touched() {
                None => Map::new(),
                Some(_) => self.open_credentials(caller, &integration)?,
            };
            let resealed = !change.credentials.is_keep();
            integration.config = change.config.apply(std::mem::take(&mut integration.config));
            let credentials = change.credentials.apply(current);
            refuse(registered.check(&integration.config, &credentials))?;
            let address = integration.address();
            refuse(check_place(&address, registered, &integration.config))?;
            if resealed {
                integration.sealed = self.seal(&address, &credentials)?;
            }
        }
        integration.updated_at = self.later(integration.updated_at);
        self.store.update_integration(&integration).await?;
        integration.revision += 1;
        registered.connector.forget(&integration.address());
        tracing::info!(integration_id = %integration.id, caller = caller.subject, "integration updated");
        Ok(integration)
    }

    /// Deletes an integration and its credentials.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        id: &IntegrationId,
        etag: &str,
    ) -> Result<(), Error> {
        let integration = self.get(caller, id).await?;
        if !etag::matches(etag, integration.revision) {
            return Err(Error::EtagMismatch);
        }
        self.store.delete_integration(&integration).await?;
        self.registry.get(&integration.connector)?.connector.forget(&integration.address());
        tracing::info!(integration_id = %id, caller = caller.subject, "integration deleted");
        Ok(())
    }

    /// Tests the connection. That the other side fails is an answer.
    pub(crate) async fn test(&self, caller: &Caller, id: &IntegrationId) -> Result<Tested, Error> {
        let (registered, access) = self.open_access(caller, id).await?;
        let _place = self.slots.take(&access.address).await?;
        let began = Instant::now();
        let outcome = registered.connector.test(&access).await;
        let latency = began.elapsed();
        match outcome {
            Ok(message) => Ok(Tested { ok: true, message, latency }),
            Err(error) if error.is_upstream() => {
                Ok(Tested { ok: false, message: error.to_string(), latency })
            }
            Err(error) => Err(error),
        }
    }

    /// Runs an action.
    pub(crate) async fn execute(
        &self,
        caller: &Caller,
        id: &IntegrationId,
        action: &str,
        payload: Map<String, Value>,
        idempotency_key: &str,
    ) -> Result<Ran, Error> {
        let (registered, access) = self.open_access(caller, id).await?;
        let payload = Value::Object(payload);
        let violations = registered.action(action)?.input.check("payload", &payload);
        if !violations.is_empty() {
            return Err(Error::PayloadInvalid(violations));
        }
        let _place = self.slots.take(&access.address).await?;
        let began = Instant::now();
        let work = Work { access: &access, action, payload, idempotency_key };
        let outcome = registered.connector.execute(work).await;
        let latency = began.elapsed();
        tracing::debug!(
            integration_id = %id,
            action,
            elapsed_ms = latency.as_millis(),
            ok = outcome.is_ok(),
            "action ran"
        );
        Ok(Ran { result: outcome?, latency })
    }

    async fn open_access(
        &self,
        caller: &Caller,
        id: &IntegrationId,
    ) -> Result<(&Registered, Access), Error> {
        let integration = self.get(caller, id).await?;
        let registered = self.registry.get(&integration.connector)?;
        let address = integration.address();
        refuse(check_place(&address, registered, &integration.config))?;
        let credentials = self.open_credentials(caller, &integration)?;
        let Integration { config, revision, .. } = integration;
        Ok((registered, Access { address, revision, config, credentials }))
    }

    fn seal(
        &self,
        address: &Address,
        credentials: &Map<String, Value>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let seal = |(name, value): (&String, &Value)| {
            let sealed = self.keyring.seal(&place(address, name), value.to_string().as_bytes())?;
            Ok((name.clone(), sealed))
        };
        credentials.iter().map(seal).collect()
    }

    /// Opens the credentials in the name of a caller, which the audit trail is told of. Where there are
    /// none, nothing is used.
    fn open_credentials(
        &self,
        caller: &Caller,
        integration: &Integration,
    ) -> Result<Map<String, Value>, Error> {
        if integration.sealed.is_empty() {
            return Ok(Map::new());
        }
        let address = integration.address();
        let open = |(name, sealed): (&String, &String)| {
            let plain = self.keyring.open_sealed(&place(&address, name), sealed)?;
            let value = serde_json::from_slice(&plain).map_err(|_| Error::CredentialsUnreadable)?;
            Ok((name.clone(), value))
        };
        let opened = integration.sealed.iter().map(open).collect::<Result<_, Error>>()?;
        self.reports.secret_used(caller, "integration", integration.id.as_str());
        Ok(opened)
    }

    /// Now, but never before what is already stored: clocks of machines differ.
    fn later(&self, than: Timestamp) -> Timestamp {
        self.clock.now().max(than)
    }
}

/// A key with its answer, as the store wants it. The fingerprint is keyed, because the request holds
/// secrets.
pub(crate) fn once(key: Key, keyring: &Keyring, reply: Vec<u8>) -> Result<Once, Error> {
    let fingerprint = keyring.fingerprint(&key.fingerprint)?;
    Ok(Once { scope: key.scope, key: key.key, fingerprint, reply })
}

/// What a sealed credential is bound to.
fn place(address: &Address, name: &str) -> String {
    let Address { organization_id, id } = address;
    if organization_id == DEFAULT_ORGANIZATION {
        // As it was before there were others.
        return format!("integration/{id}/credentials.{name}");
    }
    format!("integration/{organization_id}/{id}/credentials.{name}")
}

/// What lies on the operator's own machine is for the operator's organisation.
fn check_place(
    address: &Address,
    registered: &Registered,
    config: &Map<String, Value>,
) -> Vec<Violation> {
    if address.organization_id == DEFAULT_ORGANIZATION || !registered.connector.is_local(config) {
        return Vec::new();
    }
    let why =
        "reaches into the operator's own machine, which is for the operator's organization alone";
    vec![Violation::new("integration.config", why)]
}

fn refuse(violations: Vec<Violation>) -> Result<(), Error> {
    if violations.is_empty() { Ok(()) } else { Err(Error::ConfigInvalid(violations)) }
}

//! What auth does, one file for each resource.
//!
//! Everything here is asked in terms of the domain and answers in them; who may call a method at all
//! was decided by the gate, and what remains to be decided (one's own or another's, how much may be
//! granted) is decided here.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use lightning_mesh::{
    clock::Clock,
    identity::{Caller, dpop::ReplayCache},
    shutdown::Shutdown,
    task,
};

use crate::{
    Config, Error,
    access::Access,
    contract,
    domain::{
        permissions::{self, Role},
        sessions::Lifetime,
        users::User,
    },
    lockout::Lockout,
    passwords::Passwords,
    secrets::Seal,
    signing::Signing,
    store::Store,
};

pub(crate) mod api_keys;
pub(crate) mod browser;
pub(crate) mod claims;
pub(crate) mod client_auth;
pub(crate) mod clients;
pub(crate) mod consents;
pub(crate) mod devices;
pub(crate) mod grants;
pub(crate) mod hints;
pub(crate) mod introspection;
pub(crate) mod keys;
mod logouts;
pub(crate) mod principals;
pub(crate) mod registration;
pub(crate) mod requests;
pub(crate) mod sessions;
pub(crate) mod users;

/// How often old rows are deleted.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// The auth service.
pub(crate) struct Auth {
    config: Config,
    store: Store,
    clock: Clock,
    passwords: Passwords,
    lockout: Lockout,
    signing: Arc<Signing>,
    seal: Seal,
    access: Access,
    tally: Tally,
    clients: clients::Clients,
    /// Proofs of possession that were seen at the token endpoint.
    proofs: ReplayCache,
    /// Told when applications have to hear of a logout.
    logouts: tokio::sync::Notify,
    device_guesses: devices::Guesses,
}

#[derive(Default)]
struct Tally {
    sessions_open: AtomicI64,
    logins: AtomicU64,
    login_failures: AtomicU64,
}

// === impl Auth ===

impl Auth {
    pub(crate) async fn open(
        config: Config,
        store: Store,
        clock: Clock,
        data_dir: &Path,
    ) -> Result<Self, Error> {
        let now = clock.now();
        let (signing, seal) = keys::open(&config, &store, &clock, data_dir).await?;
        let ttl = config.access_token_ttl;
        let access = Access::open(store.clone(), clock.clone(), signing.clone(), ttl).await?;
        let passwords = Passwords::new(config.password_workers, config.password_queue);
        let tally = Tally::default();
        tally.sessions_open.store(store.open_sessions(now).await?, Ordering::Relaxed);
        let lockout = Lockout::default();
        let clients = clients::Clients::new(&config)?;
        let proofs = ReplayCache::new();
        Ok(Self {
            config,
            store,
            clock,
            passwords,
            lockout,
            signing,
            seal,
            access,
            tally,
            clients,
            proofs,
            logouts: tokio::sync::Notify::new(),
            device_guesses: devices::Guesses::default(),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The present time.
    pub(crate) fn now(&self) -> lightning_mesh::clock::Timestamp {
        self.clock.now()
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) fn signing(&self) -> &Signing {
        &self.signing
    }

    /// What `GET /api/v1/metrics` shows beside the figures of every service.
    pub(crate) fn figures(&self) -> Vec<(String, f64)> {
        // Counts far below 2^53 are exact as floating-point numbers.
        vec![
            ("users".to_owned(), self.access.users() as f64),
            ("sessions_open".to_owned(), self.tally.sessions_open.load(Ordering::Relaxed) as f64),
            ("logins_total".to_owned(), self.tally.logins.load(Ordering::Relaxed) as f64),
            (
                "login_failures_total".to_owned(),
                self.tally.login_failures.load(Ordering::Relaxed) as f64,
            ),
        ]
    }

    /// Reads the access state and the figures regularly and deletes what is old, until the shutdown.
    pub(crate) fn keep_up(self: &Arc<Self>, every: Duration, shutdown: Shutdown) {
        let auth = self.clone();
        task::spawn("auth-upkeep", async move {
            let mut ticks = tokio::time::interval(every);
            let mut forgotten = auth.clock.now();
            let unused = auth.config.dynamic_client_unused;
            loop {
                tokio::select! {
                    () = shutdown.requested() => return,
                    _ = ticks.tick() => {}
                }
                if let Err(error) = auth.tick().await {
                    tracing::warn!(error = %error, "the access state cannot be read");
                }
                if auth.clock.now().since(forgotten) >= FORGET_EVERY {
                    forgotten = auth.clock.now();
                    if let Err(error) = auth.store.forget(forgotten, unused).await {
                        tracing::warn!(error = %error, "old rows cannot be deleted");
                    }
                }
            }
        });
    }

    async fn tick(&self) -> Result<(), Error> {
        self.keep_keys().await?;
        self.access.refresh().await?;
        let open = self.store.open_sessions(self.clock.now()).await?;
        self.tally.sessions_open.store(open, Ordering::Relaxed);
        Ok(())
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime { absolute: self.config.session_lifetime, idle: self.config.session_idle }
    }
}

/// The scopes that a credential made by this caller gets: those asked for, which the caller must hold,
/// or all that the caller has. A caller who is narrower than its user passes on no more than it has.
fn scopes_for(caller: &Caller, user: &User, asked: &[String]) -> Result<Vec<String>, Error> {
    let contract = contract::permissions();
    if !asked.is_empty() {
        return permissions::check_scopes(asked, &caller.permissions, contract)
            .map_err(Error::scope);
    }
    let all = permissions::granted(&user.roles, &[], contract);
    let is_whole =
        all.iter().all(|permission| permissions::allows(&caller.permissions, permission));
    Ok(if is_whole { Vec::new() } else { caller.permissions.clone() })
}

/// Fails unless the caller holds all that the roles hold: nobody gives what they do not have.
fn may_grant(caller: &Caller, roles: &[Role]) -> Result<(), Error> {
    let granted = permissions::granted(roles, &[], contract::permissions());
    match granted
        .into_iter()
        .find(|permission| !permissions::allows(&caller.permissions, permission))
    {
        Some(permission) => Err(Error::Denied { permission }),
        None => Ok(()),
    }
}

/// Whether it is the admin of open mode.
fn is_local(caller: &Caller) -> bool {
    caller.subject == "local"
}

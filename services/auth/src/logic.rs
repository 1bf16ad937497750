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
    channel::Channel,
    clock::Clock,
    identity::{Caller, DEFAULT_ORGANIZATION, dpop::ReplayCache},
    shutdown::Shutdown,
    task,
};

use crate::{
    Config, Error,
    access::Access,
    audit::Audit,
    contract,
    domain::{permissions, sessions::Lifetime, users::User},
    error::DirectoryError,
    lockout::Lockout,
    mail::Mailer,
    passkeys::Passkeys,
    passwords::Passwords,
    secrets::Seal,
    signing::Signing,
    store::Store,
    upstream::Upstreams,
};

pub(crate) mod accounts;
pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod browser;
pub(crate) mod claims;
pub(crate) mod client_auth;
pub(crate) mod clients;
pub(crate) mod consents;
pub(crate) mod credentials;
pub(crate) mod decisions;
pub(crate) mod devices;
pub(crate) mod directory;
pub(crate) mod factors;
pub(crate) mod grants;
pub(crate) mod groups;
pub(crate) mod hints;
pub(crate) mod introspection;
pub(crate) mod keys;
mod logouts;
pub(crate) mod organizations;
pub(crate) mod passkeys;
pub(crate) mod policies;
pub(crate) mod principals;
pub(crate) mod registration;
pub(crate) mod requests;
pub(crate) mod roles;
pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod stopping;
pub(crate) mod upstream;
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
    mailer: Option<Mailer>,
    passkeys: Passkeys,
    upstreams: Upstreams,
    seal: Seal,
    access: Access,
    /// The way to the agents service, which knows whose an agent is.
    agents: Channel,
    /// The audit trail.
    audit: Audit,
    tally: Tally,
    clients: clients::Clients,
    /// Proofs of possession that were seen at the token endpoint.
    proofs: ReplayCache,
    /// Told when applications have to hear of a logout.
    logouts: tokio::sync::Notify,
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
        agents: Channel,
        audit: Audit,
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
        let mailer = config.mail.as_ref().map(Mailer::open).transpose()?;
        let passkeys = Passkeys::new(&config.issuer);
        let upstreams = Upstreams::open(&config)?;
        Ok(Self {
            config,
            store,
            clock,
            passwords,
            lockout,
            mailer,
            passkeys,
            upstreams,
            signing,
            seal,
            access,
            agents,
            audit,
            tally,
            clients,
            proofs,
            logouts: tokio::sync::Notify::new(),
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
            ("audit_events_total".to_owned(), self.audit.kept() as f64),
            ("audit_events_dropped_total".to_owned(), self.audit.dropped() as f64),
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
                    let kept_since = forgotten.before(auth.config.audit_retention);
                    if let Err(error) = auth.store.forget_events(kept_since).await {
                        tracing::warn!(error = %error, "old audit events cannot be deleted");
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

impl Auth {
    /// The scopes that a credential made by this caller gets: those asked for, which the caller must
    /// hold, or all that the caller has. A caller who is narrower than its user passes on no more than
    /// it has.
    fn scopes_for(
        &self,
        caller: &Caller,
        user: &User,
        asked: &[String],
    ) -> Result<Vec<String>, Error> {
        if !asked.is_empty() {
            return check_scopes(&user.organization_id, asked, &caller.permissions);
        }
        let all = self.principal_of(user).permissions;
        let is_whole = permissions::missing(&caller.permissions, &all).is_none();
        Ok(if is_whole { Vec::new() } else { caller.permissions.clone() })
    }
}

/// Scopes or permissions of a role, which must name something that can be held in the organisation and
/// nothing that the one who gives them does not hold. Sorted.
fn check_scopes(
    organization: &str,
    asked: &[String],
    held: &[String],
) -> Result<Vec<String>, Error> {
    let holdable =
        permissions::holdable(contract::permissions(), organization == DEFAULT_ORGANIZATION);
    permissions::check_scopes(asked, held, &holdable).map_err(Error::scope)
}

/// Fails unless the caller holds all of these: nobody gives, takes or changes what they do not have.
fn must_hold(caller: &Caller, wanted: &[String]) -> Result<(), Error> {
    match permissions::missing(&caller.permissions, wanted) {
        Some(permission) => Err(Error::Denied { permission: permission.clone() }),
        None => Ok(()),
    }
}

/// The organisation of a caller, whose things alone they see.
fn organization_of(caller: &Caller) -> Result<&str, Error> {
    match caller.organization_id.as_str() {
        "" => Err(Error::Directory(DirectoryError::NoOrganization)),
        id => Ok(id),
    }
}

/// Whether it is the admin of open mode.
fn is_local(caller: &Caller) -> bool {
    caller.subject == "local"
}

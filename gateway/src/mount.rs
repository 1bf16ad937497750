//! The registry of upstreams: what is mounted, what was refused and why.
//!
//! A path and a gRPC service belong to one owner: the contract, the gateway itself, or one upstream.
//! Whether two paths meet is asked of their templates, whatever the HTTP method, so that no request can
//! ever mean two owners. Who is mounted stays: a newcomer whose claims meet what is owned is refused as
//! a whole, and told which claim met what. If it had been mounted before, that stays too. Everything
//! that is mounted is published at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lightning_mesh::{
    Context,
    clock::{Clock, Timestamp},
    contract,
    serve::{Mount, Mounts},
    telemetry::Metrics,
};
use lightning_transcode::{Pattern, Routes};

use crate::{config, error::Error};

mod figures;

use figures::Figures;

/// Most conflicts that are shown of an upstream.
const MAX_SHOWN: usize = 50;
/// What the gateway answers itself.
const OWN_PATHS: [&str; 4] = ["/docs", "/health", "/metrics", "/openapi.json"];
/// gRPC services that every port has.
const OWN_SERVICES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];
/// Packages of this prefix are the mesh's, also those that do not exist yet.
const OWN_PACKAGES: &str = "lightning.";

/// Knows all upstreams.
pub(crate) struct Registry {
    mounts: Mounts,
    reserved: Vec<Claim>,
    clock: Clock,
    entries: Mutex<Vec<Entry>>,
    figures: Figures,
    metrics: Metrics,
}

/// One upstream as the registry knows it.
#[derive(Clone)]
pub(crate) struct Entry {
    /// As it was configured.
    pub(crate) config: config::Upstream,
    /// How it is.
    pub(crate) state: State,
    /// What is mounted of it, whatever its state is.
    pub(crate) mount: Option<Arc<Mount>>,
    /// When its descriptors were read last.
    pub(crate) read_at: Option<Timestamp>,
}

/// How an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was not reached yet.
    Pending,
    /// The newest that it offers is mounted.
    Mounted,
    /// The newest that it offers cannot be understood.
    Faulty(String),
    /// The newest that it offers meets what others own.
    Conflicting(Vec<Conflict>),
    /// It cannot be asked now.
    Unreachable(String),
}

/// Something that two want to own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// What the upstream claims.
    pub(crate) claim: String,
    /// Its method or service that claims it.
    pub(crate) claimant: String,
    /// What it meets.
    pub(crate) held: String,
    /// Who owns that.
    pub(crate) owner: String,
}

/// Some paths and who wants them for what.
struct Claim {
    pattern: Pattern,
    what: String,
    claimant: String,
    owner: String,
}

// === impl Registry ===

impl Registry {
    /// A registry of these upstreams, none of which is mounted yet.
    pub(crate) fn new(
        upstreams: &[config::Upstream],
        mounts: Mounts,
        routes: &Routes,
        context: &Context,
    ) -> Self {
        let entry = |config: &config::Upstream| Entry {
            config: config.clone(),
            state: State::Pending,
            mount: None,
            read_at: None,
        };
        let figures = Figures::new(context.metrics());
        for upstream in upstreams {
            figures.tell(&upstream.name, false, 0, 0);
        }
        Self {
            mounts,
            reserved: reserved(routes),
            clock: context.clock().clone(),
            entries: Mutex::new(upstreams.iter().map(entry).collect()),
            figures,
            metrics: context.metrics().clone(),
        }
    }

    /// Everything that is known, in the order of the configuration.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// What is mounted.
    pub(crate) fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// Mounts what an upstream offers in place of what it had mounted, unless it meets what others own.
    /// Tells whether it is mounted now.
    pub(crate) fn offer(&self, mount: Mount) -> bool {
        let mut entries = self.lock();
        let others = entries.iter().filter_map(|entry| entry.mount.as_deref());
        let others = others.filter(|other| other.name() != mount.name()).flat_map(claims);
        let conflicts = self.conflicts(&mount, &others.collect::<Vec<_>>());
        let name = mount.name().to_owned();
        let Some(entry) = entries.iter_mut().find(|entry| entry.config.name == name) else {
            return false;
        };
        entry.read_at = Some(self.clock.now());
        if conflicts.is_empty() {
            tracing::info!(
                upstream = name,
                services = mount.services().len(),
                methods = mount.methods().len(),
                routes = mount.routes().iter().count(),
                "mounted an upstream"
            );
            let methods = mount.methods().keys();
            self.metrics.learn(methods.map(|path| path.trim_start_matches('/').to_owned()));
            entry.mount = Some(Arc::new(mount));
            self.change(entry, State::Mounted);
            let mounted = entries.iter().filter_map(|entry| entry.mount.clone()).collect();
            self.mounts.publish(mounted);
            return true;
        }
        self.change(entry, State::Conflicting(conflicts));
        false
    }

    /// Notes that an upstream is there and still offers what is mounted.
    pub(crate) fn confirmed(&self, name: &str) {
        self.note(name, true, State::Mounted);
    }

    /// Notes that what an upstream offers cannot be understood.
    pub(crate) fn faulty(&self, name: &str, error: &Error) {
        self.note(name, true, State::Faulty(error.to_string()));
    }

    /// Notes that an upstream cannot be asked.
    pub(crate) fn unreachable(&self, name: &str, error: &Error) {
        self.note(name, false, State::Unreachable(error.to_string()));
    }

    fn note(&self, name: &str, was_read: bool, state: State) {
        let mut entries = self.lock();
        let Some(entry) = entries.iter_mut().find(|entry| entry.config.name == name) else {
            return;
        };
        if was_read {
            entry.read_at = Some(self.clock.now());
        }
        self.change(entry, state);
    }

    /// Changes the state, and tells about it if it is another.
    fn change(&self, entry: &mut Entry, state: State) {
        let conflicts = match &state {
            State::Conflicting(conflicts) => conflicts.len(),
            State::Pending | State::Mounted | State::Faulty(_) | State::Unreachable(_) => 0,
        };
        let routes = entry.mount.as_ref().map_or(0, |mount| mount.routes().iter().count());
        self.figures.tell(&entry.config.name, state == State::Mounted, routes, conflicts);
        if entry.state == state {
            return;
        }
        if let (State::Unreachable(_), State::Unreachable(_)) = (&entry.state, &state) {
            // The same in other words; one line in the log is enough.
            entry.state = state;
            return;
        }
        let upstream = entry.config.name.as_str();
        let kept = entry.mount.is_some();
        match &state {
            State::Pending | State::Mounted => {}
            State::Faulty(fault) => {
                tracing::error!(upstream, fault, kept, "an upstream cannot be mounted");
            }
            State::Conflicting(conflicts) => {
                for Conflict { claim, claimant, held, owner } in conflicts {
                    tracing::error!(
                        upstream,
                        kept,
                        claim,
                        claimant,
                        held,
                        owner,
                        "an upstream is refused: it claims what another owns"
                    );
                }
            }
            State::Unreachable(why) => {
                tracing::warn!(upstream, why, kept, "an upstream cannot be asked");
            }
        }
        entry.state = state;
    }

    fn conflicts(&self, mount: &Mount, others: &[Claim]) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        for service in mount.services().iter().filter(|name| name.starts_with(OWN_PACKAGES)) {
            conflicts.push(Conflict {
                claim: format!("gRPC service {service}"),
                claimant: service.clone(),
                held: format!("packages below {OWN_PACKAGES}"),
                owner: "gateway".to_owned(),
            });
        }
        for claim in claims(mount) {
            let held = self.reserved.iter().chain(others);
            for held in held.filter(|held| held.pattern.meets(&claim.pattern)) {
                if conflicts.len() >= MAX_SHOWN {
                    return conflicts;
                }
                conflicts.push(Conflict {
                    claim: claim.what.clone(),
                    claimant: claim.claimant.clone(),
                    held: held.what.clone(),
                    owner: held.owner.clone(),
                });
            }
        }
        conflicts
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a mount wants for itself.
fn claims(mount: &Mount) -> Vec<Claim> {
    let routes = of_routes(mount.routes(), |_| mount.name().to_owned());
    let services = mount.services().iter().map(|name| of_service(name, mount.name()));
    routes.chain(services).collect()
}

/// What the contract and the gateway own.
fn reserved(routes: &Routes) -> Vec<Claim> {
    let of_contract = of_routes(routes, |grpc_path| {
        let package = grpc_path.trim_start_matches('/').strip_prefix(OWN_PACKAGES);
        let word = package.and_then(|rest| rest.split('.').next());
        // What every service has, the gateway answers itself.
        word.filter(|word| *word != "telemetry").unwrap_or("gateway").to_owned()
    });
    let services = contract::services().map(|(name, word)| of_service(name, word));
    let built_in = OWN_SERVICES.into_iter().map(|name| of_service(name, "gateway"));
    let prefixes = contract::declared_prefixes();
    let prefixes = prefixes.into_iter().map(|(prefix, word)| of_prefix(&prefix, word));
    let own = OWN_PATHS.into_iter().map(|path| of_prefix(path, "gateway"));
    of_contract.chain(services).chain(built_in).chain(prefixes).chain(own).collect()
}

fn of_routes<'r>(
    routes: &'r Routes,
    owner: impl Fn(&str) -> String + 'r,
) -> impl Iterator<Item = Claim> + 'r {
    routes.iter().filter_map(move |route| {
        Some(Claim {
            pattern: Pattern::parse(route.template())?,
            what: format!("{} {}", route.http_method(), route.template()),
            claimant: route.grpc_path().trim_start_matches('/').to_owned(),
            owner: owner(route.grpc_path()),
        })
    })
}

/// A gRPC service is called at a path too.
fn of_service(name: &str, owner: &str) -> Claim {
    Claim {
        pattern: Pattern::below(&format!("/{name}")),
        what: format!("gRPC service {name}"),
        claimant: name.to_owned(),
        owner: owner.to_owned(),
    }
}

fn of_prefix(prefix: &str, owner: &str) -> Claim {
    Claim {
        pattern: Pattern::below(prefix),
        what: format!("everything below {prefix}"),
        claimant: String::new(),
        owner: owner.to_owned(),
    }
}

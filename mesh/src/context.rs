//! What a process of the mesh has once, and what each service in it is given.
//!
//! A [`Node`] is one process: it holds the mesh key, the pipes between the services it serves, the ways
//! to the others, and the task that follows auth. A [`Context`] is a node as one service sees it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use lightning_proto::auth::v1::AccessState;
use serde::Deserialize;

use crate::{
    audit::Reports,
    channel::{Addresses, ChannelConfig, Figures, Limits, Peers, PipeListener, Pipes},
    clock::Clock,
    identity::{Gate, GateError, KeyError, MeshKey, Tokens, Verifier, access::AccessWatch},
    serve::ServeConfig,
    shutdown::Shutdown,
    telemetry::Metrics,
    tls::{Certificates, Mode, Tls, TlsConfig, TlsError},
};

/// `[mesh]`: what the services of a process have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeshConfig {
    /// The file with the key that services prove themselves with: 32 random bytes, readable by its
    /// owner alone. Made in the data directory unless told; several machines need the same file.
    pub key_file: Option<PathBuf>,
    /// Where services run that are not in this process, such as `agents = "http://10.0.0.7:8001"`, or
    /// `https://…` for mutual TLS, or a list of such addresses, one for each replica. A name stands for
    /// all its addresses. What is given for a service of this process is used instead of the pipe.
    pub peers: BTreeMap<String, Addresses>,
    /// Certificates, and what ports ask of those who call.
    pub tls: TlsConfig,
    /// Limits of every listener.
    pub serve: ServeConfig,
    /// How services call each other.
    pub channel: ChannelConfig,
}

/// How a node is started.
#[derive(Debug, Clone, Default)]
pub struct NodeConfig {
    /// Where the process keeps its files.
    pub data_dir: PathBuf,
    /// `[mesh]`.
    pub mesh: MeshConfig,
    /// The words of the services that this process serves.
    pub services: Vec<&'static str>,
    /// Whether every listener of the process is on loopback, without which there is no open mode.
    pub loopback: bool,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no usable mesh key.
    #[error("the mesh key cannot be used")]
    Key(#[from] KeyError),
    /// The address of a peer is not one.
    #[error(
        "[mesh.peers] {peer} = {address:?} is not of the form \"http://host:port\" or \"https://host:port\""
    )]
    Address {
        /// The word of the peer.
        peer: String,
        /// What was configured.
        address: String,
    },
    /// The address of a peer and the mode of TLS contradict each other.
    #[error(
        "[mesh.peers] {peer} = {address:?} does not go with [mesh.tls] mode = \"{mode}\": {advice}"
    )]
    Scheme {
        /// The word of the peer.
        peer: String,
        /// What was configured.
        address: String,
        /// The mode.
        mode: Mode,
        /// What to change.
        advice: &'static str,
    },
    /// TLS cannot be used.
    #[error("TLS cannot start")]
    Tls(#[from] TlsError),
    /// A setting is outside of what it can be.
    #[error("[mesh.channel] {key} is {bounds}")]
    Bounds {
        /// The setting.
        key: &'static str,
        /// What it can be.
        bounds: &'static str,
    },
    /// A fixed access state holds keys that cannot be used.
    #[error("the access state holds keys that cannot be used")]
    Access(#[source] serde_json::Error),
}

/// One process of the mesh.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    config: NodeConfig,
    clock: Clock,
    shutdown: Shutdown,
    tokens: Tokens,
    pipes: Pipes,
    addresses: Arc<BTreeMap<String, Addresses>>,
    certificates: Certificates,
    limits: Limits,
    verifier: Arc<Verifier>,
    reports: Reports,
}

/// A node as one service sees it.
#[derive(Clone)]
pub struct Context {
    name: &'static str,
    node: Node,
    peers: Peers,
    metrics: Metrics,
}

impl Node {
    /// Starts a node that follows the auth service among its peers. Inside the runtime.
    pub fn start(config: NodeConfig, clock: Clock, shutdown: Shutdown) -> Result<Self, NodeError> {
        let default = || config.data_dir.join("mesh.key");
        let key_file = config.mesh.key_file.clone().unwrap_or_else(default);
        let key = MeshKey::load_or_create(&key_file)?;
        Self::assemble(config, clock, shutdown, &key, None)
    }

    /// Starts a node that believes a fixed access state, with a key of its own unless a file is named; for
    /// tests.
    pub(crate) fn start_with(
        config: NodeConfig,
        clock: Clock,
        shutdown: Shutdown,
        access: Option<AccessState>,
    ) -> Result<Self, NodeError> {
        let key = config.mesh.key_file.as_deref().map(MeshKey::load_or_create).transpose()?;
        Self::assemble(config, clock, shutdown, &key.unwrap_or_else(MeshKey::random), access)
    }

    fn assemble(
        config: NodeConfig,
        clock: Clock,
        shutdown: Shutdown,
        key: &MeshKey,
        access: Option<AccessState>,
    ) -> Result<Self, NodeError> {
        config.mesh.check()?;
        let certificates = Certificates::load(&config.mesh.tls, &config.services, &clock)?;
        for tls in certificates.all() {
            tls.watch(shutdown.clone());
        }
        let tokens = Tokens::new(key, clock.clone());
        let pipes = Pipes::new(config.services.iter().copied());
        let addresses = Arc::new(config.mesh.peers.clone());
        // The process asks auth in its own name, not in that of one of its services; unless it must prove
        // the name by a certificate, which only services have.
        let first = config.services.first().filter(|_| config.mesh.tls.is_on());
        let name = first.copied().unwrap_or("mesh");
        let limits = Limits::default();
        let peers = Peers::new(
            name,
            tokens.clone(),
            pipes.clone(),
            addresses.clone(),
            certificates.of(name).cloned(),
            config.mesh.channel.clone(),
            (limits.clone(), Figures::default()),
        );
        let auth = peers.channel("auth");
        let access = match access {
            Some(state) => AccessWatch::fixed(state).map_err(NodeError::Access)?,
            None => AccessWatch::follow(auth.clone(), shutdown.clone()),
        };
        let reports = Reports::start(auth.clone(), clock.clone(), shutdown.clone());
        let verifier = Arc::new(Verifier::new(tokens.clone(), access, auth, clock.clone()));
        Ok(Self(Arc::new(Inner {
            config,
            clock,
            shutdown,
            tokens,
            pipes,
            addresses,
            certificates,
            limits,
            verifier,
            reports,
        })))
    }

    /// The node as the service of this word sees it.
    pub fn context(&self, name: &'static str) -> Context {
        let node = &*self.0;
        let metrics = Metrics::new(name, node.clock.clone());
        let peers = Peers::new(
            name,
            node.tokens.clone(),
            node.pipes.clone(),
            node.addresses.clone(),
            node.certificates.of(name).cloned(),
            node.config.mesh.channel.clone(),
            (node.limits.clone(), Figures::shown_by(&metrics)),
        );
        node.reports.register(&metrics);
        if let Some(tls) = node.certificates.of(name) {
            tls.register(&metrics);
        }
        Context { name, node: self.clone(), peers, metrics }
    }
}

impl Context {
    /// The word of the service.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The way to the audit trail.
    pub fn reports(&self) -> &Reports {
        &self.node.0.reports
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.node.0.clock
    }

    /// The shutdown signal. Every loop listens to it.
    pub fn shutdown(&self) -> &Shutdown {
        &self.node.0.shutdown
    }

    /// The ways to other services, calling in the name of this one.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The figures of this service.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where the process keeps its files. A service's own are below a folder of its name.
    pub fn data_dir(&self) -> &Path {
        &self.node.0.config.data_dir
    }

    /// Limits of the listeners.
    pub fn serve_config(&self) -> &ServeConfig {
        &self.node.0.config.mesh.serve
    }

    /// How this service calls others.
    pub fn channel_config(&self) -> &ChannelConfig {
        &self.node.0.config.mesh.channel
    }

    /// Where a peer was configured to be; nowhere when it is in this process or unknown.
    pub fn peer_addresses(&self, peer: &str) -> impl Iterator<Item = &str> {
        self.node.0.addresses.get(peer).into_iter().flat_map(Addresses::iter)
    }

    /// A gate for the named services of the contract (the gateway names all of them).
    pub fn gate<'a>(&self, services: impl IntoIterator<Item = &'a str>) -> Result<Gate, GateError> {
        let node = &*self.node.0;
        let gate = Gate::new(self.name, services, node.verifier.clone(), node.config.loopback)?;
        let gate = gate.with_reports(node.reports.clone());
        Ok(gate.certificates_needed(node.config.mesh.tls.is_on()))
    }

    /// The certificates of this service; none when TLS is off.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.node.0.certificates.of(self.name)
    }

    /// The listening end of this service's pipe; once.
    pub fn pipe(&self) -> Option<PipeListener> {
        self.node.0.pipes.listen(self.name)
    }
}

/// Addresses must be ones, and must not ask for what the mode of TLS does not give.
impl MeshConfig {
    /// Says what is wrong beyond the types.
    pub fn check(&self) -> Result<(), NodeError> {
        let out_of = |key, bounds| Err(NodeError::Bounds { key, bounds });
        if !(1..=5).contains(&self.channel.retry.attempts) {
            return out_of("retry.attempts", "1 to 5");
        }
        if self.channel.retry.budget_percent > 100 {
            return out_of("retry.budget_percent", "0 to 100");
        }
        if !(1..=64).contains(&self.channel.connections) {
            return out_of("connections", "1 to 64");
        }
        if self.channel.breaker.success_rate > 100 {
            return out_of("breaker.success_rate", "0 to 100");
        }
        check_peers(self)
    }
}

fn check_peers(mesh: &MeshConfig) -> Result<(), NodeError> {
    for (peer, addresses) in &mesh.peers {
        let peer = peer.clone();
        if let Some(address) = addresses.faulty() {
            return Err(NodeError::Address { peer, address: address.to_owned() });
        }
        for (address, parsed) in addresses.iter().zip(addresses.parsed()) {
            let mode = mesh.tls.mode;
            let advice = match (mode, parsed.is_secure()) {
                (Mode::Off, true) => {
                    "https needs certificates; choose \"permissive\" or \"strict\""
                }
                (Mode::Strict, false) => "plain text is refused in this mode; write https",
                (Mode::Off, false) | (Mode::Permissive, _) | (Mode::Strict, true) => continue,
            };
            return Err(NodeError::Scheme { peer, address: address.to_owned(), mode, advice });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path) -> NodeConfig {
        NodeConfig { data_dir: folder.to_owned(), ..NodeConfig::default() }
    }

    #[tokio::test]
    async fn a_node_makes_its_key_in_the_data_directory() {
        let folder = tempfile::tempdir().unwrap();
        let (_trigger, shutdown) = Shutdown::new();
        Node::start(config(folder.path()), Clock::system(), shutdown).unwrap();
        assert_eq!(std::fs::read(folder.path().join("mesh.key")).unwrap().len(), 32);
    }

    #[tokio::test]
    async fn a_peer_without_a_proper_address_keeps_a_node_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        for address in
            ["", "agents:8001", "ftp://agents:8001", "http://agents:8001/x", "http://u@a:1"]
        {
            let mut config = config(folder.path());
            config.mesh.peers.insert("agents".to_owned(), address.into());
            let (_trigger, shutdown) = Shutdown::new();
            let error = Node::start(config, Clock::system(), shutdown).err().unwrap();
            assert!(error.to_string().contains("http://host:port"), "{error}");
        }
    }

    #[tokio::test]
    async fn addresses_and_the_mode_of_tls_must_agree() {
        let check = |address: &str, mode: Mode, expected: &str| {
            let mut config = MeshConfig::default();
            config.tls.mode = mode;
            config.peers.insert("agents".to_owned(), address.into());
            let said = check_peers(&config).err().map(|error| error.to_string());
            let fits = said.as_ref().map_or(expected.is_empty(), |said| said.contains(expected));
            assert!(fits, "{address} {mode:?}: {said:?}");
        };
        check("http://agents:8001", Mode::Off, "");
        check("https://agents:8001", Mode::Off, "https needs certificates");
        check("http://agents:8001", Mode::Permissive, "");
        check("https://agents:8001", Mode::Permissive, "");
        check("http://agents:8001", Mode::Strict, "write https");
        check("https://agents:8001", Mode::Strict, "");
        let folder = tempfile::tempdir().unwrap();
        let mut config = NodeConfig { services: vec!["agents"], ..config(folder.path()) };
        config.mesh.tls.mode = Mode::Strict;
        let (_trigger, shutdown) = Shutdown::new();
        let error = Node::start(config, Clock::system(), shutdown).err().unwrap();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(source.contains("`ca` must name a file"), "{error}: {source}");
    }
}

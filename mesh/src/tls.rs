//! Mutual TLS between the services of a mesh that run as separate processes.
//!
//! Each service has a certificate of its own, with one SPIFFE name in it: `spiffe://<trust domain>/<word>`.
//! It shows the same one when it is called and when it calls. SPIFFE allows one name in a certificate, so
//! a process that serves several words holds several certificates: the paths under `[mesh.tls]` may hold
//! `{service}`, which stands for the word.
//!
//! A port speaks TLS and plain text at once, told apart by the first byte. Whether plain text is answered
//! is the [`Mode`]'s business. A client certificate is never demanded in the handshake, so that a browser
//! or a probe gets an answer that says what is missing; what was shown becomes a [`PeerIdentity`] in the
//! extensions of each request, and the gate compares it with what the mesh token claims.
//!
//! TLS 1.3 alone, and no session is ever resumed: a resumed session would not look at certificates again.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use serde::Deserialize;
use tokio::sync::Notify;

use crate::clock::Clock;

mod accept;
mod authority;
mod connect;
mod figures;
mod material;
mod spiffe;
mod verify;
mod watch;

pub(crate) use accept::Link;
pub use authority::{Authority, AuthorityError, Described, Issued, describe};
pub use material::MaterialError;
pub use spiffe::IdentityError;
pub(crate) use verify::explain;

use figures::Figures;
use material::{Files, Material};

/// What stands for the word of a service in `certificate` and `key`.
const PLACEHOLDER: &str = "{service}";

/// `[mesh.tls]`: certificates of this process, and what its ports ask of those who call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether ports speak TLS, and whether they speak anything else.
    pub mode: Mode,
    /// The file with the certificates (PEM) of the authorities that are believed; more than one while an
    /// authority is replaced.
    pub ca: Option<PathBuf>,
    /// The file with a service's certificate (PEM), followed by those of intermediate authorities.
    /// `{service}` in it stands for the word of the service.
    pub certificate: Option<PathBuf>,
    /// The file with its private key (PEM), not readable by everybody. `{service}` as above.
    pub key: Option<PathBuf>,
    /// The trust domain in which certificates name services.
    pub trust_domain: String,
    /// Services whose port answers clients without a certificate also in strict mode: the edge, where
    /// people come in with tokens.
    pub open_to_clients: Vec<String>,
    /// How long the TLS handshake of a connection that came in may take.
    #[serde(with = "crate::config::duration")]
    pub handshake_timeout: Duration,
    /// How often the files are looked at. New ones are used for new connections.
    #[serde(with = "crate::config::duration")]
    pub reload_interval: Duration,
    /// How long before its end a certificate is warned about.
    #[serde(with = "crate::config::duration")]
    pub expiry_warning: Duration,
}

/// Whether ports speak TLS, and whether they speak anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Plain text alone: for one machine, or where something else encrypts.
    #[default]
    Off,
    /// Both. Clients may come in plain text or without a certificate; services need one.
    Permissive,
    /// TLS alone, and without a certificate only what `open_to_clients` names and probes of health.
    Strict,
}

impl Mode {
    /// The scheme of addresses that people are told: the one that every client can use.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Off | Self::Permissive => "http",
            Self::Strict => "https",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Permissive => "permissive",
            Self::Strict => "strict",
        })
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            ca: None,
            certificate: None,
            key: None,
            trust_domain: "lightning.local".to_owned(),
            open_to_clients: vec!["gateway".to_owned()],
            handshake_timeout: Duration::from_secs(10),
            reload_interval: Duration::from_secs(10),
            expiry_warning: Duration::from_secs(14 * 86_400),
        }
    }
}

impl TlsConfig {
    /// Whether ports speak TLS.
    pub fn is_on(&self) -> bool {
        match self.mode {
            Mode::Off => false,
            Mode::Permissive | Mode::Strict => true,
        }
    }
}

/// Who is at the other end of a connection, as a verified certificate says. In the extensions of every
/// request that came over TLS with a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// `spiffe://<trust domain>/<service>`.
    pub spiffe_id: String,
    /// The word of the service. A certificate that something else made may hold a longer path.
    pub service: String,
}

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is needed and not named.
    #[error("[mesh.tls] mode is not \"off\", so `{setting}` must name a file")]
    Missing {
        /// The key under `[mesh.tls]`.
        setting: &'static str,
    },
    /// The files of a service cannot be used.
    #[error("the certificate of the service {service} cannot be used")]
    Material {
        /// Its word.
        service: String,
        /// Why not.
        #[source]
        source: MaterialError,
    },
}

/// The certificates of one service, for both directions. Clones are cheap and change together.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Inner>);

struct Inner {
    config: TlsConfig,
    service: String,
    clock: Clock,
    files: Files,
    current: RwLock<Arc<Material>>,
    /// Asks for a look at the files before the interval is over.
    look: Notify,
    figures: Figures,
}

/// The certificates of all services of a process; empty when TLS is off.
#[derive(Clone, Default)]
pub(crate) struct Certificates(Arc<BTreeMap<&'static str, Tls>>);

impl Certificates {
    /// Reads the files of all services. Fails if one of them cannot be used.
    pub(crate) fn load(
        config: &TlsConfig,
        services: &[&'static str],
        clock: &Clock,
    ) -> Result<Self, TlsError> {
        if !config.is_on() {
            return Ok(Self::default());
        }
        let load = |service: &&'static str| Ok((*service, Tls::load(config, service, clock)?));
        let all: Result<BTreeMap<_, _>, TlsError> = services.iter().map(load).collect();
        Ok(Self(Arc::new(all?)))
    }

    /// Those of one service. A name that is not served here (the process itself) borrows those of the
    /// first service; whoever checks names will not take it for more.
    pub(crate) fn of(&self, service: &str) -> Option<&Tls> {
        self.0.get(service).or_else(|| self.0.values().next())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Tls> {
        self.0.values()
    }
}

impl Tls {
    fn load(config: &TlsConfig, service: &str, clock: &Clock) -> Result<Self, TlsError> {
        let named = |path: &Option<PathBuf>, setting| {
            let path = path.as_ref().ok_or(TlsError::Missing { setting })?;
            let text = path.to_str().map(|text| text.replace(PLACEHOLDER, service));
            Ok(text.map_or_else(|| path.clone(), PathBuf::from))
        };
        let files = Files {
            ca: named(&config.ca, "ca")?,
            certificate: named(&config.certificate, "certificate")?,
            key: named(&config.key, "key")?,
            trust_domain: config.trust_domain.clone(),
            service: service.to_owned(),
        };
        let material = files.read().and_then(|contents| contents.build(&files, clock));
        let material = material
            .map_err(|source| TlsError::Material { service: service.to_owned(), source })?;
        let figures = Figures::new(material.not_after);
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            service: service.to_owned(),
            clock: clock.clone(),
            files,
            current: RwLock::new(Arc::new(material)),
            look: Notify::new(),
            figures,
        })))
    }

    fn current(&self) -> Arc<Material> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The figures, for the registry of the service.
    pub(crate) fn register(&self, metrics: &crate::telemetry::Metrics) {
        self.0.figures.register(metrics);
    }

    /// A handshake failed: perhaps because files were replaced that were not looked at yet.
    fn failed(&self, error: &io::Error) -> String {
        self.0.look.notify_one();
        explain(error).unwrap_or_else(|| error.to_string())
    }
}

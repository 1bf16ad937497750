//! The whole configuration: defaults ← `lightning.toml` ← `LIGHTNING_<SECTION>__<KEY>` ← flags.
//!
//! Each service owns the struct of its section; `listen` is the same for all and is taken off here, so that no service knows where it is mounted. An unknown key is an error with its
//! full name.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use figment::{
    Figment,
    providers::{Env, Format, Toml},
    value::{Dict, Value},
};
use serde::de::DeserializeOwned;

use crate::cli::{ALL, Options, Word};

#[cfg(test)]
mod tests;

/// Where the configuration is read from when nothing is said.
const DEFAULT_FILE: &str = "lightning.toml";

/// Everything that can be configured.
#[derive(Debug)]
pub(crate) struct Config {
    /// `listen` of each service: 127.0.0.1 and the documented port by default.
    pub(crate) listen: BTreeMap<&'static str, SocketAddr>,
    /// `[mesh]`
    pub(crate) mesh: lightning_mesh::MeshConfig,
    /// `[telemetry]`
    pub(crate) telemetry: lightning_mesh::telemetry::TelemetryConfig,
    /// `[store]`
    pub(crate) store: lightning_store::Settings,
    /// `[gateway]`
    pub(crate) gateway: lightning_gateway::Config,
    /// `[agents]`
    pub(crate) agents: lightning_agents::Config,
    /// `[enhanced]`
    pub(crate) enhanced: lightning_enhanced::Config,
    /// `[workflows]`
    pub(crate) workflows: lightning_workflows::Config,
    /// `[integrations]`
    pub(crate) integrations: lightning_integrations::Config,
    /// `[models]`
    pub(crate) models: lightning_models::Config,
    /// `[auth]`
    pub(crate) auth: lightning_auth::Config,
    /// `[monitoring]`
    pub(crate) monitoring: lightning_monitoring::Config,
}

impl Config {
    /// Reads the configuration that the flags name.
    pub(crate) fn load(options: &Options) -> anyhow::Result<Self> {
        let file = match &options.config {
            Some(file) if !file.is_file() => {
                bail!("there is no configuration file {}", file.display())
            }
            Some(file) => file.clone(),
            None => PathBuf::from(DEFAULT_FILE),
        };
        let mut figment = Figment::new();
        if file.is_file() {
            figment = figment.merge(Toml::file_exact(&file));
        }
        // A variable without `__` is not a section's key but somebody else's.
        let ours = Env::prefixed("LIGHTNING_").filter(|key| key.as_str().contains("__"));
        let figment = figment.merge(ours.split("__"));
        Self::extract(&figment, options.data.as_deref())
    }

    /// Reads the configuration from what was gathered.
    fn extract(figment: &Figment, data: Option<&Path>) -> anyhow::Result<Self> {
        let mut sections: Dict = figment.extract().context("the configuration cannot be read")?;
        let mut listen = BTreeMap::new();
        for word in ALL {
            listen.insert(word.as_str(), take_listen(&mut sections, word)?);
        }
        let said = |key: &str| matches!(sections.get("auth"), Some(Value::Dict(_, auth)) if auth.contains_key(key));
        let (issuer_is_said, resources_are_said) = (said("issuer"), said("resources"));
        let mut config = Self {
            listen,
            mesh: section(&mut sections, "mesh")?,
            telemetry: section(&mut sections, "telemetry")?,
            store: section(&mut sections, "store")?,
            gateway: section(&mut sections, "gateway")?,
            agents: section(&mut sections, "agents")?,
            enhanced: section(&mut sections, "enhanced")?,
            workflows: section(&mut sections, "workflows")?,
            integrations: section(&mut sections, "integrations")?,
            models: section(&mut sections, "models")?,
            auth: section(&mut sections, "auth")?,
            monitoring: section(&mut sections, "monitoring")?,
        };
        if let Some(unknown) = sections.keys().next() {
            bail!("unknown section [{unknown}] in the configuration");
        }
        config.gateway.check()?;
        config.mesh.check()?;
        let known = |peer: &&String| ALL.iter().any(|word| word.as_str() == peer.as_str());
        if let Some(peer) = config.mesh.peers.keys().find(|peer| !known(peer)) {
            let words = ALL.map(Word::as_str).join(", ");
            bail!("[mesh.peers] {peer}: there is no such service; there are {words}");
        }
        let port = config.listen["auth"].port();
        if !issuer_is_said && port != 0 {
            // The default issuer is where the auth service listens.
            let scheme = config.mesh.tls.mode.scheme();
            config.auth.issuer = format!("{scheme}://localhost:{port}");
        }
        if !resources_are_said {
            // Tokens for one service name where it listens.
            let scheme = config.mesh.tls.mode.scheme();
            let known = config.listen.iter().filter(|(_, listen)| listen.port() != 0);
            config.auth.resources = known
                .map(|(word, listen)| lightning_auth::Config::resource(scheme, word, listen.port()))
                .collect();
        }
        if let Some(data) = data {
            config.store.data_dir = data.to_owned();
        }
        Ok(config)
    }
}

/// Takes `listen` off a service's section.
fn take_listen(sections: &mut Dict, word: Word) -> anyhow::Result<SocketAddr> {
    let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), word.port());
    let Some(Value::Dict(_, section)) = sections.get_mut(word.as_str()) else { return Ok(default) };
    let Some(listen) = section.remove("listen") else { return Ok(default) };
    let text = listen.as_str().unwrap_or_default();
    text.parse().with_context(|| {
        format!("{}.listen must be an address such as \"127.0.0.1:{}\"", word.as_str(), word.port())
    })
}

/// Reads one section, or its defaults when it is absent.
fn section<T: DeserializeOwned>(sections: &mut Dict, name: &str) -> anyhow::Result<T> {
    let section = sections.remove(name).unwrap_or_else(|| Value::from(Dict::new()));
    section.deserialize().map_err(|error| {
        let path = error.path.join(".");
        let dot = if path.is_empty() { "" } else { "." };
        anyhow::anyhow!("{name}{dot}{path}: {}", error.kind)
    })
}

//! Ways to services that are not part of the mesh: the same stack, without our credentials.
//!
//! A token of the mesh must never reach a third party, which could use it against us; and what a caller
//! showed us is theirs and ours, so it is passed on only where the configuration says so.

use std::time::Duration;

use super::{Addresses, Channel, ChannelConfig, Peers, balance::Target, identity::Credentials};

/// Servers that are not ours may take frequent pings for an attack and close the connection (those of
/// gRPC's C core do, below five minutes without data).
const KEEPALIVE: Duration = Duration::from_secs(300);

/// Why there is no way to an upstream.
#[derive(Debug, thiserror::Error)]
#[error(
    "the address {address:?} of the upstream {upstream} is not of the form \"http://host:port\""
)]
pub struct UpstreamError {
    /// Its name.
    pub upstream: String,
    /// The address; empty if there was none at all.
    pub address: String,
}

/// Whether a text is an address of an upstream: `http://host:port`. The certificates of the mesh say
/// nothing about others, so there is no https to them yet.
pub fn is_address(text: &str) -> bool {
    faulty(&Addresses::from(vec![text.to_owned()])).is_none()
}

fn faulty(addresses: &Addresses) -> Option<&str> {
    let secure = || addresses.iter().find(|address| address.starts_with("https:"));
    addresses.faulty().or_else(secure)
}

impl Peers {
    /// A new way to a service outside the mesh, at one or several addresses; `name` is what its figures
    /// and errors are called. Unless `pass_credentials`, nothing that identifies a caller is sent. Each
    /// call makes connections of its own: keep the channel.
    pub fn upstream(
        &self,
        name: &str,
        addresses: &[String],
        pass_credentials: bool,
    ) -> Result<Channel, UpstreamError> {
        let addresses = Addresses::from(addresses.to_vec());
        if let Some(address) = faulty(&addresses) {
            let (upstream, address) = (name.to_owned(), address.to_owned());
            return Err(UpstreamError { upstream, address });
        }
        let config = ChannelConfig {
            keepalive_interval: self.0.config.keepalive_interval.max(KEEPALIVE),
            ..self.0.config.clone()
        };
        let target = Target::Addresses(addresses.parsed());
        let credentials = Credentials::Foreign { pass: pass_credentials };
        Ok(Channel::new(&self.0, name, target, credentials, &config))
    }
}

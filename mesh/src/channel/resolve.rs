//! Where the replicas of a peer are: addresses as they are configured, and names that become addresses.
//!
//! A name is looked up again at an interval, and soon after an endpoint failed, so that replicas that
//! came are used and those that vanished are drained. An answer that fails or is empty changes nothing:
//! the last good one is better than none. There is no cache of our own and no look at time-to-live,
//! which the system's resolver does not tell.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Uri, uri::Authority};
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;

use super::{balance::Shared, connection::Place};

/// Most addresses of one name that are used.
pub(super) const MAX_ADDRESSES: usize = 256;
/// Shortest pause between two lookups, however often endpoints fail.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a lookup may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The configured addresses of a peer: `"http://host:port"`, `"https://host:port"` or a list of such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(Vec<String>);

/// One configured address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// What requests name as their authority.
    pub(super) authority: Authority,
    secure: bool,
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// Looks names up; a test scripts it.
pub(super) trait Resolve: Send + Sync {
    /// The addresses of a name, with this port.
    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The resolver of the operating system.
pub(super) struct System;

// === impl Addresses ===

impl Addresses {
    /// The addresses as they were written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The addresses that mean something.
    pub(crate) fn parsed(&self) -> Vec<Address> {
        self.iter().filter_map(Address::parse).collect()
    }

    /// The first that is not an address, or nothing at all.
    pub(crate) fn faulty(&self) -> Option<&str> {
        let faulty = self.iter().find(|address| Address::parse(address).is_none());
        faulty.or_else(|| self.0.is_empty().then_some(""))
    }
}

impl From<String> for Addresses {
    fn from(address: String) -> Self {
        Self(vec![address])
    }
}

impl From<&str> for Addresses {
    fn from(address: &str) -> Self {
        address.to_owned().into()
    }
}

impl From<Vec<String>> for Addresses {
    fn from(addresses: Vec<String>) -> Self {
        Self(addresses)
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "an address \"http://host:port\" or a list of such")]
        enum Written {
            One(String),
            Several(Vec<String>),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::One(address) => address.into(),
            Written::Several(addresses) => addresses.into(),
        })
    }
}

// === impl Address ===

impl Address {
    /// From `http://host:port` or `https://host:port`; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return None,
        };
        let bare = uri.path() == "/" && uri.query().is_none();
        let authority = uri.into_parts().authority.filter(|_| bare)?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip);
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Some(Self { authority, secure, host, port })
    }

    /// Whether the way there is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// The replica at one of the sockets that it stands for.
    pub(super) fn place(&self, at: SocketAddr) -> Place {
        Place::Socket { at, authority: self.authority.clone(), secure: self.secure }
    }

    /// The address itself, if it is not a name.
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        match &self.host {
            Host::Ip(ip) => Some(SocketAddr::new(*ip, self.port)),
            Host::Name(_) => None,
        }
    }

    fn name(&self) -> Option<(&str, u16)> {
        match &self.host {
            Host::Name(name) => Some((name, self.port)),
            Host::Ip(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.authority, f)
    }
}

// === impl System ===

impl Resolve for System {
    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }
}

/// Looks the names of a peer up until the peer is dropped. While nobody calls the peer, it rests.
pub(super) async fn follow(
    peer: Weak<Shared>,
    resolver: Arc<dyn Resolve>,
    addresses: Vec<Address>,
    interval: Duration,
) {
    let interval = interval.max(SHORTEST_PAUSE);
    let mut known = BTreeMap::new();
    let mut pause = SHORTEST_PAUSE;
    loop {
        let complete = look_up(&*resolver, &addresses, &mut known).await;
        // What could not be found is tried again soon, and then less and less often.
        let wait = if complete { interval } else { pause };
        pause = if complete { SHORTEST_PAUSE } else { interval.min(pause * 2) };
        let Some(shared) = peer.upgrade() else { return };
        shared.replace(&addresses, &known);
        let nudge = shared.nudge.clone();
        drop(shared);
        let looked_up = Instant::now();
        // Only the wait is shortened by a failure, and never below the shortest pause.
        let _ = tokio::time::timeout(wait, nudge.notified()).await;
        tokio::time::sleep_until(looked_up + SHORTEST_PAUSE).await;
        loop {
            let Some(shared) = peer.upgrade() else { return };
            if shared.in_use(interval.saturating_mul(2)) {
                break;
            }
            drop(shared);
            let _ = tokio::time::timeout(interval, nudge.notified()).await;
        }
    }
}

/// Looks all names up; what fails stays as it was. Tells whether nothing failed.
async fn look_up(
    resolver: &dyn Resolve,
    addresses: &[Address],
    known: &mut BTreeMap<String, Vec<SocketAddr>>,
) -> bool {
    let mut complete = true;
    for address in addresses {
        let Some((name, port)) = address.name() else { continue };
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, resolver.resolve(name, port)).await;
        match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(mut found) if !found.is_empty() => {
                found.sort_unstable();
                found.dedup();
                if found.len() > MAX_ADDRESSES {
                    tracing::warn!(name, found = found.len(), "a peer has too many addresses");
                    found.truncate(MAX_ADDRESSES);
                }
                known.insert(address.to_string(), found);
            }
            Ok(_) => {
                complete = false;
                tracing::warn!(name, "the name of a peer has no address");
            }
            Err(error) => {
                complete = false;
                tracing::warn!(name, error = %error, "the name of a peer cannot be looked up");
            }
        }
    }
    complete
}

#[cfg(test)]
mod tests;

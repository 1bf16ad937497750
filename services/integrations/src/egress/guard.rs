//! Who may be called: the judgement over one address, and over all addresses of a name.
//!
//! The allow list opens what the rules refuse and nothing else; there is no deny list, because the
//! public Internet is open anyway. A name with a public and a private address keeps the public one.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Addresses, rules};
use crate::Error;

/// The operator's allow list over the rules.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    allow: Vec<Entry>,
}

/// One line of the allow list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    what: What,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Net(IpNet),
    Host(String),
}

/// Why a name leads nowhere; travels through the HTTP client as its cause.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    /// All of its addresses are refused.
    #[error("{host}:{port} is not a public address")]
    Private { host: String, port: u16 },
    /// It has no address.
    #[error("the name {host} cannot be resolved")]
    Unknown { host: String, port: u16 },
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Private { host, port } => Self::TargetRefused {
                target: format!("{host}:{port}"),
                why:
                    "it is private, loopback, link-local or reserved; the operator can allow it in \
                      [integrations] egress_allow"
                        .to_owned(),
            },
            Refusal::Unknown { host, port } => Self::UpstreamUnavailable {
                target: format!("{host}:{port}"),
                why: "its name cannot be resolved".to_owned(),
            },
        }
    }
}

// === impl Guard ===

impl Guard {
    /// Reads the allow list.
    pub(crate) fn parse(entries: &[String]) -> Result<Self, Error> {
        let parse = |text: &String| {
            Entry::parse(text.trim()).ok_or_else(|| Error::Settings {
                key: "egress_allow",
                why: format!(
                    "{text:?} is none of 10.0.0.0/8, 127.0.0.1:8080, [::1]:8080, host.example:443"
                ),
            })
        };
        Ok(Self { allow: entries.iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// Judges one address that a host stands for.
    pub(crate) fn judge(&self, host: &str, ip: IpAddr, port: u16) -> Result<(), Error> {
        if self.permits(host, ip, port) {
            return Ok(());
        }
        Err(Refusal::Private { host: host.to_owned(), port }.into())
    }

    /// The addresses of a host that may be called.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Result<Addresses, Error> {
        Ok(self.lookup(host, port).await?)
    }

    pub(super) async fn lookup(&self, host: &str, port: u16) -> Result<Addresses, Refusal> {
        let unknown = || Refusal::Unknown { host: host.to_owned(), port };
        let found: Vec<SocketAddr> =
            tokio::net::lookup_host((host, port)).await.map_err(|_| unknown())?.collect();
        if found.is_empty() {
            return Err(unknown());
        }
        let open: Vec<SocketAddr> =
            found.into_iter().filter(|address| self.permits(host, address.ip(), port)).collect();
        if open.is_empty() {
            return Err(Refusal::Private { host: host.to_owned(), port });
        }
        Ok(open)
    }

    fn permits(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        rules::is_public(ip) || self.allow.iter().any(|entry| entry.permits(host, ip, port))
    }
}

// === impl Entry ===

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']')?;
            let port = match after {
                "" => None,
                _ => Some(port(after.strip_prefix(':')?)?),
            };
            return Some(Self { what: What::Net(net(inside)?), port });
        }
        if let Some(net) = net(text) {
            return Some(Self { what: What::Net(net), port: None });
        }
        let (left, port) = match text.rsplit_once(':') {
            Some((left, right)) => (left, Some(port(right)?)),
            None => (text, None),
        };
        let what = match net(left) {
            Some(net) => What::Net(net),
            None => What::Host(host(left)?),
        };
        Some(Self { what, port })
    }

    fn permits(&self, name: &str, ip: IpAddr, port: u16) -> bool {
        if self.port.is_some_and(|open| open != port) {
            return false;
        }
        match &self.what {
            What::Net(net) => net.contains(&ip),
            What::Host(open) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                name.eq_ignore_ascii_case(open) && !rules::is_link_local(ip)
            }
        }
    }
}

fn net(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn host(text: &str) -> Option<String> {
    let letters =
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    // What looks like an address but is none (10.0.0.0.0, 1.2.3) is a mistake, not a name.
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (letters && !numeric && (1..=253).contains(&text.len())).then(|| text.to_ascii_lowercase())
}

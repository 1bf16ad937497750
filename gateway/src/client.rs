//! Who is at the other end: the address of the client, and whether it speaks TLS.
//!
//! The socket tells the address. A header tells another one only if the socket belongs to a proxy that
//! was configured, because anybody can write a header.

use std::net::{IpAddr, Ipv6Addr};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;
use lightning_mesh::serve::{Peer, Secured};

/// Most addresses that are read from `X-Forwarded-For`.
const MAX_HOPS: usize = 32;

/// The other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address; none inside the process.
    pub(crate) address: Option<IpAddr>,
    /// Whether a proxy that we trust spoke for it.
    pub(crate) proxied: bool,
    /// Whether it speaks TLS: to us, or to that proxy.
    pub(crate) secure: bool,
}

impl Client {
    /// Finds out.
    pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = extensions.get::<Peer>();
        let Some(socket) = peer.and_then(|peer| peer.addr) else { return Self::default() };
        let over_tls = extensions.get::<Secured>().is_some();
        let socket = socket.ip().to_canonical();
        if !is_trusted(socket, trusted) {
            return Self { address: Some(socket), proxied: false, secure: over_tls };
        }
        let secure = headers
            .get_all("x-forwarded-proto")
            .iter()
            .next_back()
            .and_then(|value| value.to_str().ok()?.rsplit(',').next())
            .is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"));
        let address = Some(forwarded_for(headers, trusted).unwrap_or(socket));
        Self { address, proxied: true, secure: secure || over_tls }
    }

    /// What counts as one client: the address, or the /64 of IPv6, which is what one household or
    /// machine is given.
    pub(crate) fn key(&self) -> Option<IpAddr> {
        self.address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => {
                let mut segments = v6.segments();
                segments[4..].fill(0);
                IpAddr::V6(Ipv6Addr::from(segments))
            }
        })
    }
}

/// The last address that is not a proxy of ours: whatever stands before it, the client may have written
/// itself. What cannot be read ends the search.
fn forwarded_for(headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut last = None;
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let hops = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    for hop in hops.take(MAX_HOPS) {
        let Some(address) = parse(hop.trim()) else { return last };
        last = Some(address);
        if !is_trusted(address, trusted) {
            break;
        }
    }
    last
}

/// An address, which some proxies write with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|split| split.0);
    let address = bare.unwrap_or(text).parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    address.or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests;

//! Where a call came from.
//!
//! The socket tells it, and for calls that the gateway passes on, a header that the gateway alone is
//! believed about: it takes every header of that family off what comes from outside. A service that
//! calls for somebody does not know where they are, so for its calls nothing is told.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, request::Parts};

use super::Caller;
use crate::serve::Peer;

/// The header in which the gateway tells services the address of its client.
pub const ADDRESS: HeaderName = HeaderName::from_static("x-lightning-address");
/// The header in which the gateway passes a credential on that is no business of the mesh, such as HTTP
/// Basic: its own token stands in `Authorization`.
pub const CREDENTIAL: HeaderName = HeaderName::from_static("x-lightning-authorization");
/// The service that is believed about it.
const EDGE: &str = "gateway";

/// The address of the client as the edge found it out, which may be behind a proxy. In the extensions of
/// a request; there it counts more than the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// The other end of the connection.
pub(super) fn seen(parts: &Parts) -> Option<IpAddr> {
    if let Some(ClientAddress(address)) = parts.extensions.get() {
        return Some(*address);
    }
    let peer = parts.extensions.get::<Peer>()?;
    peer.addr.map(|addr| addr.ip().to_canonical())
}

/// Where this caller is, as far as that can be believed.
pub(super) fn of(caller: &Caller, parts: &Parts) -> Option<IpAddr> {
    match caller.via.as_deref() {
        None => seen(parts),
        Some(EDGE) => told(&parts.headers),
        Some(_) => None,
    }
}

fn told(headers: &HeaderMap) -> Option<IpAddr> {
    let mut values = headers.get_all(ADDRESS).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    value.to_str().ok()?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

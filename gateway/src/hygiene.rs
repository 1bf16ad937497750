//! What a request may say about itself, before anybody believes it.
//!
//! Headers by which proxies tell who somebody is are taken off, so that no service behind the edge can
//! be fooled into reading one. What reads differently to different readers (two hosts, dot segments,
//! metadata that claims to be base64) is refused rather than repaired: repairing is how two readers come
//! to disagree. Framing (lengths, chunks) is hyper's business and comes before this.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, Version, header, request::Parts};

/// Headers that belong to one connection (RFC 9110 section 7.6.1) and HTTP/2 forbids, beside `TE`, which
/// gRPC needs, and those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 4] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Names that claim an identity or an address, or that the mesh uses itself. An underscore is read as a
/// dash, since some readers do so.
const CLAIMS: [&str; 11] = [
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "remote-user",
    "remote-groups",
    "x-user",
    "x-roles",
    "x-authenticated-user",
    "x-rewrite-url",
];
/// The library of a gRPC-Web client, which names no user.
const GRPC_WEB_AGENT: &str = "x-user-agent";
/// The same for whole families.
const CLAIM_FAMILIES: [&str; 9] = [
    "x-forwarded-",
    "x-user-",
    "x-agent-",
    "x-lightning-",
    "x-original-",
    "x-auth-request-",
    "x-remote-",
    "x-ssl-client-",
    "x-envoy-",
];
/// What a trusted proxy may say of the client it speaks for; it may not name a user either.
const PROXYS_OWN: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Base64 as gRPC metadata has it: padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Says what is wrong with a request, if it cannot be read in one way only.
pub(crate) fn fault(parts: &Parts) -> Option<&'static str> {
    host_fault(parts).or_else(|| path_fault(parts.uri.path())).or_else(|| {
        let damaged = parts.headers.iter().any(|(name, value)| {
            name.as_str().ends_with("-bin") && !is_base64_list(value.as_bytes())
        });
        damaged.then_some("a header whose name ends in -bin must be base64")
    })
}

/// Two readers that take different ones of two hosts disagree about everything that follows.
fn host_fault(parts: &Parts) -> Option<&'static str> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Some("the request names its host twice");
    }
    match (first, parts.uri.authority()) {
        (None, None) if parts.version == Version::HTTP_11 => Some("the request names no host"),
        (Some(host), Some(authority))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Some("the host of the request line and the Host header disagree")
        }
        (_, _) => None,
    }
}

/// Dot segments are folded by some readers and not by others; no client sends them by itself.
fn path_fault(path: &str) -> Option<&'static str> {
    // Nearly all paths have neither.
    if !path.contains("/.") && !path.contains("%2") {
        return None;
    }
    let is_dots = |segment: &str| {
        let mut rest = segment;
        let mut dots = 0;
        while !rest.is_empty() {
            let Some(after) = ["%2e", "%2E", "."].iter().find_map(|dot| rest.strip_prefix(dot))
            else {
                return false;
            };
            rest = after;
            dots += 1;
        }
        dots == 1 || dots == 2
    };
    path.split('/')
        .any(is_dots)
        .then_some("the path has a segment of dots, which names nothing here")
}

fn is_base64_list(value: &[u8]) -> bool {
    let trim = |item: &[u8]| item.trim_ascii().to_vec();
    value.split(|byte| *byte == b',').all(|item| BASE64.decode(trim(item)).is_ok())
}

/// Takes off what a caller may not claim. `proxied` says whether a trusted proxy sent it.
pub(crate) fn strip_claims(headers: &mut HeaderMap, proxied: bool) {
    let is_claim = |name: &str| {
        matches!(name.as_bytes().first(), Some(b'x' | b'f' | b'r' | b't' | b'c'))
            && claims(name)
            && name != GRPC_WEB_AGENT
            && !(proxied && PROXYS_OWN.contains(&name))
    };
    // Nearly all requests have none, so they are looked for before anything is copied.
    let found: Vec<HeaderName> =
        headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

fn claims(name: &str) -> bool {
    let reads = |known: &str| name.len() == known.len() && begins(name, known);
    reads("forwarded")
        || CLAIMS.iter().any(|known| reads(known))
        || CLAIM_FAMILIES.iter().any(|family| begins(name, family))
}

fn begins(name: &str, known: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (a == b'_' && b == b'-');
    name.len() >= known.len() && name.bytes().zip(known.bytes()).all(same)
}

/// Takes off what belongs to the connection that a message came on.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    headers.remove(header::CONNECTION);
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;

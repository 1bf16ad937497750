//! Open mode: on a machine where no user exists and every listener is on loopback, a call without a
//! credential acts as the local admin, so that the documented commands work as written.
//!
//! A web page that a browser on this machine has open could otherwise use that: it can reach loopback,
//! and with DNS rebinding it can do so under a name of its own. Therefore the name in `Host` (or
//! `:authority`) and in `Origin` must be a loopback name.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, header, request::Parts, uri::Authority};

/// Whether a request without a credential may act as the local admin, as far as its names tell.
pub(super) fn names_are_loopback(parts: &Parts) -> bool {
    let host = match parts.uri.authority() {
        Some(authority) => is_loopback_name(authority.host()),
        None => false,
    };
    let header = match single(&parts.headers, &header::HOST) {
        Single::None => parts.uri.authority().is_some(),
        Single::One(text) => authority_is_loopback(text),
        Single::Several => false,
    };
    let origin = match single(&parts.headers, &header::ORIGIN) {
        Single::None => true,
        Single::One(origin) => origin_is_loopback(origin),
        Single::Several => false,
    };
    (host || parts.uri.authority().is_none()) && header && origin
}

enum Single<'a> {
    None,
    One(&'a str),
    Several,
}

/// A header that must not come twice; one that is not text counts as wrong.
fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Single<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Single::None,
        (Some(value), None) => value.to_str().map_or(Single::Several, Single::One),
        (Some(_), Some(_)) => Single::Several,
    }
}

fn authority_is_loopback(text: &str) -> bool {
    // User information in a host is never legitimate and confuses readers.
    !text.contains('@')
        && text.parse::<Authority>().is_ok_and(|authority| is_loopback_name(authority.host()))
}

/// `null` (sandboxed frames, files) is nobody's loopback.
fn origin_is_loopback(origin: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(authority_is_loopback)
}

fn is_loopback_name(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    // `*.localhost` never leaves the machine (RFC 6761).
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn only_loopback_names_open_the_door() {
        let check = |uri: &str, headers: &[(&str, &str)], expected: bool| {
            let mut request = Request::builder().uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(names_are_loopback(&parts), expected, "{uri} {headers:?}");
        };
        check("/", &[("host", "localhost:8001")], true);
        check("/", &[("host", "LOCALHOST")], true);
        check("/", &[("host", "app.localhost:8001")], true);
        check("/", &[("host", "127.0.0.1:8001")], true);
        check("/", &[("host", "127.9.9.9")], true);
        check("/", &[("host", "[::1]:8001")], true);
        check("http://localhost:8001/", &[], true);
        check("http://localhost:8001/", &[("host", "localhost:8001")], true);
        check("/", &[], false);
        check("/", &[("host", "evil.example")], false);
        check("/", &[("host", "localhost.evil.example")], false);
        check("/", &[("host", "127.0.0.1.evil.example")], false);
        check("/", &[("host", "evil.example@localhost")], false);
        check("/", &[("host", "0.0.0.0")], false);
        check("/", &[("host", "192.168.1.5:8001")], false);
        check("/", &[("host", "localhost"), ("host", "evil.example")], false);
        check("http://evil.example/", &[("host", "localhost")], false);
        check("http://localhost/", &[("host", "evil.example")], false);
        check("/", &[("host", "localhost"), ("origin", "http://localhost:3000")], true);
        check("/", &[("host", "localhost"), ("origin", "https://evil.example")], false);
        check("/", &[("host", "localhost"), ("origin", "null")], false);
        check("/", &[("host", "localhost"), ("origin", "http://localhost.evil.example")], false);
        check("/", &[("host", "localhost"), ("origin", "")], false);
    }
}

//! Fetching what a client names: its keys, behind an address that whoever registered it chose.
//!
//! Whoever may choose an address that we fetch could otherwise reach what only this machine reaches. So
//! every address is looked up by our own resolver, which lets through public ones alone, and that very
//! address is connected to (a second look-up could answer another). Redirects are not followed, answers
//! are bounded in time and size. While the issuer itself is on loopback everything around is, so there
//! loopback addresses are let through as well, and nothing else that is private.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

/// How long everything may take.
const TIMEOUT: Duration = Duration::from_millis(2_500);
/// The most bytes of an answer.
const MAX_BYTES: usize = 64 * 1024;

/// Why something was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EgressError {
    #[error("the address is not one that is fetched: https, or http on loopback")]
    Address,
    #[error("the address is private")]
    Private,
    #[error("it could not be fetched in time")]
    Unreachable,
    #[error("the answer is not a success, or larger than 64 KiB")]
    Answer,
}

/// Fetches from public addresses. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Egress {
    http: Client,
    loopback: bool,
}

struct Filter {
    loopback: bool,
}

// === impl Egress ===

impl Egress {
    /// `loopback` lets through this machine's own addresses too.
    pub(crate) fn new(loopback: bool) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .dns_resolver(std::sync::Arc::new(Filter { loopback }))
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .pool_max_idle_per_host(1)
            .no_proxy()
            .build()?;
        Ok(Self { http, loopback })
    }

    /// The text behind an address.
    pub(crate) async fn get(&self, address: &str) -> Result<String, EgressError> {
        let url = self.checked(address)?;
        let request = self.http.get(url).header("accept", "application/json");
        let mut response = request.send().await.map_err(|_| EgressError::Unreachable)?;
        if !response.status().is_success() {
            return Err(EgressError::Answer);
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|_| EgressError::Unreachable)? {
            if body.len() + part.len() > MAX_BYTES {
                return Err(EgressError::Answer);
            }
            body.extend_from_slice(&part);
        }
        String::from_utf8(body).map_err(|_| EgressError::Answer)
    }

    /// Sends a form, and succeeds if the answer is a success; nothing of the answer is read.
    pub(crate) async fn post_form(
        &self,
        address: &str,
        values: &[(&str, &str)],
    ) -> Result<(), EgressError> {
        let url = self.checked(address)?;
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish();
        let request = self.http.post(url).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.send().await.map_err(|_| EgressError::Unreachable)?;
        if response.status().is_success() { Ok(()) } else { Err(EgressError::Answer) }
    }

    fn checked(&self, address: &str) -> Result<Url, EgressError> {
        let url = Url::parse(address).map_err(|_| EgressError::Address)?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let scheme_fits = url.scheme() == "https" || (url.scheme() == "http" && self.loopback);
        let host = url.host_str().ok_or(EgressError::Address)?;
        if !is_plain || !scheme_fits {
            return Err(EgressError::Address);
        }
        // A number is connected to without asking the resolver.
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let fits = is_public(ip) || (self.loopback && ip.to_canonical().is_loopback());
            return if fits { Ok(url) } else { Err(EgressError::Private) };
        }
        // Plain text to a name of somebody else's network is not for keys.
        if url.scheme() == "http" && host != "localhost" {
            return Err(EgressError::Address);
        }
        Ok(url)
    }
}

// === impl Filter ===

impl Resolve for Filter {
    fn resolve(&self, name: Name) -> Resolving {
        let loopback = self.loopback;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|found| {
                    let ip = found.ip();
                    is_public(ip) || (loopback && ip.to_canonical().is_loopback())
                })
                .collect();
            if allowed.is_empty() {
                let refusal = io::Error::other("the name leads to private addresses alone");
                return Err(refusal.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is on the public internet.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let is_special = ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99);
            !is_special
        }
        IpAddr::V6(ip) => {
            let [first, second, ..] = ip.segments();
            // Only what is given out (2000::/3), less documentation, Teredo, 6to4 and benchmarking.
            let is_given_out = first & 0xe000 == 0x2000;
            let is_special = (first == 0x2001 && (second == 0xdb8 || second < 0x200))
                || first == 0x2002
                || (first == 0x3fff && second < 0x1000);
            is_given_out && !is_special
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached() {
        let check = |text: &str, expected| {
            assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
        };
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"] {
            check(public, true);
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:a00:1::",
            "64:ff9b::a00:1",
        ] {
            check(private, false);
        }
    }

    #[test]
    fn numbers_and_schemes_are_checked_before_anything_is_sent() {
        let check = |loopback, address: &str, expected: Result<(), EgressError>| {
            let egress = Egress::new(loopback).unwrap();
            assert_eq!(egress.checked(address).map(|_| ()), expected, "{address}");
        };
        check(false, "https://keys.example/jwks", Ok(()));
        check(false, "http://keys.example/jwks", Err(EgressError::Address));
        check(true, "http://keys.example/jwks", Err(EgressError::Address));
        check(false, "https://127.0.0.1/jwks", Err(EgressError::Private));
        check(true, "http://127.0.0.1:9/jwks", Ok(()));
        check(true, "https://169.254.169.254/", Err(EgressError::Private));
        check(false, "https://[::ffff:10.0.0.1]/", Err(EgressError::Private));
        check(false, "https://2130706433/", Err(EgressError::Private));
        check(false, "https://user@keys.example/", Err(EgressError::Address));
        check(false, "file:///etc/passwd", Err(EgressError::Address));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_not_connected_to() {
        let egress = Egress::new(false).unwrap();
        assert_eq!(
            egress.get("https://localhost:1/jwks").await.unwrap_err(),
            EgressError::Unreachable
        );
    }
}

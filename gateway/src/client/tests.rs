//! Which address counts.

use http::HeaderValue;

use super::*;

fn client(socket: &str, headers: &[(&'static str, &'static str)]) -> Client {
    over(false, socket, headers)
}

fn over(secured: bool, socket: &str, headers: &[(&'static str, &'static str)]) -> Client {
    let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let peer = Peer { addr: Some(socket.parse().unwrap()), in_process: false };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_static(value));
    }
    let mut extensions = Extensions::new();
    extensions.insert(peer);
    if secured {
        extensions.insert(Secured);
    }
    Client::of(&extensions, &map, &trusted)
}

#[test]
fn a_header_counts_only_from_a_trusted_proxy() {
    #[track_caller]
    fn check(socket: &str, forwarded: &'static str, expected: &str) {
        let found = client(socket, &[("x-forwarded-for", forwarded)]).address.unwrap();
        assert_eq!(found.to_string(), expected, "{socket} {forwarded:?}");
    }
    check("192.0.2.1:1", "198.51.100.7", "192.0.2.1");
    check("10.0.0.1:1", "198.51.100.7", "198.51.100.7");
    check("10.0.0.1:1", "1.1.1.1, 198.51.100.7, 10.9.9.9", "198.51.100.7");
    check("10.0.0.1:1", "1.1.1.1, nonsense, 10.9.9.9", "10.9.9.9");
    check("10.0.0.1:1", "nonsense", "10.0.0.1");
    check("10.0.0.1:1", "", "10.0.0.1");
    check("10.0.0.1:1", "10.1.1.1, 10.2.2.2", "10.1.1.1");
    check("[::ffff:10.0.0.1]:1", "198.51.100.7:4711", "198.51.100.7");
    check("[fd00::1]:1", "[2001:db8::5]:80", "2001:db8::5");
}

#[test]
fn several_headers_are_one_list() {
    let headers = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7, 10.1.1.1")];
    assert_eq!(client("10.0.0.1:1", &headers).address.unwrap().to_string(), "198.51.100.7");
}

#[test]
fn tls_is_spoken_to_us_or_to_a_trusted_proxy() {
    let headers = [("x-forwarded-proto", "https")];
    assert!(client("10.0.0.1:1", &headers).secure);
    assert!(!client("192.0.2.1:1", &headers).secure);
    assert!(!client("10.0.0.1:1", &[("x-forwarded-proto", "http")]).secure);
    assert!(over(true, "192.0.2.1:1", &[]).secure);
}

#[test]
fn addresses_of_one_ipv6_network_are_one_client() {
    let key = |socket: &str| client(socket, &[]).key().unwrap();
    assert_eq!(key("[2001:db8::1]:1"), key("[2001:db8::ffff:1]:1"));
    assert_ne!(key("[2001:db8::1]:1"), key("[2001:db8:0:1::1]:1"));
    assert_ne!(key("192.0.2.1:1"), key("192.0.2.2:1"));
}

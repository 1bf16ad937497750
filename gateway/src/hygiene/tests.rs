//! What is refused, and what is taken off.

use http::Request;

use super::*;

fn parts(uri: &str, version: Version, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(uri).version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_request_with_two_readings_is_refused() {
    #[track_caller]
    fn check(uri: &str, headers: &[(&str, &str)], expected: Option<&str>) {
        let found = fault(&parts(uri, Version::HTTP_11, headers));
        match expected {
            Some(word) => assert!(found.is_some_and(|found| found.contains(word)), "{found:?}"),
            None => assert_eq!(found, None, "{uri} {headers:?}"),
        }
    }
    let host = ("host", "a.example");
    check("/", &[host], None);
    check("/", &[], Some("no host"));
    check("/", &[host, host], Some("twice"));
    check("http://a.example/", &[host], None);
    check("http://A.example/", &[host], None);
    check("http://b.example/", &[host], Some("disagree"));
    check("http://u@a.example/", &[host], Some("disagree"));
    for path in ["/a/../b", "/..", "/./a", "/a/%2e%2E", "/a/.%2e/b", "/%2e"] {
        check(path, &[host], Some("dots"));
    }
    for path in ["/a/.well-known/b", "/a..b", "/...", "/a/%2f%2e", "/a//b", "/a%2e"] {
        check(path, &[host], None);
    }
    check("/", &[host, ("trace-bin", "AAEC")], None);
    check("/", &[host, ("trace-bin", "AAE=, AAE")], None);
    check("/", &[host, ("trace-bin", "")], None);
    check("/", &[host, ("trace-bin", "%%%")], Some("base64"));
    check("/", &[host, ("trace-bin", "AAEC,!")], Some("base64"));
}

#[test]
fn a_pipe_needs_no_host() {
    assert_eq!(fault(&parts("/", Version::HTTP_2, &[])), None);
}

#[test]
fn claims_are_taken_off_unless_a_trusted_proxy_makes_them() {
    #[track_caller]
    fn check(name: &'static str, direct: bool, proxied: bool) {
        for (by_proxy, expected) in [(false, direct), (true, proxied)] {
            let mut headers = HeaderMap::new();
            headers.insert(name, "x".parse().unwrap());
            strip_claims(&mut headers, by_proxy);
            assert_eq!(headers.contains_key(name), expected, "{name}, by a proxy: {by_proxy}");
        }
    }
    check("x-forwarded-for", false, true);
    check("x-forwarded-proto", false, true);
    check("forwarded", false, true);
    check("x-forwarded-user", false, false);
    check("x_forwarded_user", false, false);
    check("x_forwarded_for", false, false);
    check("x-user_id", false, false);
    check("x-lightning-caller", false, false);
    check("remote-user", false, false);
    check("x-user-agent", true, true);
    check("x-request-id", true, true);
    check("x-api-key", true, true);
    check("from", true, true);
}

#[test]
fn what_belongs_to_the_connection_stays_there() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "close, X-Secret"),
        ("x-secret", "1"),
        ("keep-alive", "1"),
        ("upgrade", "h2c"),
        ("te", "trailers"),
        ("x-kept", "1"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    strip_hop_by_hop(&mut headers);
    let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["te", "x-kept"]);
}

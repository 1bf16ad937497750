//! Who is refused, address by address. Redirects and real servers are in `tests/it`.

use super::*;

fn guard(allow: &[&str]) -> Guard {
    Guard::parse(&allow.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn only_public_addresses_pass() {
    let check = |text: &str, expected: bool| {
        assert_eq!(rules::is_public(text.parse().unwrap()), expected, "{text}");
    };
    for refused in [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        check(refused, false);
    }
    for public in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "2003::1",
    ] {
        check(public, true);
    }
}

#[test]
fn the_allow_list_opens_what_it_names_and_no_more() {
    let check = |entry: &str, host: &str, ip: &str, port: u16, expected: bool| {
        let verdict = guard(&[entry]).judge(host, ip.parse().unwrap(), port).is_ok();
        assert_eq!(verdict, expected, "{entry} {host} {ip} {port}");
    };
    check("127.0.0.0/8:8080", "127.0.0.1", "127.0.0.1", 8080, true);
    check("127.0.0.0/8:8080", "127.0.0.1", "127.0.0.1", 8081, false);
    check("127.0.0.0/8", "127.0.0.1", "::ffff:127.0.0.1", 80, false);
    check("10.0.0.0/8", "x.example", "10.9.9.9", 1, true);
    check("10.0.0.0/8", "x.example", "11.9.9.9", 1, true); // public anyway
    check("[::1]:9000", "::1", "::1", 9000, true);
    check("[::1]:9000", "::1", "::1", 9001, false);
    check("fc00::/7", "x", "fd00::5", 443, true);
    check("crm.internal:443", "CRM.internal.", "10.0.0.1", 443, true);
    check("crm.internal:443", "crm.internal", "10.0.0.1", 80, false);
    check("crm.internal:443", "evil.crm.internal", "10.0.0.1", 443, false);
    check("crm.internal", "crm.internal", "169.254.169.254", 80, false);
    check("169.254.169.254", "x", "169.254.169.254", 80, true);
}

#[test]
fn a_line_of_the_allow_list_that_means_nothing_is_named() {
    for entry in
        ["", "10.0.0.0/40", "10.0.0", "a b", "host:0", "host:99999", "[::1", "[::1]x", "http://x"]
    {
        let error = Guard::parse(&[entry.to_owned()]).unwrap_err();
        assert!(error.to_string().contains("egress_allow"), "{entry}: {error}");
    }
}

#[tokio::test]
async fn every_spelling_of_a_private_target_is_refused() {
    let egress = Egress::new(guard(&[]));
    for text in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://localhost/",
        "http://LOCALHOST/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0/",
        "http://user:pass@example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
    ] {
        let error = egress.check(&url(text)).await.unwrap_err();
        assert!(matches!(error, Error::TargetRefused { .. }), "{text}: {error:?}");
    }
}

#[tokio::test]
async fn a_name_that_points_inwards_is_refused_when_it_is_connected() {
    // Straight to the resolver of the HTTP client, past the check of the URL.
    let resolver =
        PortResolver { guard: Arc::new(guard(&["127.0.0.0/8:8080", "[::1]:8080"])), port: 80 };
    let name = "localhost".parse().unwrap();
    let error = resolver.resolve(name).await.err().unwrap();
    assert!(error.downcast_ref::<Refusal>().is_some());
    let open = PortResolver { port: 8080, ..resolver };
    assert!(open.resolve("localhost".parse().unwrap()).await.is_ok());
    let egress = Egress::new(guard(&[]));
    let error = egress.connect("localhost", 5432).await.unwrap_err();
    assert!(matches!(error, Error::TargetRefused { .. }), "{error:?}");
}

#[test]
fn a_redirect_leaves_secrets_at_the_origin() {
    let call = |method| Call {
        method,
        url: url("https://a.example/x"),
        headers: HeaderMap::from_iter([
            (header::AUTHORIZATION, "t".parse().unwrap()),
            (header::ACCEPT, "*/*".parse().unwrap()),
            (header::CONTENT_TYPE, "text/plain".parse().unwrap()),
        ]),
        secret_headers: HeaderMap::from_iter([(header::COOKIE, "s".parse().unwrap())]),
        body: b"body".to_vec(),
        timeout: MAX_TIMEOUT,
        redirects: 5,
    };
    let mut same = call(Method::POST);
    redirect_to(&mut same, url("https://a.example/y"), StatusCode::TEMPORARY_REDIRECT).unwrap();
    assert_eq!((same.method, same.body.len(), same.secret_headers.len()), (Method::POST, 4, 1));
    let mut other = call(Method::POST);
    redirect_to(&mut other, url("https://b.example/y"), StatusCode::FOUND).unwrap();
    assert_eq!((other.method, other.body.len()), (Method::GET, 0));
    assert!(other.secret_headers.is_empty() && !other.headers.contains_key(header::AUTHORIZATION));
    assert!(
        other.headers.contains_key(header::ACCEPT)
            && !other.headers.contains_key(header::CONTENT_TYPE)
    );
    let down = redirect_to(&mut call(Method::GET), url("http://a.example/"), StatusCode::FOUND);
    assert!(matches!(down, Err(Error::TargetRefused { .. })));
}

//! Where codes may go, and the tricks that must not work.

use super::{is_allowed, with_query};

#[test]
fn codes_go_only_to_configured_and_loopback_addresses() {
    let configured =
        ["https://app.example/callback".to_owned(), "com.example.app:/done".to_owned()];
    let check = |uri: &str, expected: bool| {
        assert_eq!(is_allowed(uri, &configured), expected, "{uri}");
    };
    check("https://app.example/callback", true);
    check("com.example.app:/done", true);
    check("http://127.0.0.1:51004/callback", true);
    check("http://127.0.0.1/callback", true);
    check("http://127.0.0.1", true);
    check("http://[::1]:8080/x?y=z", true);
    check("https://app.example/callback/", false);
    check("https://app.example/callback?x=1", false);
    check("https://app.example/callback#x", false);
    check("https://app.example.evil.example/callback", false);
    check("https://APP.example/callback", false);
    check("http://localhost:8080/callback", false);
    check("http://127.0.0.1.evil.example/", false);
    check("http://127.0.0.1@evil.example/", false);
    check("http://evil.example\\@127.0.0.1/", false);
    check("http://127.0.0.1:80:80/", false);
    check("http://2130706433/", false);
    check("http://0x7f.1/", false);
    check("http://10.0.0.1/", false);
    check("https://127.0.0.1/", false);
    check("http://127.0.0.1/\n", false);
    check("javascript:alert(1)", false);
    check("/relative", false);
    check("", false);
}

#[test]
fn values_are_added_to_the_query_in_its_encoding() {
    let check = |uri: &str, expected: &str| {
        assert_eq!(with_query(uri, &[("code", "a b"), ("state", "&")]).as_deref(), Some(expected));
    };
    check("http://127.0.0.1:1/x", "http://127.0.0.1:1/x?code=a+b&state=%26");
    check("http://127.0.0.1:1/x?y=z", "http://127.0.0.1:1/x?y=z&code=a+b&state=%26");
}

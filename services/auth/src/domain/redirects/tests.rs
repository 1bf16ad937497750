//! Where codes may go, and the tricks that must not work.

use super::{is_allowed, matches, refusal, with_query};

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

// Rows A2 and A3 of the attacks: each is refused where exactly one address is registered.
const CORPUS: &[&str] = &[
    "https://app.example/callback/",
    "https://app.example/callback//",
    "https://app.example//callback",
    "https://app.example/Callback",
    "https://app.example/callbacK",
    "https://app.example/callback?",
    "https://app.example/callback?x=1",
    "https://app.example/callback?redirect=https://evil.example",
    "https://app.example/callback#",
    "https://app.example/callback#x",
    "https://app.example/callback;x=1",
    "https://app.example/callback.evil",
    "https://app.example/callback/../callback",
    "https://app.example/./callback",
    "https://app.example/x/../callback",
    "https://app.example/callback/..",
    "https://app.example/callback/%2e%2e",
    "https://app.example/callback/%2e%2e/evil",
    "https://app.example/callback/%252e%252e/evil",
    "https://app.example/callback/..%2fevil",
    "https://app.example/callback%2f",
    "https://app.example/callback%00",
    "https://app.example/callback%0a",
    "https://app.example/callback%0d%0aSet-Cookie:x",
    "https://app.example/%63allback",
    "https://app.example/callback\\",
    "https://app.example\\callback",
    "https:\\\\app.example\\callback",
    "https:/app.example/callback",
    "https:app.example/callback",
    "https:///app.example/callback",
    "//app.example/callback",
    "/callback",
    "callback",
    "http://app.example/callback",
    "HTTPS://app.example/callback",
    "https://APP.example/callback",
    "https://app.example:443/callback",
    "https://app.example:8443/callback",
    "https://app.example:/callback",
    "https://app.example./callback",
    "https://.app.example/callback",
    "https://www.app.example/callback",
    "https://app.example.evil.example/callback",
    "https://evil.example/app.example/callback",
    "https://evil.example/?https://app.example/callback",
    "https://evil.example#https://app.example/callback",
    "https://app.example@evil.example/callback",
    "https://user@app.example/callback",
    "https://user:password@app.example/callback",
    "https://@app.example/callback",
    "https://evil.example\\@app.example/callback",
    "https://evil.example%40app.example/callback",
    "https://app.example%2eevil.example/callback",
    "https://app.example%00.evil.example/callback",
    "https://\u{430}pp.example/callback",
    "https://app.example/c\u{430}llback",
    "https://xn--pp-7lc.example/callback",
    "https://app\u{3002}example/callback",
    "https://app.example/callback\u{200b}",
    " https://app.example/callback",
    "https://app.example/callback ",
    "https://app.example/callback\t",
    "https://app.example/call\nback",
    "https://app.ex\tample/callback",
    "https://app.example/callback\r\n",
    "https://app.example/callback\0",
    "https://app.example/callback,https://evil.example",
    "https://app.example/callback https://evil.example",
    "https://app.example/*",
    "https://*.example/callback",
    "javascript:alert(1)//https://app.example/callback",
    "data:text/html,<script>1</script>",
    "http://127.0.0.1/callback",
    "",
];

#[test]
fn nothing_but_the_registered_address_matches() {
    const REGISTERED: &str = "https://app.example/callback";
    assert!(CORPUS.len() >= 60);
    assert!(matches(REGISTERED, REGISTERED));
    for one in CORPUS {
        assert!(!matches(one, REGISTERED), "{one:?}");
    }
}

#[test]
fn only_the_port_of_a_loopback_number_may_differ() {
    let check = |asked: &str, registered: &str, expected: bool| {
        assert_eq!(matches(asked, registered), expected, "{asked} {registered}");
    };
    check("http://127.0.0.1:51004/cb", "http://127.0.0.1/cb", true);
    check("http://127.0.0.1/cb", "http://127.0.0.1:8080/cb", true);
    check("http://[::1]:51004/cb?x=1", "http://[::1]/cb?x=1", true);
    check("http://127.0.0.1:51004", "http://127.0.0.1", true);
    check("http://127.0.0.1:51004/other", "http://127.0.0.1/cb", false);
    check("http://127.0.0.2:51004/cb", "http://127.0.0.1/cb", false);
    check("http://[::1]:51004/cb", "http://127.0.0.1/cb", false);
    check("http://localhost:51004/cb", "http://localhost/cb", false);
    check("http://localhost/cb", "http://localhost/cb", true);
    check("http://127.0.0.1:x/cb", "http://127.0.0.1/cb", false);
    check("http://127.0.0.1:/cb", "http://127.0.0.1/cb", false);
    check("http://127.0.0.1@evil.example:80/cb", "http://127.0.0.1/cb", false);
    check("http://127.0.0.1.evil.example/cb", "http://127.0.0.1/cb", false);
    check("https://127.0.0.1:51004/cb", "http://127.0.0.1/cb", false);
}

#[test]
fn an_address_that_cannot_be_trusted_is_not_registered() {
    let check = |uri: &str, native: bool, expected: bool| {
        assert_eq!(refusal(uri, native).is_none(), expected, "{uri}: {:?}", refusal(uri, native));
    };
    check("https://app.example/cb", false, true);
    check("https://app.example", false, true);
    check("https://app.example/cb?tenant=%2Fa", false, true);
    check("https://xn--bcher-kva.example/cb", false, true);
    check("http://localhost:3000/cb", false, true);
    check("http://127.0.0.1/cb", false, true);
    check("com.example.app:/cb", true, true);
    check("com.example.app:/cb", false, false);
    check("myapp:/cb", true, false);
    for bad in [
        "http://app.example/cb",
        "http://10.0.0.1/cb",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://app.example/x",
        "ftp://app.example/",
        "about:blank",
        "https://user@app.example/cb",
        "https://app.example/cb#x",
        "https://app.example/a/../cb",
        "https://app.example/%2e%2e/cb",
        "https://app.example/a%2fb",
        "https://app.example:443/cb",
        "https://APP.example/cb",
        "https://app.example./cb",
        "https://b\u{fc}cher.example/cb",
        "https://app.example/c b",
        "/cb",
        "",
    ] {
        check(bad, true, false);
    }
}

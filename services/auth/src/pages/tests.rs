//! Headers and links of pages.

use super::{Chrome, Policy, assets, failure, form_source};
use http::StatusCode;

#[test]
fn a_page_may_send_forms_to_the_origin_of_an_application() {
    let check = |address: &str, source: Option<&str>| {
        assert_eq!(form_source(address).as_deref(), source, "{address}");
    };
    check("https://app.example/cb?x=1", Some("https://app.example"));
    check("http://127.0.0.1:5000/cb", Some("http://127.0.0.1:5000"));
    check("http://[::1]:5000/cb", Some("http://[::1]:5000"));
    check("com.example.app:/cb", Some("com.example.app:"));
    check("https://a;script-src/cb", None);
    check("nothing", None);
}

#[test]
fn every_page_has_a_strict_policy_and_escapes_what_it_shows() {
    let chrome = Chrome::new("https://id.example/auth");
    let page = failure(&chrome, StatusCode::BAD_REQUEST, "No", "<script>alert(1)</script>");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.headers()[name], value);
    }
    assert!(Policy { scripts: true, ..Policy::default() }.text().contains("script-src 'self'"));
}

#[test]
fn links_stay_below_the_issuer() {
    let chrome = Chrome::new("https://id.example/auth");
    assert_eq!(chrome.path("/account/login"), "/auth/account/login");
    let asset = chrome.asset("account.css");
    assert!(asset.starts_with("/auth/account/assets/account.") && asset.ends_with(".css"));
    assert_eq!(Chrome::new("http://localhost:8006").path("/account"), "/account");
    assert_ne!(assets::path("account.css"), "/account/assets/account.css");
}

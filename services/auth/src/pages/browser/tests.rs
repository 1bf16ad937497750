//! Cookies, and where forms come from.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Cookie, CookieSecret, Csrf, comes_from_us};

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

#[test]
fn a_form_comes_from_a_page_of_ours() {
    let check = |pairs: &[(&'static str, &str)], expected: bool| {
        assert_eq!(comes_from_us(&headers(pairs), "https://id.example"), expected, "{pairs:?}");
    };
    check(&[], true);
    check(&[("origin", "https://id.example")], true);
    check(&[("origin", "null")], true);
    check(&[("origin", "http://127.0.0.1:81"), ("host", "127.0.0.1:81")], true);
    check(&[("origin", "https://evil.example"), ("host", "id.example")], false);
    check(&[("origin", "https://id.example.evil.example")], false);
    check(&[("origin", "https://id.example"), ("sec-fetch-site", "cross-site")], false);
    check(&[("origin", "null"), ("sec-fetch-site", "cross-site")], false);
    check(&[("origin", "null"), ("sec-fetch-site", "same-origin")], true);
    check(&[("sec-fetch-site", "same-site")], false);
}

#[test]
fn the_cookie_is_bound_to_the_host_and_out_of_reach_of_scripts() {
    let secret = CookieSecret::generate();
    let safe = Cookie::new("https://id.example").write(secret.expose(), 60);
    let safe = safe.to_str().unwrap();
    assert!(safe.starts_with("__Host-lightning_session="));
    for part in ["; Path=/;", "HttpOnly", "SameSite=Lax", "Secure"] {
        assert!(safe.contains(part), "{part}");
    }
    assert!(!safe.contains("Domain"));
    let plain = Cookie::new("http://localhost:8006").write(secret.expose(), 60);
    assert!(!plain.to_str().unwrap().contains("Secure"));
}

#[test]
fn of_two_cookies_with_the_name_none_is_believed() {
    let (cookie, secret) = (Cookie::new("http://localhost:8006"), CookieSecret::generate());
    let one = format!("a=b; lightning_session={}; c", secret.expose());
    assert!(cookie.read(&headers(&[("cookie", &one)])) == Some(secret));
    let other = CookieSecret::generate();
    let two = format!("{one}; lightning_session={}", other.expose());
    assert!(cookie.read(&headers(&[("cookie", &two)])).is_none());
}

#[test]
fn the_token_of_another_browser_does_not_fit() {
    let (mine, yours) = (CookieSecret::generate(), CookieSecret::generate());
    let token = Csrf::of(&mine);
    assert!(token.fits(Some(token.expose())));
    for wrong in [None, Some(""), Some(Csrf::of(&yours).expose()), Some(mine.expose())] {
        assert!(!token.fits(wrong));
    }
}

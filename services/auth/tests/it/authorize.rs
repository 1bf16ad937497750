//! The authorization endpoint, the login page and consent, as a browser and an application see them.

use std::time::Duration;

use base64::Engine as _;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    browser::{CHALLENGE, REDIRECT, authorize, config, request},
    world::{PASSWORD, World},
};

async fn world() -> World {
    let world = World::with(config()).await;
    world.admin().await;
    world
}

fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    serde_json::from_slice(&engine.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_person_signs_in_agrees_and_the_application_gets_a_code() {
    let world = world().await;
    let browser = world.browser();
    let login = browser.visit(&authorize(&[("login_hint", "ada")])).await;
    assert_eq!(login.status, StatusCode::OK);
    assert!(login.text.contains("Acme Notes") && login.text.contains("value=\"ada\""));
    let consent = browser.sign_in(&login, "ada").await;
    for words in ["Allow Acme Notes?", "See agents", "Know who you are", "app.example"] {
        assert!(consent.text.contains(words), "{words}: {}", consent.text);
    }
    let back = browser.fill(&consent, &[("decision", "allow")]).await;
    assert!(back.location().unwrap().starts_with(REDIRECT));
    let answer = back.answer();
    assert_eq!(
        (&answer["state"], &answer["iss"]),
        (&json!("xyz"), &json!("http://localhost:8006"))
    );
    let tokens = world.exchange(answer["code"].as_str().unwrap()).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let token = claims(&tokens.body["access_token"]);
    assert_eq!(
        (&token["client_id"], &token["permissions"]),
        (&json!("app"), &json!(["agents.read"]))
    );
    assert_eq!(token["amr"], json!(["pwd"]));

    // Remembered: neither page comes again, for less as well; for more the person is asked.
    assert!(browser.get(&authorize(&[])).await.answer()["code"].is_string());
    assert!(browser.get(&authorize(&[("scope", "openid")])).await.answer()["code"].is_string());
    let more = browser.visit(&authorize(&[("scope", "openid agents.invoke")])).await;
    assert!(more.text.contains("Run agents") && more.text.contains("acts in your name"));
}

#[tokio::test]
async fn an_unknown_client_or_address_is_never_redirected_to() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let check = async |changes: &[(&str, &str)], words: &str| {
        browser.get(&authorize(changes)).await.told(words);
        let form = request(changes);
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (&**a, &**b)).collect();
        browser.post("/oauth/authorize", &pairs).await.told(words);
    };
    check(&[("client_id", "nobody")], "not known here").await;
    check(&[("client_id", "")], "did not say who it is").await;
    check(&[("redirect_uri", "")], "did not say where").await;
    for wrong in [
        "https://evil.example/cb",
        "https://app.example/cb/",
        "https://app.example/cb?x=1",
        "https://app.example/cb?a=1&b=2",
        "https://app.example/cb#f",
        "https://app.example@evil.example/cb",
        "https://app.example/x/../cb",
        "//app.example/cb",
        "javascript:alert(1)",
        "http://127.0.0.1:5000/cb",
    ] {
        check(&[("redirect_uri", wrong)], "not registered for it").await;
    }
    // What is wrong with the rest does not make it safer to send anything anywhere.
    check(&[("redirect_uri", "https://evil.example/"), ("prompt", "none")], "not registered").await;
    // A registered query is part of the address.
    let code = browser.code(&[("redirect_uri", "https://app.example/cb?a=1")]).await;
    assert!(code.starts_with("lac_"));
}

#[tokio::test]
async fn wrong_requests_are_told_to_the_application() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let check = async |changes: &[(&str, &str)], code: &str| {
        browser.get(&authorize(changes)).await.refused(code);
    };
    check(&[("response_type", "")], "invalid_request").await;
    for kind in ["token", "id_token", "code id_token", "none", "CODE"] {
        check(&[("response_type", kind)], "unsupported_response_type").await;
    }
    check(&[("code_challenge", "")], "invalid_request").await;
    check(&[("code_challenge_method", "")], "invalid_request").await;
    check(&[("code_challenge_method", "plain")], "invalid_request").await;
    check(&[("code_challenge", "short")], "invalid_request").await;
    check(&[("code_challenge", &format!("{CHALLENGE}x"))], "invalid_request").await;
    check(&[("code_challenge", &CHALLENGE.replace('-', "+"))], "invalid_request").await;
    check(&[("prompt", "none login")], "invalid_request").await;
    check(&[("max_age", "soon")], "invalid_request").await;
    check(&[("max_age", "-1")], "invalid_request").await;
    check(&[("id_token_hint", "nonsense")], "invalid_request").await;
    check(&[("claims", "[]")], "invalid_request").await;
    check(&[("claims", "{\"id_token\": 1}")], "invalid_request").await;
    check(&[("dpop_jkt", "x")], "invalid_request").await;
    check(&[("scope", "unheard-of")], "invalid_scope").await;
    check(&[("scope", "")], "invalid_scope").await;
    check(&[("resource", "not an address")], "invalid_target").await;
    check(&[("resource", "https://api.example/#f")], "invalid_target").await;
    check(&[("request", "eyJhbGciOiJub25lIn0.e30.")], "request_not_supported").await;
    check(&[("request_uri", "http://127.0.0.1:1/x")], "request_uri_not_supported").await;
    check(&[("registration", "{}")], "registration_not_supported").await;
    check(&[("response_mode", "fragment")], "invalid_request").await;
    check(&[("nonce", &"n".repeat(2_001))], "invalid_request").await;
}

#[tokio::test]
async fn repeated_parameters_are_refused() {
    let world = world().await;
    let browser = world.browser();
    for twice in ["client_id=app", "redirect_uri=https://evil.example/", "state=2", "scope=openid"]
    {
        let page = browser.get(&format!("{}&{twice}", authorize(&[]))).await;
        page.told("is there twice");
    }
    // One half in the query, one in the form.
    let page = browser.post("/oauth/authorize?client_id=app", &[("scope", "openid")]).await;
    page.told("two places at once");
    // Unknown parameters are ignored.
    let odd = authorize(&[("foo", "bar"), ("ui_locales", "se"), ("display", "popup")]);
    assert_eq!(browser.get(&odd).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn prompt_none_shows_nothing() {
    let world = world().await;
    let quiet = authorize(&[("prompt", "none")]);
    let browser = world.browser();
    browser.get(&quiet).await.refused("login_required");
    let browser = browser.signed_in("ada").await;
    browser.get(&quiet).await.refused("consent_required");
    browser.code(&[]).await;
    assert!(browser.get(&quiet).await.answer()["code"].is_string());
    world.advance(Duration::from_secs(10));
    browser
        .get(&authorize(&[("prompt", "none"), ("max_age", "1")]))
        .await
        .refused("login_required");
    let acr = r#"{"id_token":{"acr":{"essential":true,"values":["urn:lightning:acr:multi"]}}}"#;
    let page = browser.get(&authorize(&[("prompt", "none"), ("claims", acr)])).await;
    page.refused("unmet_authentication_requirements");
    let voluntary = authorize(&[("prompt", "none"), ("acr_values", "urn:lightning:acr:multi")]);
    assert!(browser.get(&voluntary).await.answer()["code"].is_string());
}

#[tokio::test]
async fn prompt_login_and_max_age_ask_again_and_change_the_session() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let first = world.exchange(&browser.code(&[]).await).await.body;
    let before = browser.cookie();
    for changes in [("prompt", "login"), ("max_age", "1"), ("max_age", "0")] {
        world.advance(Duration::from_secs(5));
        let login = browser.visit(&authorize(&[changes])).await;
        assert!(login.text.contains("Confirm that it is you"), "{changes:?}");
        let back = browser.sign_in(&login, "ada").await;
        let tokens = world.exchange(back.answer()["code"].as_str().unwrap()).await.body;
        let (old, new) = (claims(&first["access_token"]), claims(&tokens["access_token"]));
        assert!(new["auth_time"].as_i64() > old["auth_time"].as_i64());
        assert_eq!(old["sub"], new["sub"]);
    }
    // The cookie from before is worth nothing.
    let after = browser.cookie();
    assert_ne!(before, after);
    browser.cookies.lock().unwrap().insert("lightning_session".to_owned(), before);
    assert!(browser.visit("/account").await.text.contains("Sign in"));
    browser.cookies.lock().unwrap().insert("lightning_session".to_owned(), after);
    // A long max_age asks nobody, and keeps the time.
    assert!(browser.get(&authorize(&[("max_age", "10000")])).await.answer()["code"].is_string());
}

#[tokio::test]
async fn the_account_is_chosen_when_the_application_asks() {
    let world = world().await;
    let (ada, _) = world.login("ada").await;
    world.user(&ada, "bob", "viewer").await;
    let browser = world.browser().signed_in("ada").await;
    browser.code(&[]).await;
    let choose = browser.visit(&authorize(&[("prompt", "select_account")])).await;
    assert!(choose.text.contains("Choose an account"));
    let back = browser.fill(&choose, &[("decision", "this")]).await;
    assert!(back.answer()["code"].is_string());
    let choose = browser.visit(&authorize(&[("prompt", "select_account")])).await;
    let login = browser.fill(&choose, &[("decision", "other")]).await;
    let consent = browser.sign_in(&login, "bob").await;
    assert!(consent.text.contains("<strong>bob</strong>"), "{}", consent.text);
}

#[tokio::test]
async fn a_request_comes_as_a_form_too() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let form = request(&[]);
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (&**a, &**b)).collect();
    // From another site: the cookie does not come along, and is not replaced.
    let stranger = world.browser();
    let page =
        stranger.post_with("/oauth/authorize", &pairs, &[("sec-fetch-site", "cross-site")]).await;
    assert!(!page.headers.contains_key("set-cookie"));
    let consent = browser.visit(page.location().unwrap()).await;
    assert!(consent.text.contains("Allow Acme Notes?"));
    // Once.
    browser.get(page.location().unwrap()).await.told("expired or was used before");
}

#[tokio::test]
async fn answers_travel_in_a_form_if_the_application_likes() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    browser.code(&[]).await;
    let nasty = "\"><script>alert(1)</script>";
    let page = browser.get(&authorize(&[("response_mode", "form_post"), ("state", nasty)])).await;
    assert_eq!(page.status, StatusCode::OK);
    let (action, _) = page.form();
    assert_eq!(action, REDIRECT);
    assert!(page.hidden("code").starts_with("lac_"));
    assert_eq!(
        (page.hidden("state"), page.hidden("iss").as_str()),
        (nasty.to_owned(), "http://localhost:8006")
    );
    assert!(!page.text.contains("<script>"));
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("form-action 'self' https://app.example;")
            && policy.contains("script-src 'self'")
    );
    assert!(!policy.contains("unsafe"));
    let script = page.text.split_once("<script src=\"").unwrap().1.split('"').next().unwrap();
    assert!(browser.get(script).await.text.contains("submit()"));
    // Errors travel the same way.
    let wrong = [("response_mode", "form_post"), ("scope", "unheard-of")];
    assert_eq!(browser.get(&authorize(&wrong)).await.hidden("error"), "invalid_scope");
}

#[tokio::test]
async fn a_request_without_a_nonce_is_fine() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let code = browser.code(&[("nonce", ""), ("state", "")]).await;
    assert_eq!(world.exchange(&code).await.status, 200);
    let page = browser.get(&authorize(&[("nonce", ""), ("state", "")])).await;
    assert!(page.answer().get("state").is_none());
}

#[tokio::test]
async fn a_person_says_no() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let consent = browser.visit(&authorize(&[])).await;
    browser.fill(&consent, &[("decision", "deny")]).await.refused("access_denied");
    // It is answered: the page cannot be used again.
    browser.fill(&consent, &[("decision", "allow")]).await.told("This sign-in has ended");
    browser.get(&authorize(&[("prompt", "none")])).await.refused("consent_required");
    // Who agreed is asked again with prompt=consent.
    browser.code(&[]).await;
    let again = browser.visit(&authorize(&[("prompt", "consent")])).await;
    assert!(again.text.contains("Allow Acme Notes?"));
}

#[tokio::test]
async fn what_is_agreed_to_cannot_change_between_two_pages() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let consent = browser.visit(&authorize(&[("scope", "agents.read")])).await;
    let back = browser
        .fill(
            &consent,
            &[
                ("decision", "allow"),
                ("scope", "*"),
                ("client_id", "own"),
                ("redirect_uri", "https://evil.example/"),
            ],
        )
        .await;
    assert!(back.location().unwrap().starts_with(REDIRECT));
    let tokens = world.exchange(back.answer()["code"].as_str().unwrap()).await;
    assert_eq!(tokens.body["scope"], "agents.read");
}

#[tokio::test]
async fn a_request_belongs_to_the_browser_it_came_from() {
    let world = world().await;
    let mallory = world.browser();
    let login = mallory.get(&authorize(&[])).await;
    let path = login.location().unwrap().to_owned();
    let victim = world.browser().signed_in("ada").await;
    victim.get(&path).await.told("This sign-in has ended");
    let name = path.split_once("request=").unwrap().1;
    victim.get(&format!("/account/consent?request={name}")).await.told("has ended");
    victim.get(&format!("/account/continue?request={name}")).await.told("has ended");
    // And it does not wait for ever.
    world.advance(Duration::from_mins(30));
    mallory.get(&path).await.told("This sign-in has ended");
}

#[tokio::test]
async fn forms_need_the_token_of_their_browser_and_come_from_us() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let consent = browser.visit(&authorize(&[])).await;
    let (action, hidden) = consent.form();
    let csrf = consent.hidden("csrf");
    let stranger = world.browser().signed_in("ada").await;
    let foreign = stranger.visit(&authorize(&[])).await.hidden("csrf");
    let name = hidden.iter().find(|(name, _)| name == "request").unwrap().1.clone();
    let same = [("sec-fetch-site", "same-origin")];
    for (token, headers) in [
        ("", &same[..]),
        (&foreign, &same[..]),
        (&csrf, &[("sec-fetch-site", "cross-site")][..]),
        (&csrf, &[("sec-fetch-site", "same-site")][..]),
        (&csrf, &[("origin", "https://evil.example")][..]),
    ] {
        let values = [("csrf", token), ("request", &name), ("decision", "allow")];
        let page = browser.post_with(&action, &values, headers).await;
        assert_eq!((page.status, page.location()), (StatusCode::FORBIDDEN, None), "{headers:?}");
    }
    // Login CSRF: a form that signs somebody in as another.
    let fresh = world.browser();
    let values = [("username", "ada"), ("password", PASSWORD)];
    let page = fresh.post_with("/account/login", &values, &[]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    // The request was not touched.
    let back = browser.fill(&consent, &[("decision", "allow")]).await;
    assert!(back.answer()["code"].is_string());
}

#[tokio::test]
async fn a_planted_cookie_is_worth_nothing_after_signing_in() {
    let world = world().await;
    let browser = world.browser();
    let planted = "A".repeat(43);
    browser.cookies.lock().unwrap().insert("lightning_session".to_owned(), planted.clone());
    let browser = browser.signed_in("ada").await;
    assert_ne!(browser.cookie(), planted);
    let mallory = world.browser();
    mallory.cookies.lock().unwrap().insert("lightning_session".to_owned(), planted);
    assert!(mallory.visit("/account").await.text.contains("Sign in"));
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_when_its_user_is_shut_out() {
    let world = world().await;
    let (ada, _) = world.login("ada").await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let browser = world.browser().signed_in("bob").await;
    world.advance(Duration::from_hours(11));
    assert!(browser.visit("/account").await.text.contains("Signed in since"));
    world.advance(Duration::from_hours(11));
    assert!(browser.visit("/account").await.text.contains("Signed in since"));
    world.advance(Duration::from_hours(12));
    assert!(!browser.visit("/account").await.text.contains("Signed in since"));

    let browser = world.browser().signed_in("bob").await;
    let (ada, _) = world.login("ada").await;
    let path = format!("/api/v1/users/{}", bob["id"].as_str().unwrap());
    assert_eq!(ada.patch(&path, json!({"disabled": true})).await.status, 200);
    assert!(!browser.visit("/account").await.text.contains("Signed in since"));
}

#[tokio::test]
async fn a_wrong_login_tells_nothing() {
    let world = world().await;
    let browser = world.browser();
    let login = browser.visit("/account/login").await;
    let mut texts = Vec::new();
    for (name, password) in
        [("ada", "wrong mule battery"), ("nobody", "wrong mule battery"), ("ada", "")]
    {
        let page = browser.fill(&login, &[("username", name), ("password", password)]).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert!(page.text.contains("role=\"alert\"") && page.text.contains("aria-invalid"));
        texts.push(page.text.replace(&format!("value=\"{name}\""), ""));
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]));
    for _ in 0..9 {
        browser.fill(&login, &[("username", "ada"), ("password", "wrong mule battery")]).await;
    }
    let page = browser.sign_in(&login, "ada").await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(page.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn pages_cannot_be_framed_kept_or_scripted() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    for path in
        ["/account", "/account/sessions", "/account/consents", "/account/device", "/oauth/logout"]
    {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("script-src") && !page.text.contains("<script"), "{path}");
        assert!(!page.text.contains(" style="), "{path}");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(page.headers[name], value, "{path}");
        }
        assert!(!page.headers.contains_key("access-control-allow-origin"));
        assert!(page.text.contains("<html lang=\"en\">") && page.text.contains("<h1>"));
    }
    let style = browser.get("/account").await.text;
    let style =
        style.split_once("stylesheet\" href=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let style = browser.get(&style).await;
    assert_eq!(style.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(
        browser.get("/account/assets/..%2f..%2fCargo.toml").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn anybody_on_the_machine_is_asked_about_and_ours_is_not() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let exact = [("client_id", "spa"), ("redirect_uri", "http://127.0.0.1/cb")];
    let ported = [("client_id", "spa"), ("redirect_uri", "http://127.0.0.1:5000/cb")];
    browser.code(&exact).await;
    assert!(browser.get(&authorize(&exact)).await.answer()["code"].is_string());
    // Any program can listen there, so the consent is not taken as given.
    assert!(browser.visit(&authorize(&ported)).await.text.contains("Allow Page?"));
    assert!(browser.get(&authorize(&[("client_id", "own")])).await.answer()["code"].is_string());
}

#[tokio::test]
async fn a_code_dies_with_the_session_it_was_agreed_to_in() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let code = browser.code(&[]).await;
    let page = browser.get("/oauth/logout").await;
    browser.fill(&page, &[("decision", "leave")]).await;
    assert_eq!(world.exchange(&code).await.status, 400);
}

#[tokio::test]
async fn an_id_token_says_whom_the_application_means() {
    let world = World::with(config()).await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "bob", "viewer").await;
    let browser = world.browser().signed_in("ada").await;
    let tokens = world.exchange(&browser.code(&[]).await).await.body;
    let hint = tokens["id_token"].as_str().unwrap();
    // It has expired since: it is no credential.
    world.advance(Duration::from_hours(2));
    let silent = authorize(&[("prompt", "none"), ("id_token_hint", hint)]);
    assert!(browser.get(&silent).await.answer()["code"].is_string());
    let other = world.browser().signed_in("bob").await;
    other.get(&silent).await.refused("login_required");
    // With pages, the other one is asked to sign in.
    let page = other.visit(&authorize(&[("id_token_hint", hint)])).await;
    assert!(page.text.contains("Sign in"), "{}", page.text);
}

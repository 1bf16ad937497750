//! Logging out: on our pages, for applications, and telling applications about it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lightning_auth::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    browser::{AFTERWARDS, Page, authorize, config},
    world::{World, eventually},
};

async fn world() -> World {
    let world = World::with(config()).await;
    world.admin().await;
    world
}

fn logout(values: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish();
    format!("/oauth/logout?{query}")
}

fn is_out(page: &Page) -> bool {
    page.text.contains("You are signed out")
}

#[tokio::test]
async fn who_only_has_a_link_cannot_log_anybody_out() {
    let world = world().await;
    for values in [
        &[][..],
        &[("state", "xyz")],
        &[("client_id", "app")],
        &[("post_logout_redirect_uri", AFTERWARDS), ("state", "xyz")],
        &[("client_id", "app"), ("post_logout_redirect_uri", AFTERWARDS)],
    ] {
        let browser = world.browser().signed_in("ada").await;
        let page = browser.get(&logout(values)).await;
        assert!(page.text.contains("Sign out?") && page.location().is_none(), "{values:?}");
        let page = browser.fill(&page, &[("decision", "stay")]).await;
        assert!(page.text.contains("Signed in since"));
        // A form of another site becomes the same page.
        let form =
            browser.post_with("/oauth/logout", values, &[("sec-fetch-site", "cross-site")]).await;
        let page = browser.visit(form.location().unwrap()).await;
        assert!(page.text.contains("Sign out?"));
    }
}

#[tokio::test]
async fn a_confirmed_logout_ends_the_session_and_its_grants() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let tokens = world.exchange(&browser.code(&[]).await).await.body;
    let kept = world
        .exchange(
            &browser.code(&[("scope", "openid offline_access agents.read account.read")]).await,
        )
        .await
        .body;
    let app = world.bearer(tokens["access_token"].as_str().unwrap());
    let away = world.bearer(kept["access_token"].as_str().unwrap());
    let cookie = browser.cookie();
    let page = browser.get("/oauth/logout").await;
    assert!(is_out(&browser.fill(&page, &[("decision", "leave")]).await));
    assert_eq!(browser.cookie(), "");
    browser.cookies.lock().unwrap().insert("lightning_session".to_owned(), cookie);
    assert!(browser.visit("/account").await.text.contains("Sign in"));
    browser.get(&authorize(&[("prompt", "none")])).await.refused("login_required");
    eventually(|| async {
        app.get("/api/v1/agents").await.status == 401
            || app.get("/api/v1/sessions").await.status == 401
    })
    .await;
    // The user let the application keep its access.
    assert_eq!(away.get("/api/v1/sessions").await.status, 200);
}

#[tokio::test]
async fn after_logging_out_the_browser_goes_only_to_registered_addresses() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    for wrong in [
        "https://evil.example/",
        "https://app.example/bye/",
        "https://app.example/bye?x=1",
        "//app.example/bye",
        "/\\evil.example",
        "https://app.example/bye#f",
    ] {
        let values = [("client_id", "app"), ("post_logout_redirect_uri", wrong)];
        browser.get(&logout(&values)).await.told("not registered");
    }
    for hint in ["nonsense", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "a.b.c"] {
        browser.get(&logout(&[("id_token_hint", hint)])).await.told("not ours");
    }
    // The page cannot be made to go elsewhere either.
    let values = [("client_id", "app"), ("post_logout_redirect_uri", AFTERWARDS), ("state", "a b")];
    let page = browser.get(&logout(&values)).await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' https://app.example"), "{policy}");
    let evil = [("decision", "leave"), ("post_logout_redirect_uri", "https://evil.example/")];
    browser.fill(&page, &evil).await.told("not registered");
    let page = browser.fill(&page, &[("decision", "leave")]).await;
    assert_eq!(page.location(), Some("https://app.example/bye?state=a+b"));
    // Nobody is signed in any more: straight there.
    assert_eq!(
        browser.get(&logout(&values)).await.location(),
        Some("https://app.example/bye?state=a+b")
    );
}

#[tokio::test]
async fn an_id_token_of_the_session_ends_it_without_a_question() {
    let world = World::with(config()).await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "bob", "viewer").await;
    let browser = world.browser().signed_in("ada").await;
    let tokens = world.exchange(&browser.code(&[]).await).await.body;
    let hint = tokens["id_token"].as_str().unwrap();
    let path = logout(&[
        ("id_token_hint", hint),
        ("post_logout_redirect_uri", AFTERWARDS),
        ("state", "s"),
    ]);
    let forged = format!("{}A", &hint[..hint.len() - 1]);
    let forged = if forged == hint { format!("{}B", &hint[..hint.len() - 1]) } else { forged };
    browser.get(&logout(&[("id_token_hint", &forged)])).await.told("not ours");
    let other_client = logout(&[("id_token_hint", hint), ("client_id", "spa")]);
    browser.get(&other_client).await.told("another application");
    // Somebody else is asked.
    let other = world.browser().signed_in("bob").await;
    let page = other.get(&path).await;
    assert!(page.text.contains("Sign out?") && page.location().is_none(), "{page:?}");
    // It may have expired.
    world.advance(Duration::from_hours(2));
    let gone = format!("{AFTERWARDS}?state=s");
    assert_eq!(browser.get(&path).await.location(), Some(gone.as_str()));
    browser.get(&authorize(&[("prompt", "none")])).await.refused("login_required");
}

#[tokio::test]
async fn an_access_token_is_no_hint() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let tokens = world.exchange(&browser.code(&[]).await).await.body;
    let token = tokens["access_token"].as_str().unwrap();
    browser.get(&logout(&[("id_token_hint", token)])).await.told("not ours");
    browser.get(&authorize(&[("id_token_hint", token)])).await.refused("invalid_request");
}

#[tokio::test]
async fn a_person_sees_and_ends_their_sessions_and_consents() {
    let world = world().await;
    let (here, there) =
        (world.browser().signed_in("ada").await, world.browser().signed_in("ada").await);
    let tokens = world.exchange(&here.code(&[("scope", "openid account.read")]).await).await.body;
    let app = world.bearer(tokens["access_token"].as_str().unwrap());
    let page = here.get("/account/sessions").await;
    for words in ["Firefox", "this browser", "127.0.0.1", "Acme Notes", "Login with the password"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let csrf = page.hidden("csrf");
    here.post("/account/sessions", &[("csrf", &csrf), ("action", "others")]).await;
    assert!(there.visit("/account").await.text.contains("Sign in"));
    assert!(here.visit("/account").await.text.contains("Signed in since"));

    let page = here.get("/account/consents").await;
    assert!(page.text.contains("Acme Notes") && page.text.contains("Know who you are"));
    let csrf = page.hidden("csrf");
    here.post("/account/consents", &[("csrf", &csrf), ("client_id", "app")]).await;
    assert!(!here.get("/account/consents").await.text.contains("Acme Notes"));
    here.get(&authorize(&[("prompt", "none")])).await.refused("consent_required");
    eventually(|| async { app.get("/api/v1/sessions").await.status == 401 }).await;
    let refreshed = json!({"grant_type": "refresh_token", "client_id": "app",
        "client_secret": crate::browser::SECRET, "refresh_token": tokens["refresh_token"]});
    assert_eq!(world.nobody().post("/api/v1/auth/token", refreshed).await.status, 400);
}

#[tokio::test]
async fn nobody_ends_the_sessions_of_others() {
    let world = world().await;
    let (ada, _) = world.login("ada").await;
    world.user(&ada, "mallory", "viewer").await;
    let (here, there) =
        (world.browser().signed_in("ada").await, world.browser().signed_in("mallory").await);
    let other = world.browser().signed_in("ada").await;
    let id = here.get("/account/sessions").await.hidden("id");
    let csrf = there.visit("/account/device").await.hidden("csrf");
    for action in ["browser", "grant"] {
        there.post("/account/sessions", &[("csrf", &csrf), ("action", action), ("id", &id)]).await;
    }
    assert!(here.visit("/account").await.text.contains("Signed in since"));
    assert!(other.visit("/account").await.text.contains("Signed in since"));
}

type Heard = Arc<Mutex<Vec<String>>>;

/// An application that hears of logouts; it fails as often as it is told to.
async fn listener(heard: Heard, failures: usize) -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    lightning_mesh::task::spawn("listener", async move {
        loop {
            let (mut stream, _) = socket.accept().await.unwrap();
            let body = body_of(&mut stream).await;
            let count = {
                let mut heard = heard.lock().unwrap();
                heard.push(body);
                heard.len()
            };
            let status = if count <= failures { "503 Busy" } else { "200 OK" };
            let text =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}/bye")
}

async fn body_of(stream: &mut tokio::net::TcpStream) -> String {
    let mut text = String::new();
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part).await.unwrap();
        text.push_str(std::str::from_utf8(&part[..count]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.split_once("content-length: ").unwrap().1;
        let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
        if body.len() >= length || count == 0 {
            return body.to_owned();
        }
    }
}

fn config_with(listener: &str) -> Config {
    let mut config = config();
    config.clients[0].backchannel_logout_uri = Some(listener.to_owned());
    config
}

#[tokio::test]
async fn applications_hear_of_a_logout_even_if_they_fail_at_first() {
    let heard = Heard::default();
    let world = World::with(config_with(&listener(heard.clone(), 1).await)).await;
    world.admin().await;
    let browser = world.browser().signed_in("ada").await;
    let tokens = world.exchange(&browser.code(&[]).await).await.body;
    let page = browser.get("/oauth/logout").await;
    browser.fill(&page, &[("decision", "leave")]).await;
    eventually(|| async { heard.lock().unwrap().len() == 1 }).await;
    // It failed, so it comes again.
    world.advance(Duration::from_secs(5));
    eventually(|| async { heard.lock().unwrap().len() == 2 }).await;
    let sent = heard.lock().unwrap().clone();
    let token = |body: &str| {
        let token = body.strip_prefix("logout_token=").unwrap().to_owned();
        let part = |n: usize| -> Value {
            let text = token.split('.').nth(n).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
        };
        (part(0), part(1))
    };
    let access = tokens["access_token"].as_str().unwrap();
    let access = access.split('.').nth(1).unwrap();
    let access: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(access).unwrap()).unwrap();
    let ((header, first), (_, second)) = (token(&sent[0]), token(&sent[1]));
    assert_eq!(header["typ"], "logout+jwt");
    assert_eq!((&first["aud"], &first["sub"]), (&json!("app"), &access["sub"]));
    assert_eq!(first["iss"], "http://localhost:8006");
    assert!(first["sid"].is_string() && first.get("nonce").is_none());
    assert!(first["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert_ne!(first["jti"], second["jti"]);
}

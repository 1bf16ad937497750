//! The device flow (RFC 8628).

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    browser::{Browser, Page, config},
    world::World,
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

struct Device {
    code: String,
    user_code: String,
}

async fn begin(browser: &Browser<'_>) -> Device {
    let values = [("client_id", "spa"), ("scope", "openid agents.read")];
    let page = browser.post_with("/oauth/device_authorization", &values, &[]).await;
    assert_eq!(
        (page.status, &page.headers["cache-control"]),
        (StatusCode::OK, &"no-store".parse().unwrap())
    );
    let body: Value = serde_json::from_str(&page.text).unwrap();
    assert_eq!((body["expires_in"].as_i64(), body["interval"].as_i64()), (Some(600), Some(5)));
    assert_eq!(body["verification_uri"], "http://localhost:8006/account/device");
    assert!(body.get("verification_uri_complete").is_none());
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    Device { code: text("device_code"), user_code: text("user_code") }
}

/// The answer to the device: the error, or nothing if it has its tokens.
async fn poll(browser: &Browser<'_>, client: &str, code: &str) -> (Option<String>, Value) {
    let values = [("grant_type", GRANT), ("client_id", client), ("device_code", code)];
    let page = browser.post_with("/oauth/token", &values, &[]).await;
    let body: Value = serde_json::from_str(&page.text).unwrap();
    (body["error"].as_str().map(str::to_owned), body)
}

async fn type_code(browser: &Browser<'_>, code: &str) -> Page {
    let page = browser.visit("/account/device").await;
    browser.fill(&page, &[("user_code", code)]).await
}

async fn world() -> World {
    let world = World::with(config()).await;
    world.admin().await;
    world
}

#[tokio::test]
async fn a_device_gets_tokens_once_when_its_user_approves() {
    let world = world().await;
    let machine = world.browser();
    let device = begin(&machine).await;
    let pending = Some("authorization_pending".to_owned());
    assert_eq!(poll(&machine, "spa", &device.code).await.0, pending);
    // Too soon, and from then on five seconds more.
    assert_eq!(poll(&machine, "spa", &device.code).await.0, Some("slow_down".to_owned()));
    world.advance(Duration::from_secs(5));
    assert_eq!(poll(&machine, "spa", &device.code).await.0, Some("slow_down".to_owned()));
    world.advance(Duration::from_secs(15));
    assert_eq!(poll(&machine, "spa", &device.code).await.0, pending);

    let browser = world.browser();
    let login = browser.visit("/account/device").await;
    let page = browser.sign_in(&login, "ada").await;
    assert!(page.text.contains("Connect a device"));
    // However it is typed.
    let typed = device.user_code.to_lowercase().replace('-', " ");
    let confirm = browser.fill(&page, &[("user_code", &typed)]).await;
    for words in ["Sign this device in?", "Page", "127.0.0.1", "See agents"] {
        assert!(confirm.text.contains(words), "{words}: {}", confirm.text);
    }
    let done = browser.fill(&confirm, &[("decision", "allow")]).await;
    assert!(done.text.contains("The device is signed in"), "{}", done.text);
    // Another client does not get it, this one does, once.
    assert_eq!(poll(&machine, "own", &device.code).await.0, Some("unauthorized_client".to_owned()));
    let (error, body) = poll(&machine, "spa", &device.code).await;
    assert_eq!(error, None, "{body}");
    assert_eq!(body["scope"], "openid agents.read", "{body}");
    assert!(body["access_token"].is_string() && body["refresh_token"].is_string());
    assert_eq!(poll(&machine, "spa", &device.code).await.0, Some("invalid_grant".to_owned()));
    assert_eq!(poll(&machine, "spa", "ldc_unknown").await.0, Some("invalid_grant".to_owned()));
}

#[tokio::test]
async fn a_device_that_is_refused_or_late_gets_nothing() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let device = begin(&browser).await;
    let confirm = type_code(&browser, &device.user_code).await;
    browser.fill(&confirm, &[("decision", "deny")]).await;
    assert_eq!(poll(&browser, "spa", &device.code).await.0, Some("access_denied".to_owned()));
    // It was decided.
    browser.fill(&confirm, &[("decision", "allow")]).await.told("It is too late");
    assert_eq!(poll(&browser, "spa", &device.code).await.0, Some("access_denied".to_owned()));

    let late = begin(&browser).await;
    let confirm = type_code(&browser, &late.user_code).await;
    world.advance(Duration::from_mins(10));
    browser.fill(&confirm, &[("decision", "allow")]).await.told("It is too late");
    assert_eq!(poll(&browser, "spa", &late.code).await.0, Some("expired_token".to_owned()));
    type_code(&browser, &late.user_code).await.told("No device waits");
}

#[tokio::test]
async fn the_decision_counts_only_where_the_code_was_typed() {
    let world = world().await;
    let (ada, _) = world.login("ada").await;
    world.user(&ada, "mallory", "viewer").await;
    let (ada, mallory) =
        (world.browser().signed_in("ada").await, world.browser().signed_in("mallory").await);
    let device = begin(&mallory).await;
    let confirm = type_code(&mallory, &device.user_code).await;
    let id = confirm.hidden("device");
    let own = ada.visit("/account/device").await.hidden("csrf");
    let values = [("csrf", own.as_str()), ("device", &id), ("decision", "allow")];
    ada.post("/account/device/decide", &values).await.told("It is too late");
    assert_eq!(
        poll(&mallory, "spa", &device.code).await.0,
        Some("authorization_pending".to_owned())
    );
}

#[tokio::test]
async fn codes_cannot_be_guessed() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let device = begin(&browser).await;
    for n in 0..10 {
        let page = type_code(&browser, if n % 2 == 0 { "BCDF-GHJK" } else { "nonsense" }).await;
        page.told("No device waits");
    }
    // Now even the right one has to wait.
    let page = type_code(&browser, &device.user_code).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    let other = world.browser().signed_in("ada").await;
    assert_eq!(type_code(&other, &device.user_code).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_client_without_the_grant_has_no_device_flow() {
    let world = world().await;
    let browser = world.browser();
    for (client, code) in
        [("own", "unauthorized_client"), ("nobody", "invalid_client"), ("app", "invalid_client")]
    {
        let page =
            browser.post_with("/oauth/device_authorization", &[("client_id", client)], &[]).await;
        let body: Value = serde_json::from_str(&page.text).unwrap();
        assert_eq!(body["error"], code, "{client}");
    }
}

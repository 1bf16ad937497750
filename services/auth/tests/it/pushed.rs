//! Authorization requests that applications push before (RFC 9126).

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    browser::{Browser, SECRET, authorize, config, request},
    world::World,
};

async fn world() -> World {
    let world = World::with(config()).await;
    world.admin().await;
    world
}

async fn push(browser: &Browser<'_>, changes: &[(&str, &str)]) -> crate::browser::Page {
    let form = request(changes);
    let mut pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    if !changes.iter().any(|(name, _)| *name == "client_secret") {
        pairs.push(("client_secret".to_owned(), SECRET.to_owned()));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (&**a, &**b)).collect();
    browser.post_with("/oauth/par", &pairs, &[]).await
}

#[tokio::test]
async fn a_pushed_request_works_once_for_its_client_for_ninety_seconds() {
    let world = world().await;
    let browser = world.browser().signed_in("ada").await;
    let uri = async |changes: &[(&str, &str)]| {
        let page = push(&browser, changes).await;
        assert_eq!(page.status, StatusCode::CREATED, "{page:?}");
        let body: Value = serde_json::from_str(&page.text).unwrap();
        assert_eq!(body["expires_in"], 90);
        body["request_uri"].as_str().unwrap().to_owned()
    };
    let go = |client: &str, uri: &str| {
        let query = [("client_id", client), ("request_uri", uri)];
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        format!("/oauth/authorize?{query}")
    };
    let first = uri(&[]).await;
    // Somebody else's client neither gets it nor uses it up.
    browser.get(&go("own", &first)).await.told("expired or was used before");
    let consent = browser.visit(&go("app", &first)).await;
    assert!(consent.text.contains("Allow Acme Notes?"));
    browser.get(&go("app", &first)).await.told("expired or was used before");
    let late = uri(&[]).await;
    world.advance(Duration::from_secs(90));
    browser.get(&go("app", &late)).await.told("expired or was used before");
    browser.get(&go("app", "urn:ietf:params:oauth:request_uri:nonsense")).await.told("expired");

    // A client that has to push cannot do without.
    browser.get(&authorize(&[("client_id", "pushing")])).await.refused("invalid_request");
    let pushed = uri(&[("client_id", "pushing")]).await;
    assert!(browser.visit(&go("pushing", &pushed)).await.text.contains("Allow"));
    let form = request(&[("client_id", "pushing")]);
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (&**a, &**b)).collect();
    browser.post("/oauth/authorize", &pairs).await.refused("invalid_request");
}

#[tokio::test]
async fn wrong_pushed_requests_are_told_to_the_client() {
    let world = world().await;
    let browser = world.browser();
    let check = async |changes: &[(&str, &str)], status: u16, code: &str| {
        let page = push(&browser, changes).await;
        let body: Value = serde_json::from_str(&page.text).unwrap();
        assert_eq!((page.status.as_u16(), body["error"].as_str()), (status, Some(code)), "{body}");
    };
    check(&[("client_secret", "wrong")], 401, "invalid_client").await;
    check(&[("redirect_uri", "https://evil.example/")], 400, "invalid_request").await;
    check(&[("code_challenge", "")], 400, "invalid_request").await;
    check(&[("response_type", "token")], 400, "unsupported_response_type").await;
    check(&[("scope", "unheard-of")], 400, "invalid_scope").await;
    check(&[("request_uri", "urn:x")], 400, "invalid_request").await;
}

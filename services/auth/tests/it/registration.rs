//! Clients that register themselves (RFC 7591) and look after themselves (RFC 7592).

use std::time::Duration;

use lightning_auth::{Config, DynamicRegistration};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    oauth::{basic, send, token},
    world::{Answer, World},
};

async fn register(world: &World, body: &Value, bearer: Option<&str>) -> Answer {
    let authorization = format!("Bearer {}", bearer.unwrap_or_default());
    let mut headers = vec![("content-type", "application/json")];
    if bearer.is_some() {
        headers.push(("authorization", &authorization));
    }
    send(world, Method::POST, "/oauth/register", body.to_string(), &headers).await
}

fn web() -> Value {
    json!({"client_name": "App", "redirect_uris": ["https://app.example/cb"],
        "grant_types": ["authorization_code", "refresh_token"]})
}

async fn manage(
    world: &World,
    method: Method,
    registered: &Answer,
    body: &Value,
    token: &str,
) -> Answer {
    let path = format!("/oauth/register/{}", registered.text("client_id"));
    let authorization = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", &*authorization)];
    send(world, method, &path, body.to_string(), &headers).await
}

#[tokio::test]
async fn a_client_registers_reads_changes_and_deletes_itself() {
    let world = World::new().await;
    let made = register(&world, &web(), None).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.headers["cache-control"], "no-store");
    assert_eq!(made.text("token_endpoint_auth_method"), "client_secret_basic");
    assert_eq!(made.body["client_secret_expires_at"], 0);
    let (id, secret) = (made.text("client_id"), made.text("client_secret"));
    let uri = format!("http://localhost:8006/oauth/register/{id}");
    assert_eq!(made.text("registration_client_uri"), uri);
    let own = made.text("registration_access_token");
    let read = manage(&world, Method::GET, &made, &json!({}), own).await;
    assert_eq!((read.status.as_u16(), read.text("client_name")), (200, "App"));
    assert_eq!(read.body["client_secret"], Value::Null);
    // It proves itself: the grant is what is wrong, not the client.
    let header = basic(id, secret);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", "lrt_x")];
    let known = token(&world, &fields, &[("authorization", &header)]).await;
    known.is_oauth_error(400, "invalid_grant");
    let fields = [("grant_type", "client_credentials")];
    let barred = token(&world, &fields, &[("authorization", &header)]).await;
    barred.is_oauth_error(400, "unauthorized_client");

    let mut new = web();
    new["client_name"] = json!("New");
    let unnamed = manage(&world, Method::PUT, &made, &new, own).await;
    unnamed.is_oauth_error(400, "invalid_request");
    new["client_id"] = json!(id);
    let wrong = manage(&world, Method::PUT, &made, &new, "lra_wrong").await;
    wrong.is_oauth_error(401, "invalid_token");
    let changed = manage(&world, Method::PUT, &made, &new, own).await;
    assert_eq!((changed.status.as_u16(), changed.text("client_name")), (200, "New"), "{changed:?}");
    let gone = manage(&world, Method::DELETE, &made, &json!({}), own).await;
    assert_eq!(gone.status, 204);
    let dead = manage(&world, Method::GET, &made, &json!({}), own).await;
    dead.is_oauth_error(401, "invalid_token");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", "lrt_x")];
    let dead = token(&world, &fields, &[("authorization", &header)]).await;
    dead.is_oauth_error(401, "invalid_client");
}

// Rows A3, A21 and A22 of the attacks.
#[tokio::test]
async fn what_a_client_says_of_itself_is_checked() {
    let world = World::new().await;
    let check = async |name: &str, value: Value, code: &str| {
        let mut body = web();
        body[name] = value;
        register(&world, &body, None).await.is_oauth_error(400, code);
    };
    for uri in ["http://app.example/cb", "javascript:alert(1)", "https://app.example/cb#x", "/cb"] {
        check("redirect_uris", json!([uri]), "invalid_redirect_uri").await;
    }
    check("redirect_uris", json!([]), "invalid_redirect_uri").await;
    check("grant_types", json!(["client_credentials"]), "invalid_client_metadata").await;
    check("grant_types", json!(["implicit"]), "invalid_client_metadata").await;
    check("response_types", json!(["token"]), "invalid_client_metadata").await;
    check("token_endpoint_auth_method", json!("client_secret_jwt"), "invalid_client_metadata")
        .await;
    check("subject_type", json!("pairwise"), "invalid_client_metadata").await;
    check("scope", json!("agents.fly"), "invalid_client_metadata").await;
    check("client_name", json!("a\u{0}b"), "invalid_client_metadata").await;
    check("jwks", json!({"keys": [{"kty": "oct", "k": "x"}]}), "invalid_client_metadata").await;
    check("jwks_uri", json!("file:///etc/passwd"), "invalid_client_metadata").await;
    let huge = json!({"client_name": "x".repeat(40_000)});
    register(&world, &huge, None).await.is_oauth_error(413, "invalid_client_metadata");
    let text = send(&world, Method::POST, "/oauth/register", "{".to_owned(), &[]).await;
    text.is_oauth_error(400, "invalid_client_metadata");

    // Unknown members are ignored, and an administrator sees where it came from.
    let mut body = web();
    body["logo_uri"] = json!("http://169.254.169.254/");
    body["first_party"] = json!(true);
    let made = register(&world, &body, None).await;
    assert_eq!((made.status.as_u16(), &made.body["logo_uri"]), (201, &Value::Null), "{made:?}");
    let (ada, _) = world.admin().await;
    let seen = ada.get(&format!("/api/v1/clients/{}", made.text("client_id"))).await;
    assert_eq!(seen.body["self_registered"], true);
    assert_eq!(seen.body["first_party"], false);
}

#[tokio::test]
async fn registrations_are_counted_by_address_and_in_total() {
    let config = Config { dynamic_clients_per_address: 2, ..Config::default() };
    let world = World::with(config).await;
    for _ in 0..2 {
        assert_eq!(register(&world, &web(), None).await.status, 201);
    }
    let full = register(&world, &web(), None).await;
    assert_eq!(full.status, 429, "{full:?}");
    assert!(full.headers.contains_key("retry-after"));
    world.advance(Duration::from_hours(1));
    assert_eq!(register(&world, &web(), None).await.status, 201);

    let world = World::with(Config { dynamic_clients: 1, ..Config::default() }).await;
    assert_eq!(register(&world, &web(), None).await.status, 201);
    assert_eq!(register(&world, &web(), None).await.status, 429);
}

#[tokio::test]
async fn registering_may_need_a_token_or_be_closed() {
    let world = World::with(Config {
        dynamic_registration: Some(DynamicRegistration::Token),
        ..Config::default()
    })
    .await;
    let (ada, tokens) = world.admin().await;
    register(&world, &web(), None).await.is_oauth_error(401, "invalid_token");
    register(&world, &web(), Some("x")).await.is_oauth_error(401, "invalid_token");
    let made = register(&world, &web(), tokens["access_token"].as_str()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let key = ada.post("/api/v1/api-keys", json!({"name": "ci"})).await;
    assert_eq!(register(&world, &web(), Some(key.text("key"))).await.status, 201);
    world.user(&ada, "eve", "viewer").await;
    let (_, viewer) = world.login("eve").await;
    let refused = register(&world, &web(), viewer["access_token"].as_str()).await;
    refused.is_oauth_error(401, "invalid_token");

    let world = World::with(Config {
        dynamic_registration: Some(DynamicRegistration::Closed),
        ..Config::default()
    })
    .await;
    let (_, tokens) = world.admin().await;
    let refused = register(&world, &web(), tokens["access_token"].as_str()).await;
    refused.is_oauth_error(403, "access_denied");
}

//! Administering clients, and how they prove themselves.

use std::time::Duration;

use lightning_auth::{Config, DeclaredClient};
use lightning_mesh::config::Secret;
use serde_json::json;

use crate::{
    oauth::{ISSUER, Signer, basic, token},
    world::{World, eventually},
};

const CREDENTIALS: (&str, &str) = ("grant_type", "client_credentials");
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[tokio::test]
async fn clients_are_made_read_changed_and_deleted() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let body = json!({"name": "App", "redirect_uris": ["https://app.example/cb"],
        "scopes": ["agents.read", "openid"]});
    let made = ada.post("/api/v1/clients", body).await;
    assert_eq!((made.status.as_u16(), &made.body["name"]), (201, &json!("App")), "{made:?}");
    assert!(made.text("client_secret").starts_with("lcs_"));
    assert_eq!(made.headers["cache-control"], "no-store");
    let path = format!("/api/v1/clients/{}", made.text("id"));
    let read = ada.get(&path).await;
    assert_eq!(read.body["client_secret"], "");
    assert_eq!(read.body["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(read.body["organization_id"], "default");
    let etag = read.body["etag"].clone();
    let list = ada.get("/api/v1/clients?page_size=10").await;
    assert_eq!(list.body["clients"][0]["id"], made.body["id"]);

    let changed = ada.patch(&path, json!({"name": "New", "scopes": []})).await;
    assert_eq!(
        (changed.status.as_u16(), &changed.body["name"]),
        (200, &json!("New")),
        "{changed:?}"
    );
    assert_eq!(changed.body["redirect_uris"], json!(["https://app.example/cb"]));
    let stale = ada.patch(&path, json!({"name": "Old", "etag": etag})).await;
    stale.refused(409, "ETAG_MISMATCH");
    let bad = json!({"redirect_uris": ["http://app.example/cb"]});
    ada.patch(&path, bad).await.refused(400, "CLIENT_INVALID");
    let many =
        json!({"name": "x", "redirect_uris": ["https://a.example/"], "scopes": ["agents.fly"]});
    ada.post("/api/v1/clients", many).await.refused(400, "CLIENT_INVALID");

    assert_eq!(ada.delete(&path).await.status, 204);
    ada.get(&path).await.refused(404, "CLIENT_NOT_FOUND");
    ada.delete(&path).await.refused(404, "CLIENT_NOT_FOUND");
}

#[tokio::test]
async fn nobody_gives_a_client_more_than_they_hold() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let role = json!({"name": "registrar", "permissions": ["clients.*", "agents.read"]});
    let role = ada.post("/api/v1/roles", role).await;
    assert_eq!(role.status, 201, "{role:?}");
    world.user(&ada, "dev", "registrar").await;
    let (dev, _) = world.login("dev").await;
    let client = |scope: &str| json!({"name": "x", "grant_types": ["client_credentials"], "scopes": [scope]});
    dev.post("/api/v1/clients", client("auth.write")).await.refused(400, "SCOPE_INVALID");
    dev.post("/api/v1/clients", client("*")).await.refused(400, "SCOPE_INVALID");
    let made = dev.post("/api/v1/clients", client("agents.read")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("/api/v1/clients/{}", made.text("id"));
    dev.patch(&path, json!({"scopes": ["auth.read"]})).await.refused(400, "SCOPE_INVALID");
    dev.patch(&path, json!({"first_party": true})).await.refused(403, "PERMISSION_DENIED");
    world.user(&ada, "eve", "viewer").await;
    let (eve, _) = world.login("eve").await;
    eve.post("/api/v1/clients", client("agents.read")).await.refused(403, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_secret_is_changed_without_an_outage() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let body =
        json!({"name": "x", "grant_types": ["client_credentials"], "scopes": ["agents.read"]});
    let made = ada.post("/api/v1/clients", body).await;
    let id = made.text("id");
    let ask = async |secret: &str| {
        token(&world, &[CREDENTIALS], &[("authorization", &basic(id, secret))]).await
    };
    let first = made.text("client_secret");
    assert_eq!(ask(first).await.status, 200);
    let path = format!("/api/v1/clients/{id}:rotateSecret");
    let rotated = ada.post(&path, json!({"grace_period": "3600s"})).await;
    assert_eq!(rotated.body["secrets"].as_array().unwrap().len(), 2, "{rotated:?}");
    let second = rotated.text("client_secret");
    assert_eq!((ask(first).await.status, ask(second).await.status).1, 200);
    assert_eq!(ask(first).await.status, 200);
    world.advance(Duration::from_hours(1));
    ask(first).await.is_oauth_error(401, "invalid_client");
    assert_eq!(ask(second).await.status, 200);

    // Shut out, at once.
    let (ada, _) = world.login("ada").await;
    let path = format!("/api/v1/clients/{id}");
    assert_eq!(ada.patch(&path, json!({"disabled": true})).await.status, 200);
    ask(second).await.is_oauth_error(401, "invalid_client");
    assert_eq!(ada.patch(&path, json!({"disabled": false})).await.status, 200);
    assert_eq!(ask(second).await.status, 200);
}

fn declared(id: &str, secret: &str) -> DeclaredClient {
    DeclaredClient {
        id: id.to_owned(),
        secret: Some(Secret::new(secret)),
        grant_types: vec!["client_credentials".to_owned()],
        scopes: vec!["agents.read".to_owned()],
        ..DeclaredClient::default()
    }
}

// Rows G7 and G8 of the attacks.
#[tokio::test]
async fn clients_of_the_configuration_prove_themselves_in_one_way() {
    // What form-encoding is for.
    let (id, secret) = ("odd:id%", "a secret with : and % and + and ü, long enough");
    let clients = vec![declared(id, secret)];
    let world = World::with(Config { clients, ..Config::default() }).await;
    let header = basic(id, secret);
    let authorization = [("authorization", header.as_str())];
    let answer = token(&world, &[CREDENTIALS], &authorization).await;
    assert_eq!((answer.status.as_u16(), answer.text("scope")), (200, "agents.read"), "{answer:?}");
    assert_eq!(answer.text("token_type"), "Bearer");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let posted = [CREDENTIALS, ("client_id", id), ("client_secret", secret)];
    assert_eq!(token(&world, &posted, &[]).await.status, 200);

    token(&world, &posted, &authorization).await.is_oauth_error(400, "invalid_request");
    let other = [CREDENTIALS, ("client_id", "lightning")];
    token(&world, &other, &authorization).await.is_oauth_error(400, "invalid_request");
    let wrong = basic(id, "wrong");
    let refused = token(&world, &[CREDENTIALS], &[("authorization", &wrong)]).await;
    refused.is_oauth_error(401, "invalid_client");
    assert_eq!(refused.headers["www-authenticate"], "Basic realm=\"oauth\"");
    for (name, value) in [("client_id", id), ("client_id", "unknown"), ("x", "y")] {
        let unproven = token(&world, &[CREDENTIALS, (name, value)], &[]).await;
        unproven.is_oauth_error(401, "invalid_client");
    }
    for bad in ["Basic", "Basic !", "Basic YQ==", "Bearer x", "basic JTpi"] {
        let answer = token(&world, &[CREDENTIALS], &[("authorization", bad)]).await;
        answer.is_oauth_error(401, "invalid_client");
    }

    // The API shows it and changes nothing.
    let (ada, _) = world.admin().await;
    let path = "/api/v1/clients/odd%3Aid%25";
    assert_eq!(ada.get(path).await.body["declared"], true);
    ada.delete(path).await.refused(400, "CLIENT_DECLARED");
}

// Row G6 of the attacks.
#[tokio::test]
async fn guessing_a_secret_is_slowed_down() {
    let clients = vec![declared("app", "0123456789abcdef0123456789abcdef")];
    let world = World::with(Config { clients, ..Config::default() }).await;
    let wrong = basic("app", "wrong");
    let mut last = token(&world, &[CREDENTIALS], &[("authorization", &wrong)]).await;
    for _ in 0..30 {
        if last.status == 429 {
            break;
        }
        last = token(&world, &[CREDENTIALS], &[("authorization", &wrong)]).await;
    }
    last.is_oauth_error(429, "invalid_client");
    assert!(last.headers.contains_key("retry-after"));
    // The right one waits as well: who guesses learns nothing.
    let right = basic("app", "0123456789abcdef0123456789abcdef");
    let answer = token(&world, &[CREDENTIALS], &[("authorization", &right)]).await;
    assert_eq!(answer.status, 429);
    world.advance(Duration::from_mins(15));
    let answer = token(&world, &[CREDENTIALS], &[("authorization", &right)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

// Row G5 of the attacks; the forms of assertions are in domain/assertions.
#[tokio::test]
async fn an_assertion_proves_a_client_once() {
    let signer = Signer::new();
    let client = DeclaredClient {
        secret: None,
        jwks: Some(json!({"keys": [signer.jwk()]}).to_string()),
        ..declared("app", "")
    };
    let world = World::with(Config { clients: vec![client], ..Config::default() }).await;
    let ask = async |text: &str| {
        let fields =
            [CREDENTIALS, ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", text)];
        token(&world, &fields, &[]).await
    };
    let assertion = signer.assertion(&world, "app", ISSUER, "1");
    assert_eq!(ask(&assertion).await.status, 200);
    ask(&assertion).await.is_oauth_error(401, "invalid_client");
    let again = signer.assertion(&world, "app", ISSUER, "1");
    ask(&again).await.is_oauth_error(401, "invalid_client");
    assert_eq!(ask(&signer.assertion(&world, "app", ISSUER, "2")).await.status, 200);
    let url = format!("{ISSUER}/oauth/token");
    ask(&signer.assertion(&world, "app", &url, "3")).await.is_oauth_error(401, "invalid_client");
    let strange = Signer::new().assertion(&world, "app", ISSUER, "4");
    ask(&strange).await.is_oauth_error(401, "invalid_client");
    let unnamed = [CREDENTIALS, ("client_assertion", &*assertion)];
    token(&world, &unnamed, &[]).await.is_oauth_error(400, "invalid_request");
}

#[tokio::test]
async fn keys_behind_an_address_are_fetched() {
    let signer = Signer::new();
    let set = json!({"keys": [signer.jwk()]}).to_string();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = lightning_mesh::task::spawn("keys", serve(listener, set));
    let client = DeclaredClient {
        secret: None,
        jwks_uri: Some(format!("http://127.0.0.1:{}/jwks", address.port())),
        ..declared("app", "")
    };
    let world = World::with(Config { clients: vec![client], ..Config::default() }).await;
    let text = signer.assertion(&world, "app", ISSUER, "1");
    let fields =
        [CREDENTIALS, ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*text)];
    let answer = token(&world, &fields, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    drop(server);
}

/// Answers every connection with this JSON.
async fn serve(listener: tokio::net::TcpListener, text: String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_deleted_client_takes_its_sessions_along() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let body = json!({"name": "App", "token_endpoint_auth_method": "none",
        "redirect_uris": ["https://app.example/cb"]});
    let made = ada.post("/api/v1/clients", body).await;
    let id = made.text("id").to_owned();
    let tokens = crate::tokens::code_tokens(&world, &ada, &id, "account.*").await;
    let app = world.bearer(tokens.text("access_token"));
    assert_eq!(app.get("/api/v1/auth/userinfo").await.status, 200);
    assert_eq!(ada.delete(&format!("/api/v1/clients/{id}")).await.status, 204);
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", &*id),
        ("refresh_token", tokens.text("refresh_token")),
    ];
    token(&world, &fields, &[]).await.is_oauth_error(401, "invalid_client");
    eventually(|| async { app.get("/api/v1/auth/userinfo").await.status == 401 }).await;
}

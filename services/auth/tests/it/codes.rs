//! Authorization codes with PKCE.

use std::time::Duration;

use lightning_auth::{Config, DeclaredClient};
use serde_json::{Value, json};

use crate::world::{Person, World, eventually};

// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1:5000/cb";

/// Knows the applications `app` and `other`, which are ours.
async fn world() -> World {
    let client = |id: &str| DeclaredClient {
        id: id.to_owned(),
        redirect_uris: vec![REDIRECT.to_owned(), "http://127.0.0.1/cb".to_owned()],
        first_party: true,
        ..DeclaredClient::default()
    };
    let clients = vec![client("app"), client("other")];
    World::with(Config { clients, ..Config::default() }).await
}

fn authorize(scope: &str) -> String {
    format!(
        "/api/v1/auth/authorize?response_type=code&client_id=app&redirect_uri={REDIRECT}&state=xyz\
         &scope={scope}&code_challenge={CHALLENGE}&code_challenge_method=S256"
    )
}

async fn code(person: &Person<'_>, scope: &str) -> Value {
    let answer = person.get(&authorize(scope)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn exchange(code: &Value) -> Value {
    json!({"grant_type": "authorization_code", "code": code, "client_id": "app",
        "redirect_uri": REDIRECT, "code_verifier": VERIFIER})
}

#[tokio::test]
async fn a_code_becomes_tokens_of_its_own_session() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let grant = code(&ada, "agents.read%20account.*").await;
    assert_eq!((&grant["state"], &grant["iss"]), (&json!("xyz"), &json!("http://localhost:8006")));
    let redirect = grant["redirect_to"].as_str().unwrap();
    assert!(redirect.starts_with("http://127.0.0.1:5000/cb?code=lac_"), "{redirect}");
    assert!(redirect.ends_with("&state=xyz&iss=http%3A%2F%2Flocalhost%3A8006"), "{redirect}");

    let answer = world.nobody().post("/api/v1/auth/token", exchange(&grant["code"])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["scope"], "account.* agents.read");
    let app = world.bearer(answer.body["access_token"].as_str().unwrap());
    app.get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
    let sessions = app.get("/api/v1/sessions").await.body["sessions"].clone();
    assert_eq!(sessions[0]["client_id"], "app");

    // The application cannot pass on more than it was given.
    let wide = authorize("agents.write");
    app.get(&wide).await.refused(400, "SCOPE_INVALID");
    let narrow = code(&app, "").await;
    let narrow = world.nobody().post("/api/v1/auth/token", exchange(&narrow["code"])).await;
    assert_eq!(narrow.body["scope"], "account.* agents.read");
    let key = app.post("/api/v1/api-keys", json!({"name": "from app"})).await.body;
    assert_eq!(key["scopes"], json!(["account.*", "agents.read"]));

    let other = json!({"grant_type": "refresh_token", "client_id": "other",
        "refresh_token": answer.body["refresh_token"]});
    world.nobody().post("/api/v1/auth/token", other).await.refused(400, "GRANT_INVALID");
    let own = json!({"grant_type": "refresh_token", "client_id": "app",
        "refresh_token": answer.body["refresh_token"]});
    assert_eq!(world.nobody().post("/api/v1/auth/token", own).await.status, 200);
}

#[tokio::test]
async fn a_code_that_comes_twice_ends_the_session_it_became() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let grant = code(&ada, "").await;
    let tokens = world.nobody().post("/api/v1/auth/token", exchange(&grant["code"])).await.body;
    let app = world.bearer(tokens["access_token"].as_str().unwrap());
    assert_eq!(app.get("/api/v1/auth/userinfo").await.status, 200);
    let again = world.nobody().post("/api/v1/auth/token", exchange(&grant["code"])).await;
    again.refused(400, "GRANT_INVALID");
    eventually(|| async { app.get("/api/v1/auth/userinfo").await.status == 401 }).await;
    assert_eq!(ada.get("/api/v1/auth/userinfo").await.status, 200);
}

#[tokio::test]
async fn of_many_exchanges_at_once_at_most_one_succeeds() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let grant = code(&ada, "").await;
    let nobody = world.nobody();
    let all = (0..20).map(|_| nobody.post("/api/v1/auth/token", exchange(&grant["code"])));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
}

#[tokio::test]
async fn a_code_is_good_for_its_application_for_a_minute_and_while_the_session_lives() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let nobody = world.nobody();
    for (key, value) in [
        ("redirect_uri", "http://127.0.0.1:5001/cb"),
        ("redirect_uri", ""),
        ("code_verifier", ""),
        ("code_verifier", &VERIFIER[..42]),
        ("code_verifier", &"a".repeat(129)),
        ("code_verifier", &VERIFIER.replace('d', "!")),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX"),
    ] {
        let grant = code(&ada, "").await;
        let mut body = exchange(&grant["code"]);
        body[key] = json!(value);
        nobody.post("/api/v1/auth/token", body).await.refused(400, "GRANT_INVALID");
        // Whoever intercepted it has no second try.
        let right = nobody.post("/api/v1/auth/token", exchange(&grant["code"])).await;
        right.refused(400, "GRANT_INVALID");
    }
    let grant = code(&ada, "").await;
    for (key, value) in [("client_id", "other"), ("code", "lac_unknown")] {
        let mut body = exchange(&grant["code"]);
        body[key] = json!(value);
        nobody.post("/api/v1/auth/token", body).await.refused(400, "GRANT_INVALID");
    }
    let mut body = exchange(&grant["code"]);
    body["client_id"] = json!("unknown");
    nobody.post("/api/v1/auth/token", body).await.refused(401, "CLIENT_REFUSED");
    // Nobody else can break the login of its owner.
    let kept = nobody.post("/api/v1/auth/token", exchange(&grant["code"])).await;
    assert_eq!(kept.status, 200, "{kept:?}");
    let grant = code(&ada, "").await;
    world.advance(Duration::from_mins(1));
    nobody.post("/api/v1/auth/token", exchange(&grant["code"])).await.refused(400, "GRANT_INVALID");

    let grant = code(&ada, "").await;
    ada.post("/api/v1/auth/logout", json!({})).await;
    nobody.post("/api/v1/auth/token", exchange(&grant["code"])).await.refused(400, "GRANT_INVALID");
}

#[tokio::test]
async fn wrong_authorization_requests_are_refused() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let good = authorize("");
    for (from, to) in [
        ("response_type=code", "response_type=token"),
        ("client_id=app", "client_id="),
        ("client_id=app", "client_id=unknown"),
        ("http://127.0.0.1:5000/cb", "http://127.0.0.1:5000/elsewhere"),
        ("http://127.0.0.1:5000/cb", "https://evil.example/cb"),
        ("S256", "plain"),
        (CHALLENGE, "short"),
    ] {
        ada.get(&good.replace(from, to)).await.refused(400, "AUTHORIZATION_INVALID");
    }
    ada.get(&authorize("agents.fly")).await.refused(400, "SCOPE_INVALID");
    let key = ada.post("/api/v1/api-keys", json!({"name": "ci"})).await.body;
    let program = world.key(key["key"].as_str().unwrap());
    program.get(&good).await.refused(400, "SESSION_REQUIRED");
}

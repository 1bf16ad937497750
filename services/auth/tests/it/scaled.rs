//! The same on PostgreSQL: every statement once, and the rules over several rows at the same time.
//!
//! Runs when `LIGHTNING_TEST_POSTGRES_URL` names a server whose schema `auth` may be dropped.

use lightning_auth::{Config, NewUser, create_user};
use lightning_mesh::config::Secret;
use lightning_store::{Database, Settings, params};
use serde_json::{Value, json};

use crate::world::{PASSWORD, World, eventually};

async fn world() -> Option<World> {
    let Ok(url) = std::env::var("LIGHTNING_TEST_POSTGRES_URL") else {
        println!("skipped: LIGHTNING_TEST_POSTGRES_URL is not set");
        return None;
    };
    let settings = Settings { url: Some(url), ..Settings::default() };
    let admin = Database::open(&settings, "lightning_tests", &[]).await.unwrap();
    admin.execute("DROP SCHEMA IF EXISTS auth CASCADE", params![]).await.unwrap();
    admin.close().await;
    let world = World::open(tempfile::tempdir().unwrap(), &settings, Config::default()).await;
    // Made past the server, which notices.
    let user = NewUser {
        username: "ada".to_owned(),
        email: String::new(),
        password: Secret::new(PASSWORD),
        roles: Vec::new(),
        organization: None,
    };
    create_user(&Config::default(), &settings, user).await.unwrap();
    // The command line reads the machine's clock, the server one that stood still since.
    world.advance(std::time::Duration::from_mins(1));
    eventually(|| async { world.nobody().get("/api/v1/users").await.status == 401 }).await;
    Some(world)
}

#[tokio::test]
async fn auth_works_on_postgres() {
    let Some(world) = world().await else { return };
    let (ada, _) = world.login("ada").await;
    let bob = world.user(&ada, "bob", "admin").await;
    let users = ada.get("/api/v1/users?order_by=create_time&filter=username%3Dada").await.body;
    assert_eq!(ada.get("/api/v1/users?page_size=1").await.body["users"][0]["username"], "bob");
    let demote = |user: &Value| {
        let (ada, path) = (ada.clone(), format!("/api/v1/users/{}", user["id"].as_str().unwrap()));
        async move { ada.patch(&path, json!({"roles": ["viewer"]})).await.status.as_u16() }
    };
    let (a, b) = tokio::join!(demote(&users["users"][0]), demote(&bob));
    assert!([a, b] == [200, 400] || [a, b] == [400, 200], "{a} {b}");

    let (bob, tokens) = world.login("bob").await;
    let request = json!({"name": "ci", "request_id": "r1"});
    let key = bob.post("/api/v1/api-keys", request.clone()).await.body;
    assert_eq!(bob.post("/api/v1/api-keys", request).await.body, key);
    let program = world.key(key["key"].as_str().unwrap());
    assert_eq!(program.get("/api/v1/auth/userinfo").await.body["preferred_username"], "bob");
    for order in ["create_time", "create_time%20desc"] {
        assert_eq!(bob.get(&format!("/api/v1/api-keys?order_by={order}")).await.status, 200);
        assert_eq!(bob.get(&format!("/api/v1/sessions?order_by={order}")).await.status, 200);
    }
    let path = format!("/api/v1/api-keys/{}", key["id"].as_str().unwrap());
    assert_eq!(bob.delete(&path).await.status, 204);
    eventually(|| async { program.get("/api/v1/auth/userinfo").await.status == 401 }).await;

    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let grant = bob
        .get(&format!(
            "/api/v1/auth/authorize?response_type=code&client_id=lightning&redirect_uri=http://127.0.0.1/\
             &code_challenge={challenge}&code_challenge_method=S256"
        ))
        .await
        .body;
    let body = json!({"grant_type": "authorization_code", "code": grant["code"], "client_id": "lightning",
        "redirect_uri": "http://127.0.0.1/",
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"});
    let nobody = world.nobody();
    let all = (0..8).map(|_| nobody.post("/api/v1/auth/token", body.clone()));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    let all = (0..8).map(|_| world.refresh(&tokens["refresh_token"]));
    let answers = futures_util::future::join_all(all).await;
    let first = &answers[0].body["refresh_token"];
    assert!(answers.iter().all(|answer| &answer.body["refresh_token"] == first), "{answers:?}");
    world.advance(std::time::Duration::from_secs(10));
    world.refresh(&tokens["refresh_token"]).await.refused(400, "GRANT_INVALID");
    eventually(|| async { bob.get("/api/v1/auth/userinfo").await.status == 401 }).await;
}

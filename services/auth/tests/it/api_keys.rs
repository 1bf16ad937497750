//! API keys: made once, used often, gone at once.

use std::time::Duration;

use serde_json::json;

use crate::world::{World, eventually};

#[tokio::test]
async fn a_key_works_until_it_is_deleted() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let answer = ada.post("/api/v1/api-keys", json!({"name": "ci"})).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let key = answer.body["key"].as_str().unwrap();
    assert!(key.starts_with(answer.body["prefix"].as_str().unwrap()));
    let program = world.key(key);
    let who = program.get("/api/v1/auth/userinfo").await.body;
    assert_eq!((&who["preferred_username"], &who["permissions"]), (&json!("ada"), &json!(["*"])));
    assert_eq!(world.bearer(key).get("/api/v1/users").await.status, 200);

    eventually(|| async {
        let keys = ada.get("/api/v1/api-keys").await.body;
        let used = keys["api_keys"][0]["last_use_time"].as_str().map(str::to_owned);
        assert_eq!(keys["api_keys"][0]["key"], "");
        used.is_some_and(|used| used.ends_with(":00Z"))
    })
    .await;
    // A key cannot make keys: it would outlive itself.
    program
        .post("/api/v1/api-keys", json!({"name": "child"}))
        .await
        .refused(400, "SESSION_REQUIRED");
    program.post("/api/v1/auth/logout", json!({})).await.refused(400, "SESSION_REQUIRED");

    let path = format!("/api/v1/api-keys/{}", answer.body["id"].as_str().unwrap());
    assert_eq!(ada.delete(&path).await.status, 204);
    eventually(|| async { program.get("/api/v1/auth/userinfo").await.status == 401 }).await;
    program.get("/api/v1/auth/userinfo").await.refused(401, "API_KEY_INVALID");
    ada.delete(&path).await.refused(404, "API_KEY_NOT_FOUND");
}

#[tokio::test]
async fn scopes_narrow_a_key_and_cannot_widen_it() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let (viewer, _) = world.login("bob").await;
    let make = |scopes: &[&str]| json!({"name": "ci", "scopes": scopes});
    viewer.post("/api/v1/api-keys", make(&["agents.write"])).await.refused(400, "SCOPE_INVALID");
    viewer.post("/api/v1/api-keys", make(&["*"])).await.refused(400, "SCOPE_INVALID");
    viewer.post("/api/v1/api-keys", make(&["agents.fly"])).await.refused(400, "SCOPE_INVALID");
    viewer.post("/api/v1/api-keys", json!({"name": ""})).await.refused(400, "API_KEY_INVALID");
    let narrow = viewer.post("/api/v1/api-keys", make(&["account.read"])).await.body;
    let program = world.key(narrow["key"].as_str().unwrap());
    assert_eq!(program.get("/api/v1/sessions").await.status, 200);
    program.delete("/api/v1/sessions/x").await.refused(403, "PERMISSION_DENIED");

    // A key never has more than its owner has now.
    let wide = viewer.post("/api/v1/api-keys", make(&[])).await.body;
    let path = format!("/api/v1/users/{}", bob["id"].as_str().unwrap());
    let program = world.key(wide["key"].as_str().unwrap());
    program.get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
    assert_eq!(ada.patch(&path, json!({"roles": ["admin"]})).await.status, 200);
    eventually(|| async { program.get("/api/v1/users").await.status == 200 }).await;
    assert_eq!(ada.patch(&path, json!({"disabled": true})).await.status, 200);
    eventually(|| async { program.get("/api/v1/users").await.status == 401 }).await;
}

#[tokio::test]
async fn a_key_that_may_write_users_cannot_make_admins() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let scopes = json!({"name": "onboarding", "scopes": ["auth.*", "account.*", "*.read"]});
    let key = ada.post("/api/v1/api-keys", scopes).await.body;
    let program = world.key(key["key"].as_str().unwrap());
    let body =
        |role: &str| json!({"username": role, "password": "correct mule battery", "roles": [role]});
    program.post("/api/v1/auth/register", body("admin")).await.refused(403, "PERMISSION_DENIED");
    let viewer = program.post("/api/v1/auth/register", body("viewer")).await;
    assert_eq!(viewer.status, 201, "{viewer:?}");
    let path = format!("/api/v1/users/{}", viewer.body["id"].as_str().unwrap());
    program.patch(&path, json!({"roles": ["admin"]})).await.refused(403, "PERMISSION_DENIED");
}

#[tokio::test]
async fn the_same_request_twice_makes_one_key() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let request = json!({"name": "ci", "request_id": "0b5c1a52-0000-4000-8000-000000000001"});
    let first = ada.post("/api/v1/api-keys", request.clone()).await.body;
    let again = ada.post("/api/v1/api-keys", request).await.body;
    assert_eq!(first, again);
    assert_eq!(ada.get("/api/v1/api-keys").await.body["api_keys"].as_array().unwrap().len(), 1);
    let other = json!({"name": "cd", "request_id": "0b5c1a52-0000-4000-8000-000000000001"});
    ada.post("/api/v1/api-keys", other).await.refused(409, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn keys_expire_and_mistyped_ones_are_refused() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let key = ada.post("/api/v1/api-keys", json!({"name": "ci", "ttl": "60s"})).await.body;
    let text = key["key"].as_str().unwrap();
    let program = world.key(text);
    assert_eq!(program.get("/api/v1/users").await.status, 200);
    world.advance(Duration::from_mins(1));
    program.get("/api/v1/users").await.refused(401, "API_KEY_INVALID");
    for bad in [&text[..60], "lk_", "lk_aaaaaaaa_bbbb"] {
        world.key(bad).get("/api/v1/users").await.refused(401, "API_KEY_INVALID");
    }
    let past = json!({"name": "ci", "expire_time": "2001-01-01T00:00:00Z"});
    ada.post("/api/v1/api-keys", past).await.refused(400, "API_KEY_INVALID");
}

#[tokio::test]
async fn one_sees_and_deletes_ones_own_keys() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "bob", "viewer").await;
    let (bob, _) = world.login("bob").await;
    let of_ada = ada.post("/api/v1/api-keys", json!({"name": "hers"})).await.body;
    let of_bob = bob.post("/api/v1/api-keys", json!({"name": "his"})).await.body;
    let names = |body: &serde_json::Value| -> Vec<String> {
        let keys = body["api_keys"].as_array().unwrap();
        keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&bob.get("/api/v1/api-keys").await.body), ["his"]);
    assert_eq!(
        names(&ada.get("/api/v1/api-keys?order_by=create_time").await.body),
        ["hers", "his"]
    );
    assert_eq!(names(&ada.get("/api/v1/api-keys?filter=name%3Dhis").await.body), ["his"]);
    let path =
        |key: &serde_json::Value| format!("/api/v1/api-keys/{}", key["id"].as_str().unwrap());
    bob.delete(&path(&of_ada)).await.refused(404, "API_KEY_NOT_FOUND");
    assert_eq!(ada.delete(&path(&of_bob)).await.status, 204);
}

//! One's own account, and another password.

use std::time::Duration;

use serde_json::json;

use crate::world::{PASSWORD, World, eventually};

const NEW: &str = "seven purple lanterns drift";

#[tokio::test]
async fn a_viewer_reads_and_changes_their_own_account_and_no_other() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let (bobby, _) = world.login("bob").await;
    let own = bobby.get("/api/v1/account").await;
    assert_eq!((own.status.as_u16(), &own.body["id"]), (200, &bob["id"]));
    let change = json!({"display_name": "Bob B.", "email": "bob@example.com"});
    let changed = bobby.patch("/api/v1/account", change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.body["display_name"], "Bob B.");
    assert_eq!(changed.body["email"], "bob@example.com");
    assert_eq!(changed.body["roles"], json!(["viewer"]));
    // Neither roles nor another's record can be reached this way.
    assert_eq!(bobby.patch("/api/v1/account", json!({"roles": ["admin"]})).await.status, 400);
    assert_eq!(bobby.patch("/api/v1/account", json!({"disabled": false})).await.status, 400);
    let other = ada.get("/api/v1/account").await.body["id"].clone();
    bobby.patch("/api/v1/account", json!({"id": other, "display_name": "x"})).await;
    assert_ne!(ada.get("/api/v1/account").await.body["display_name"], "x");
    let stale = json!({"display_name": "y", "etag": own.body["etag"]});
    bobby.patch("/api/v1/account", stale).await.refused(409, "ETAG_MISMATCH");
    assert_eq!(world.nobody().get("/api/v1/account").await.status, 401);
}

#[tokio::test]
async fn another_address_needs_a_recent_login_but_another_name_does_not() {
    let world = World::new().await;
    let (_, tokens) = world.admin().await;
    world.advance(Duration::from_mins(16));
    let fresh = world.refresh(&tokens["refresh_token"]).await.body;
    let ada = world.bearer(fresh["access_token"].as_str().unwrap());
    let address = json!({"email": "other@example.com"});
    ada.patch("/api/v1/account", address).await.refused(400, "LOGIN_TOO_OLD");
    assert_eq!(ada.patch("/api/v1/account", json!({"display_name": "A."})).await.status, 200);
    let same = json!({"email": "Ada@example.com"});
    assert_eq!(ada.patch("/api/v1/account", same).await.status, 200);
}

#[tokio::test]
async fn changing_the_password_ends_all_other_sessions() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (other, _) = world.login("ada").await;
    let change =
        |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let path = "/api/v1/auth/password";
    ada.post(path, change("wrong mule battery", NEW)).await.refused(400, "USER_INVALID");
    ada.post(path, change(PASSWORD, "short")).await.refused(400, "PASSWORD_WEAK");
    ada.post(path, change(PASSWORD, "ada has a nice password")).await.refused(400, "PASSWORD_WEAK");
    assert_eq!(other.get("/api/v1/account").await.status, 200);
    assert_eq!(ada.post(path, change(PASSWORD, NEW)).await.status, 204);
    eventually(|| async { other.get("/api/v1/account").await.status == 401 }).await;
    assert_eq!(ada.get("/api/v1/account").await.status, 200, "its own session goes on");
    world.try_login("ada", PASSWORD).await.refused(401, "CREDENTIALS_INVALID");
    assert_eq!(world.try_login("ada", NEW).await.status, 200);
}

#[tokio::test]
async fn the_password_is_changed_only_soon_after_a_login_of_ones_own() {
    let world = World::new().await;
    let (ada, tokens) = world.admin().await;
    let change = json!({"current_password": PASSWORD, "new_password": NEW});
    let path = "/api/v1/auth/password";
    let key = ada.post("/api/v1/api-keys", json!({"name": "ci"})).await.body;
    let key = world.key(key["key"].as_str().unwrap());
    key.post(path, change.clone()).await.refused(400, "SESSION_REQUIRED");
    // An application in the name of the user.
    let query = "/api/v1/auth/authorize?response_type=code&client_id=app&redirect_uri=http://127.0.0.1/cb\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
    let grant = ada.get(query).await.body;
    if let Some(code) = grant["code"].as_str() {
        let exchange = json!({"grant_type": "authorization_code", "code": code,
            "client_id": "app", "redirect_uri": "http://127.0.0.1/cb",
            "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"});
        let tokens = world.nobody().post("/api/v1/auth/token", exchange).await.body;
        let app = world.bearer(tokens["access_token"].as_str().unwrap());
        assert_eq!(app.get("/api/v1/account").await.status, 200);
        app.post(path, change.clone()).await.refused(400, "LOGIN_TOO_OLD");
    }
    world.advance(Duration::from_mins(16));
    let fresh = world.refresh(&tokens["refresh_token"]).await.body;
    let late = world.bearer(fresh["access_token"].as_str().unwrap());
    late.post(path, change.clone()).await.refused(400, "LOGIN_TOO_OLD");
    let (again, _) = world.login("ada").await;
    assert_eq!(again.post(path, change).await.status, 204);
}

#[tokio::test]
async fn guessing_the_present_password_in_an_open_session_is_slowed_down() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let change = json!({"current_password": "wrong mule battery", "new_password": NEW});
    for _ in 0..10 {
        ada.post("/api/v1/auth/password", change.clone()).await.refused(400, "USER_INVALID");
    }
    ada.post("/api/v1/auth/password", change).await.refused(429, "ACCOUNT_LOCKED");
    // One counter: the login waits as well, by name and by address.
    world.try_login("ada", PASSWORD).await.refused(429, "ACCOUNT_LOCKED");
    world.try_login("ada@example.com", PASSWORD).await.refused(429, "ACCOUNT_LOCKED");
}

#[tokio::test]
async fn an_admin_makes_a_link_that_sets_a_password_once() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let (bobby, _) = world.login("bob").await;
    let path = format!("/api/v1/users/{}:resetPassword", bob["id"].as_str().unwrap());
    bobby.post(&path, json!({})).await.refused(403, "PERMISSION_DENIED");
    let link = ada.post(&path, json!({})).await;
    assert_eq!(link.status, 200, "{link:?}");
    assert_eq!(link.headers["cache-control"], "no-store");
    let token = link.body["token"].as_str().unwrap();
    let expected = format!("http://localhost:8006/account/reset?token={token}");
    assert_eq!(link.body["url"], expected);
    let complete = |token: &str, new: &str| json!({"token": token, "new_password": new});
    let done = "/api/v1/auth/password/complete";
    let nobody = world.nobody();
    // A weak password does not use the link up; a wrong token finds nothing.
    nobody.post(done, complete(token, "short")).await.refused(400, "PASSWORD_WEAK");
    let wrong = format!("{}x", &token[..token.len() - 1]);
    nobody.post(done, complete(&wrong, NEW)).await.refused(400, "LINK_INVALID");
    nobody.post(done, complete("", NEW)).await.refused(400, "LINK_INVALID");
    assert_eq!(nobody.post(done, complete(token, NEW)).await.status, 204);
    eventually(|| async { bobby.get("/api/v1/account").await.status == 401 }).await;
    assert_eq!(world.try_login("bob", NEW).await.status, 200);
    nobody.post(done, complete(token, PASSWORD)).await.refused(400, "LINK_INVALID");
    assert_eq!(world.try_login("bob", NEW).await.status, 200);
}

#[tokio::test]
async fn a_link_dies_with_time_another_link_another_password_and_another_address() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let id = bob["id"].as_str().unwrap();
    let path = format!("/api/v1/users/{id}:resetPassword");
    let token = || async {
        let (ada, _) = world.login("ada").await;
        ada.post(&path, json!({})).await.body["token"].as_str().unwrap().to_owned()
    };
    let world = &world;
    let refused = |token: String| async move {
        let body = json!({"token": token, "new_password": NEW});
        let answer = world.nobody().post("/api/v1/auth/password/complete", body).await;
        answer.refused(400, "LINK_INVALID");
    };
    let first = token().await;
    let second = token().await;
    refused(first).await;
    world.advance(Duration::from_mins(31));
    refused(second).await;
    let third = token().await;
    let (ada, _) = world.login("ada").await;
    let address = json!({"email": "bob@elsewhere.example"});
    assert_eq!(ada.patch(&format!("/api/v1/users/{id}"), address).await.status, 200);
    refused(third).await;
    let fourth = token().await;
    let (bobby, _) = world.login("bob").await;
    let change = json!({"current_password": PASSWORD, "new_password": "another good long one"});
    assert_eq!(bobby.post("/api/v1/auth/password", change).await.status, 204);
    refused(fourth).await;
}

#[tokio::test]
async fn a_link_lets_the_owner_in_again_whose_name_others_keep_locked() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    for _ in 0..10 {
        world.try_login("bob", "wrong mule battery").await;
    }
    world.try_login("bob", PASSWORD).await.refused(429, "ACCOUNT_LOCKED");
    let path = format!("/api/v1/users/{}:resetPassword", bob["id"].as_str().unwrap());
    let token = ada.post(&path, json!({})).await.body["token"].clone();
    let body = json!({"token": token, "new_password": NEW});
    let done = world.nobody().post("/api/v1/auth/password/complete", body).await;
    assert_eq!(done.status, 204, "{done:?}");
    assert_eq!(world.try_login("bob", NEW).await.status, 200);
}

#[tokio::test]
async fn one_password_for_many_names_is_slowed_down() {
    let world = World::new().await;
    world.admin().await;
    for n in 0..30 {
        let answer = world.try_login(&format!("user-{n}"), "Spring is coming 2026").await;
        answer.refused(401, "CREDENTIALS_INVALID");
    }
    let next = world.try_login("user-30", "Spring is coming 2026").await;
    next.refused(429, "ACCOUNT_LOCKED");
    assert_eq!(world.try_login("ada", PASSWORD).await.status, 200, "others log in as ever");
}

#[tokio::test]
async fn a_password_of_any_kind_is_taken_whole() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let long: String = (0..40).map(|n| format!("{n} 🐎 ünï ")).collect::<String>();
    let long: String = long.chars().take(256).collect();
    for (name, password) in [("carl", long.as_str()), ("dora", "tab\tand\u{a0}space at the end ")] {
        let body = json!({"username": name, "password": password});
        let answer = ada.post("/api/v1/auth/register", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(world.try_login(name, password).await.status, 200);
        let mut cut = password.to_owned();
        cut.pop();
        world.try_login(name, &cut).await.refused(401, "CREDENTIALS_INVALID");
    }
}

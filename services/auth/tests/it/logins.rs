//! Logging in, staying in, and being out.

use std::time::Duration;

use lightning_auth::Config;
use serde_json::json;

use crate::world::{PASSWORD, World, eventually};

#[tokio::test]
async fn a_login_by_name_or_address_gives_tokens_that_work() {
    let world = World::new().await;
    world.admin().await;
    for name in ["ada", " ADA ", "ada@example.COM"] {
        let answer = world.try_login(name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.body["token_type"], "Bearer");
        assert_eq!(answer.body["expires_in"], 300);
        assert_eq!(answer.body["scope"], "*");
    }
    let (ada, _) = world.login("ada").await;
    let sessions = ada.get("/api/v1/sessions").await.body["sessions"].clone();
    assert_eq!(sessions.as_array().unwrap().len(), 5);
    assert_eq!(sessions[0]["current"], true);
    assert_eq!(sessions[1]["current"], false);
}

#[tokio::test]
async fn unknown_names_and_wrong_passwords_look_the_same() {
    let world = World::new().await;
    world.admin().await;
    let unknown = world.try_login("nobody", PASSWORD).await;
    let wrong = world.try_login("ada", "wrong mule battery").await;
    unknown.refused(401, "CREDENTIALS_INVALID");
    wrong.refused(401, "CREDENTIALS_INVALID");
    assert_eq!(unknown.body["error"]["message"], wrong.body["error"]["message"]);
    let huge = "x".repeat(100_000);
    world.try_login("ada", &huge).await.refused(401, "CREDENTIALS_INVALID");
    world.try_login("ada\u{0}", PASSWORD).await.refused(401, "CREDENTIALS_INVALID");
    world.try_login("", PASSWORD).await.refused(400, "USER_INVALID");
    world.try_login("ada", "").await.refused(400, "USER_INVALID");
}

#[tokio::test]
async fn ten_failures_make_known_and_unknown_names_wait() {
    let world = World::new().await;
    world.admin().await;
    for name in ["ada", "nobody"] {
        for _ in 0..10 {
            world.try_login(name, "wrong mule battery").await.refused(401, "CREDENTIALS_INVALID");
        }
        let locked = world.try_login(name, PASSWORD).await;
        locked.refused(429, "ACCOUNT_LOCKED");
        assert!(locked.body.to_string().contains("30s"), "{locked:?}");
    }
    world.advance(Duration::from_secs(31));
    world.login("ada").await;
    world.try_login("ada", "wrong mule battery").await.refused(401, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn access_tokens_expire_and_are_refreshed() {
    let world = World::new().await;
    let (ada, tokens) = world.admin().await;
    world.advance(Duration::from_mins(5));
    ada.get("/api/v1/auth/userinfo").await.refused(401, "TOKEN_EXPIRED");
    let fresh = world.refresh(&tokens["refresh_token"]).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    let ada = world.bearer(fresh.body["access_token"].as_str().unwrap());
    assert_eq!(ada.get("/api/v1/auth/userinfo").await.status, 200);
    let narrow = json!({"grant_type": "refresh_token", "refresh_token": fresh.body["refresh_token"],
        "scope": "account.read"});
    let narrow = world.nobody().post("/api/v1/auth/token", narrow).await;
    assert_eq!(narrow.body["scope"], "account.read");
    let ada = world.bearer(narrow.body["access_token"].as_str().unwrap());
    assert_eq!(ada.get("/api/v1/auth/userinfo").await.status, 200);
    ada.get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_the_session() {
    let world = World::new().await;
    let (ada, tokens) = world.admin().await;
    let fresh = world.refresh(&tokens["refresh_token"]).await;
    assert_eq!(fresh.status, 200);
    // In the same moment it is a client whose answer was lost, which gets the very same again.
    let again = world.refresh(&tokens["refresh_token"]).await;
    assert_eq!(again.body["refresh_token"], fresh.body["refresh_token"], "{again:?}");
    assert_eq!(ada.get("/api/v1/auth/userinfo").await.status, 200);
    world.advance(Duration::from_secs(10));
    world.refresh(&tokens["refresh_token"]).await.refused(400, "GRANT_INVALID");
    world.refresh(&fresh.body["refresh_token"]).await.refused(400, "GRANT_INVALID");
    eventually(|| async { ada.get("/api/v1/auth/userinfo").await.status == 401 }).await;
    for bad in ["lrt_", "lrt_AAAA", "x"] {
        world.refresh(&json!(bad)).await.refused(400, "GRANT_INVALID");
    }
    world.refresh(&json!("")).await.refused(400, "TOKEN_REQUEST_INVALID");
    let body = json!({"grant_type": "password"});
    world.nobody().post("/api/v1/auth/token", body).await.refused(400, "GRANT_UNSUPPORTED");
}

#[tokio::test]
async fn an_older_refresh_token_than_the_last_ends_the_session_at_once() {
    let world = World::new().await;
    let (ada, tokens) = world.admin().await;
    let second = world.refresh(&tokens["refresh_token"]).await.body;
    assert_eq!(world.refresh(&second["refresh_token"]).await.status, 200);
    world.refresh(&tokens["refresh_token"]).await.refused(400, "GRANT_INVALID");
    eventually(|| async { ada.get("/api/v1/auth/userinfo").await.status == 401 }).await;
}

#[tokio::test]
async fn of_many_refreshes_at_once_all_get_one_successor() {
    let world = World::new().await;
    let (_, tokens) = world.admin().await;
    let all = (0..20).map(|_| world.refresh(&tokens["refresh_token"]));
    let answers = futures_util::future::join_all(all).await;
    let first = &answers[0].body["refresh_token"];
    assert!(first.is_string() && first != &tokens["refresh_token"]);
    assert!(answers.iter().all(|answer| &answer.body["refresh_token"] == first), "{answers:?}");
    assert_eq!(world.refresh(first).await.status, 200);
}

#[tokio::test]
async fn without_grace_at_most_one_of_many_refreshes_succeeds() {
    let config = Config { refresh_grace: Duration::ZERO, ..Config::default() };
    let world = World::with(config).await;
    let (_, tokens) = world.admin().await;
    let all = (0..20).map(|_| world.refresh(&tokens["refresh_token"]));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
}

#[tokio::test]
async fn sessions_end_when_idle_and_at_their_full_age() {
    let world = World::new().await;
    let (_, idle) = world.admin().await;
    world.advance(Duration::from_hours(6 * 24));
    let (_, mut kept) = world.login("ada").await;
    world.advance(Duration::from_hours(24));
    world.refresh(&idle["refresh_token"]).await.refused(400, "GRANT_INVALID");
    for _ in 0..5 {
        world.advance(Duration::from_hours(5 * 24));
        kept = world.refresh(&kept["refresh_token"]).await.body;
        assert_ne!(kept["refresh_token"], json!(null));
    }
    world.advance(Duration::from_hours(5 * 24));
    world.refresh(&kept["refresh_token"]).await.refused(400, "GRANT_INVALID");
}

#[tokio::test]
async fn logging_out_ends_the_session_everywhere() {
    let world = World::new().await;
    let (ada, tokens) = world.admin().await;
    assert_eq!(ada.post("/api/v1/auth/logout", json!({})).await.status, 204);
    eventually(|| async { ada.get("/api/v1/auth/userinfo").await.status == 401 }).await;
    world.refresh(&tokens["refresh_token"]).await.refused(400, "GRANT_INVALID");
}

#[tokio::test]
async fn one_sees_and_ends_ones_own_sessions_and_an_admin_everybodys() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "bob", "viewer").await;
    let (bob, _) = world.login("bob").await;
    let (other, _) = world.login("bob").await;
    let own = bob.get("/api/v1/sessions").await.body["sessions"].clone();
    assert_eq!(own.as_array().unwrap().len(), 2);
    let all = ada.get("/api/v1/sessions").await.body["sessions"].clone();
    assert_eq!(all.as_array().unwrap().len(), 3);
    let path = |session: &serde_json::Value| {
        format!("/api/v1/sessions/{}", session["id"].as_str().unwrap())
    };
    let of_ada = all.as_array().unwrap().iter().find(|session| session["current"] == true).unwrap();
    bob.delete(&path(of_ada)).await.refused(404, "SESSION_NOT_FOUND");
    let filter =
        format!("/api/v1/sessions?filter=user_id%3D{}", of_ada["user_id"].as_str().unwrap());
    assert_eq!(bob.get(&filter).await.body["sessions"], json!([]));
    assert_eq!(bob.delete(&path(&own[0])).await.status, 204);
    eventually(|| async { other.get("/api/v1/sessions").await.status == 401 }).await;
    bob.delete(&path(&own[0])).await.refused(404, "SESSION_NOT_FOUND");
    assert_eq!(ada.delete(&path(&own[1])).await.status, 204);
    eventually(|| async { bob.get("/api/v1/sessions").await.status == 401 }).await;
}

#[tokio::test]
async fn users_sessions_and_keys_outlive_a_restart() {
    let world = World::new().await;
    let (ada, tokens) = world.admin().await;
    let key = ada.post("/api/v1/api-keys", json!({"name": "ci"})).await.body;
    let (_, ended) = world.login("ada").await;
    world
        .bearer(ended["access_token"].as_str().unwrap())
        .post("/api/v1/auth/logout", json!({}))
        .await;
    let folder = world.stop().await;
    let world = World::in_folder(folder, Config::default()).await;
    assert_eq!(world.nobody().get("/api/v1/users").await.status, 401);
    let access = tokens["access_token"].as_str().unwrap();
    // The signing keys are in the database.
    assert_eq!(world.bearer(access).get("/api/v1/auth/userinfo").await.status, 200);
    assert_eq!(world.refresh(&tokens["refresh_token"]).await.status, 200);
    world.refresh(&ended["refresh_token"]).await.refused(400, "GRANT_INVALID");
    let who = world.key(key["key"].as_str().unwrap()).get("/api/v1/auth/userinfo").await;
    assert_eq!(who.body["preferred_username"], "ada");
}

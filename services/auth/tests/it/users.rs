//! Users: the first one, further ones, and what may be changed.

use lightning_auth::{Config, Error, NewUser, Registration, create_user, has_users};
use lightning_mesh::config::Secret;
use serde_json::json;

use crate::world::{PASSWORD, World, eventually, settings};

#[tokio::test]
async fn the_first_user_becomes_admin_and_ends_open_mode() {
    let world = World::new().await;
    let nobody = world.nobody();
    assert_eq!(nobody.get("/api/v1/users").await.body["users"], json!([]));
    nobody.post("/api/v1/api-keys", json!({"name": "x"})).await.refused(400, "SESSION_REQUIRED");
    nobody.post("/api/v1/auth/logout", json!({})).await.refused(400, "SESSION_REQUIRED");
    let local = nobody.get("/api/v1/auth/userinfo").await;
    assert_eq!((&local.body["sub"], &local.body["permissions"]), (&json!("local"), &json!(["*"])));

    let body = json!({"username": "Ada", "password": PASSWORD, "roles": ["viewer"]});
    let answer = nobody.post("/api/v1/auth/register", body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.body["username"], "ada");
    assert_eq!(answer.body["roles"], json!(["admin"]));
    assert_eq!(answer.body["etag"], "\"1\"");
    assert!(answer.body.get("password").is_none());

    eventually(|| async { world.nobody().get("/api/v1/users").await.status == 401 }).await;
    let body = json!({"username": "eve", "password": PASSWORD});
    nobody.post("/api/v1/auth/register", body).await.refused(403, "REGISTRATION_CLOSED");
    let (ada, _) = world.login("ada").await;
    let who = ada.get("/api/v1/auth/userinfo").await.body;
    assert_eq!((&who["preferred_username"], &who["roles"]), (&json!("ada"), &json!(["admin"])));
}

#[tokio::test]
async fn of_two_first_users_at_once_one_wins() {
    let world = World::new().await;
    let nobody = world.nobody();
    let register = |name: &str| {
        let body = json!({"username": name, "password": PASSWORD});
        let nobody = nobody.clone();
        async move { nobody.post("/api/v1/auth/register", body).await.status.as_u16() }
    };
    let (a, b, c) = tokio::join!(register("ada"), register("eve"), register("kim"));
    let mut statuses = [a, b, c];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201, "{statuses:?}");
    assert!(statuses[1] >= 400 && statuses[2] >= 400, "{statuses:?}");
}

#[tokio::test]
async fn bad_registrations_say_what_is_wrong() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let check = |body: serde_json::Value, status: u16, reason: &'static str| {
        let ada = ada.clone();
        async move { ada.post("/api/v1/auth/register", body).await.refused(status, reason) }
    };
    check(json!({"username": "a b", "password": PASSWORD}), 400, "USER_INVALID").await;
    check(json!({"username": "b", "password": PASSWORD, "email": "nope"}), 400, "USER_INVALID")
        .await;
    check(json!({"username": "bob", "password": "short"}), 400, "PASSWORD_WEAK").await;
    check(json!({"username": "bob", "password": "Password1234"}), 400, "PASSWORD_WEAK").await;
    check(json!({"username": "bob", "password": "bobs long secret"}), 400, "PASSWORD_WEAK").await;
    check(json!({"username": "bob", "password": PASSWORD, "roles": ["root"]}), 400, "ROLE_UNKNOWN")
        .await;
    check(json!({"username": "ADA", "password": PASSWORD}), 409, "USER_EXISTS").await;
    let taken = json!({"username": "bob", "password": PASSWORD, "email": "ada@EXAMPLE.com"});
    check(taken, 409, "USER_EXISTS").await;
}

#[tokio::test]
async fn open_registration_makes_viewers_only() {
    let config = Config { registration: Registration::Open, ..Config::default() };
    let world = World::with(config).await;
    world.admin().await;
    let nobody = world.nobody();
    let body = json!({"username": "eve", "password": PASSWORD, "roles": ["admin"]});
    nobody.post("/api/v1/auth/register", body).await.refused(403, "PERMISSION_DENIED");
    let body = json!({"username": "eve", "password": PASSWORD});
    assert_eq!(nobody.post("/api/v1/auth/register", body).await.body["roles"], json!(["viewer"]));
}

#[tokio::test]
async fn roles_decide_what_is_permitted() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "developer").await;
    let (dev, _) = world.login("bob").await;
    dev.get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
    let id = bob["id"].as_str().unwrap();
    let check = |permission: &'static str, user_id: &str, expected: bool| {
        let (ada, body) = (ada.clone(), json!({"permission": permission, "user_id": user_id}));
        async move {
            let answer = ada.post("/api/v1/auth/check-permission", body).await;
            assert_eq!(answer.body["allowed"], expected, "{permission}: {answer:?}");
            assert_ne!(answer.body["reason"], "");
        }
    };
    check("agents.write", id, true).await;
    check("auth.read", id, false).await;
    check("auth.write", "", true).await;
    let unknown = json!({"permission": "agents.fly"});
    ada.post("/api/v1/auth/check-permission", unknown).await.refused(400, "SCOPE_INVALID");
    let others = json!({"permission": "agents.read", "user_id": "somebody"});
    dev.post("/api/v1/auth/check-permission", others.clone()).await.refused(404, "USER_NOT_FOUND");
    ada.post("/api/v1/auth/check-permission", others).await.refused(404, "USER_NOT_FOUND");
}

#[tokio::test]
async fn the_last_admin_stays_and_a_disabled_user_is_out_at_once() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let (viewer, tokens) = world.login("bob").await;
    let first = ada.get("/api/v1/users?filter=username%3D%22ada%22").await.body["users"][0].clone();
    let path = |user: &serde_json::Value| format!("/api/v1/users/{}", user["id"].as_str().unwrap());
    ada.patch(&path(&first), json!({"roles": ["viewer"]})).await.refused(400, "LAST_ADMIN");
    ada.patch(&path(&first), json!({"disabled": true})).await.refused(400, "LAST_ADMIN");
    ada.patch(&path(&bob), json!({"roles": ["root"]})).await.refused(400, "ROLE_UNKNOWN");
    ada.patch(&path(&bob), json!({"roles": []})).await.refused(400, "USER_INVALID");
    ada.patch(&path(&bob), json!({"username": "rob"})).await.refused(400, "USER_INVALID");
    ada.patch("/api/v1/users/nobody", json!({"email": ""})).await.refused(404, "USER_NOT_FOUND");
    let stale = json!({"display_name": "B", "etag": "\"7\""});
    ada.patch(&path(&bob), stale).await.refused(409, "ETAG_MISMATCH");
    let changed = ada.patch(&path(&bob), json!({"display_name": "Bob", "etag": bob["etag"]})).await;
    assert_eq!(
        (&changed.body["display_name"], &changed.body["etag"]),
        (&json!("Bob"), &json!("\"2\""))
    );

    assert_eq!(viewer.get("/api/v1/sessions").await.status, 200);
    assert_eq!(ada.patch(&path(&bob), json!({"disabled": true})).await.status, 200);
    eventually(|| async { viewer.get("/api/v1/sessions").await.status == 401 }).await;
    world.refresh(&tokens["refresh_token"]).await.refused(400, "GRANT_INVALID");
    world.try_login("bob", PASSWORD).await.refused(401, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn of_two_admins_who_demote_each_other_one_stays() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "admin").await;
    let first = ada.get("/api/v1/users?filter=username%3Dada").await.body["users"][0].clone();
    let demote = |user: &serde_json::Value| {
        let (ada, path) = (ada.clone(), format!("/api/v1/users/{}", user["id"].as_str().unwrap()));
        async move { ada.patch(&path, json!({"roles": ["viewer"]})).await.status.as_u16() }
    };
    let (a, b) = tokio::join!(demote(&first), demote(&bob));
    assert!([a, b] == [200, 400] || [a, b] == [400, 200], "{a} {b}");
}

#[tokio::test]
async fn users_are_listed_in_pages_without_gap() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    for name in ["bob", "cleo", "dan", "eve"] {
        world.user(&ada, name, "viewer").await;
    }
    let names = |body: &serde_json::Value| -> Vec<String> {
        let users = body["users"].as_array().unwrap();
        users.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    };
    for (order, expected) in [
        ("create_time", ["ada", "bob", "cleo", "dan", "eve"]),
        ("create_time%20desc", ["eve", "dan", "cleo", "bob", "ada"]),
    ] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/users?page_size=2&order_by={order}&page_token={token}");
            let page = ada.get(&path).await.body;
            found.extend(names(&page));
            token = page["next_page_token"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected);
    }
    let by_email = ada.get("/api/v1/users?filter=email%3D%22ADA@example.com%22").await;
    assert_eq!(names(&by_email.body), ["ada"]);
    ada.get("/api/v1/users?filter=password%3Dx").await.refused(400, "FILTER_INVALID");
    ada.get("/api/v1/users?page_token=x").await.refused(400, "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn the_command_line_creates_users_while_no_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let user = |username: &str, roles: &[&str]| NewUser {
        username: username.to_owned(),
        email: String::new(),
        password: Secret::new(PASSWORD),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        organization: None,
    };
    assert!(!has_users(&settings(&folder)).await.unwrap());
    let id = create_user(&Config::default(), &settings(&folder), user("ada", &[])).await.unwrap();
    assert!(has_users(&settings(&folder)).await.unwrap());
    create_user(&Config::default(), &settings(&folder), user("bob", &["analyst"])).await.unwrap();
    let twice =
        create_user(&Config::default(), &settings(&folder), user("bob", &[])).await.unwrap_err();
    assert!(matches!(twice, Error::UserExists { field: "username" }));

    let world = World::in_folder(folder, Config::default()).await;
    let running = create_user(&Config::default(), &settings(&world.folder), user("eve", &[]))
        .await
        .unwrap_err();
    assert!(running.to_string().contains("/api/v1/auth/register"), "{running}");
    let (ada, _) = world.login("ada").await;
    let who = ada.get("/api/v1/auth/userinfo").await.body;
    assert_eq!((&who["sub"], &who["roles"]), (&json!(id.as_str()), &json!(["admin"])));
    let (bob, _) = world.login("bob").await;
    assert_eq!(bob.get("/api/v1/auth/userinfo").await.body["roles"], json!(["analyst"]));
}

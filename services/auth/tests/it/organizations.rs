//! Organisations: tenants that do not see each other.

use serde_json::{Value, json};

use crate::world::{PASSWORD, Person, World, eventually};

fn id(body: &Value) -> &str {
    body["id"].as_str().unwrap()
}

/// An organisation with an admin, who is logged in.
async fn tenant<'a>(world: &'a World, ada: &Person<'a>, name: &str) -> (Person<'a>, Value) {
    let body = json!({"id": name, "name": name});
    let answer = ada.post("/api/v1/organizations", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let admin = format!("{name}-admin");
    let body = json!({"username": admin, "password": PASSWORD, "roles": ["admin"],
        "organization_id": name});
    let user = ada.post("/api/v1/auth/register", body).await;
    assert_eq!((user.status.as_u16(), &user.body["organization_id"]), (201, &json!(name)));
    (world.login(&admin).await.0, user.body)
}

#[tokio::test]
async fn a_tenant_sees_nothing_of_another() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (acme, acme_admin) = tenant(&world, &ada, "acme").await;
    let (other, other_admin) = tenant(&world, &ada, "other").await;
    let key = acme.post("/api/v1/api-keys", json!({"name": "k"})).await.body;
    let role = json!({"name": "reader", "permissions": ["agents.read"]});
    assert_eq!(acme.post("/api/v1/roles", role.clone()).await.status, 201);
    assert_eq!(other.post("/api/v1/roles", role).await.status, 201, "names are each tenant's own");
    let group = acme.post("/api/v1/groups", json!({"name": "g", "roles": ["reader"]})).await.body;
    let account = json!({"name": "bot", "roles": ["reader"]});
    let account = acme.post("/api/v1/service-accounts", account).await.body;
    let session = acme.get("/api/v1/sessions").await.body["sessions"][0].clone();

    for (who, name) in [(&other, "another tenant"), (&ada, "the operator")] {
        let gone = [
            (format!("/api/v1/users/{}", id(&acme_admin)), "USER_NOT_FOUND"),
            (format!("/api/v1/users/{}/permissions", id(&acme_admin)), "USER_NOT_FOUND"),
            (format!("/api/v1/groups/{}", id(&group)), "GROUP_NOT_FOUND"),
            (format!("/api/v1/groups/{}/members", id(&group)), "GROUP_NOT_FOUND"),
            (format!("/api/v1/service-accounts/{}", id(&account)), "SERVICE_ACCOUNT_NOT_FOUND"),
        ];
        for (path, reason) in gone {
            who.get(&path).await.refused(404, reason);
        }
        let deleted = [
            (format!("/api/v1/groups/{}", id(&group)), "GROUP_NOT_FOUND"),
            (format!("/api/v1/service-accounts/{}", id(&account)), "SERVICE_ACCOUNT_NOT_FOUND"),
            (format!("/api/v1/api-keys/{}", id(&key)), "API_KEY_NOT_FOUND"),
            (format!("/api/v1/sessions/{}", id(&session)), "SESSION_NOT_FOUND"),
        ];
        for (path, reason) in deleted {
            who.delete(&path).await.refused(404, reason);
        }
        let path = format!("/api/v1/users/{}", id(&acme_admin));
        who.patch(&path, json!({"disabled": true})).await.refused(404, "USER_NOT_FOUND");
        let stop = json!({"subject": format!("user:{}", id(&acme_admin)), "reason": "x"});
        who.post("/api/v1/principals:stop", stop).await.refused(404, "PRINCIPAL_NOT_FOUND");
        let lists = ["users", "api-keys", "sessions", "groups", "service-accounts"];
        for list in lists {
            let body = who.get(&format!("/api/v1/{list}")).await.body.to_string();
            for theirs in [&acme_admin, &key, &group, &account, &session] {
                assert!(!body.contains(id(theirs)), "{name} sees {list}: {body}");
            }
        }
    }
    // The own are there.
    assert_eq!(acme.get(&format!("/api/v1/users/{}", id(&acme_admin))).await.status, 200);
    let users = acme.get("/api/v1/users").await.body;
    assert_eq!(users["users"].as_array().unwrap().len(), 1);
    assert_eq!(other.get(&format!("/api/v1/users/{}", id(&other_admin))).await.status, 200);
}

#[tokio::test]
async fn an_admin_of_a_tenant_is_not_the_operator() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (acme, admin) = tenant(&world, &ada, "acme").await;
    tenant(&world, &ada, "other").await;
    acme.get("/api/v1/organizations").await.refused(403, "PERMISSION_DENIED");
    acme.post("/api/v1/organizations", json!({"id": "x", "name": "x"}))
        .await
        .refused(403, "PERMISSION_DENIED");
    assert_eq!(acme.get("/api/v1/organizations/acme").await.body["name"], "acme");
    acme.get("/api/v1/organizations/other").await.refused(404, "ORGANIZATION_NOT_FOUND");
    acme.get("/api/v1/audit-events:verify").await.refused(403, "PERMISSION_DENIED");
    let who = acme.get("/api/v1/auth/userinfo").await.body;
    let held = who["permissions"].as_array().unwrap();
    assert!(held.contains(&json!("auth.write")) && !held.contains(&json!("*")), "{held:?}");
    for area in ["gateway.", "monitoring.", "organizations.", "keys."] {
        assert!(!held.iter().any(|one| one.as_str().unwrap().starts_with(area)), "{held:?}");
    }
    // Not by a role, a key, a group, an account, or a member of another organisation.
    let role = json!({"name": "op", "permissions": ["organizations.write"]});
    acme.post("/api/v1/roles", role).await.refused(400, "SCOPE_INVALID");
    let key = json!({"name": "k", "scopes": ["organizations.write"]});
    acme.post("/api/v1/api-keys", key).await.refused(400, "SCOPE_INVALID");
    let all = acme.post("/api/v1/roles", json!({"name": "all", "permissions": ["*"]})).await;
    assert_eq!(all.status, 201, "{all:?}");
    let effective = all.body["effective_permissions"].to_string();
    assert!(!effective.contains("organizations."), "{effective}");
    let body = json!({"username": "spy", "password": PASSWORD, "organization_id": "default"});
    acme.post("/api/v1/auth/register", body).await.refused(404, "ORGANIZATION_NOT_FOUND");
    let body = json!({"username": "kim", "password": PASSWORD});
    let kim = acme.post("/api/v1/auth/register", body).await;
    assert_eq!(kim.body["organization_id"], "acme", "{kim:?}");
    // The last admin rule is each organisation's own.
    let path = format!("/api/v1/users/{}", id(&admin));
    acme.patch(&path, json!({"roles": ["viewer"]})).await.refused(400, "LAST_ADMIN");
    let path = format!("/api/v1/users/{}", id(&kim.body));
    assert_eq!(acme.patch(&path, json!({"display_name": "Kim"})).await.status, 200);
}

#[tokio::test]
async fn a_disabled_organization_is_out_at_once_and_an_empty_one_can_go() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (acme, _) = tenant(&world, &ada, "acme").await;
    let key = acme.post("/api/v1/api-keys", json!({"name": "k"})).await.body;
    let program = world.key(key["key"].as_str().unwrap());
    assert_eq!(program.get("/api/v1/users").await.status, 200);
    ada.delete("/api/v1/organizations/acme").await.refused(400, "ORGANIZATION_IN_USE");
    let disable = json!({"disabled": true});
    ada.patch("/api/v1/organizations/default", disable.clone()).await.refused(400, "FIELD_INVALID");
    let answer = ada.patch("/api/v1/organizations/acme", disable).await;
    assert_eq!((answer.status.as_u16(), &answer.body["disabled"]), (200, &json!(true)));
    eventually(|| async { acme.get("/api/v1/users").await.status.is_client_error() }).await;
    eventually(|| async { program.get("/api/v1/users").await.status.is_client_error() }).await;
    world.try_login("acme-admin", PASSWORD).await.refused(401, "CREDENTIALS_INVALID");
    let enable = json!({"disabled": false, "etag": answer.body["etag"]});
    assert_eq!(ada.patch("/api/v1/organizations/acme", enable).await.status, 200);
    assert_eq!(world.try_login("acme-admin", PASSWORD).await.status, 200);

    ada.post("/api/v1/organizations", json!({"id": "acme", "name": "x"}))
        .await
        .refused(409, "ORGANIZATION_EXISTS");
    ada.post("/api/v1/organizations", json!({"id": "empty", "name": "x"})).await;
    let list = ada.get("/api/v1/organizations?page_size=2").await.body;
    assert_eq!(list["organizations"][0]["id"], "empty");
    let next = list["next_page_token"].as_str().unwrap();
    let list = ada.get(&format!("/api/v1/organizations?page_size=2&page_token={next}")).await.body;
    assert_eq!(list["organizations"][0]["id"], "default");
    assert_eq!(ada.delete("/api/v1/organizations/empty").await.status, 204);
    ada.delete("/api/v1/organizations/empty").await.refused(404, "ORGANIZATION_NOT_FOUND");
    ada.delete("/api/v1/organizations/default").await.refused(400, "ORGANIZATION_IN_USE");
}

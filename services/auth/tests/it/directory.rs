//! Roles and groups: what they come to, and that nobody gives more than they hold.

use serde_json::{Value, json};

use crate::world::{PASSWORD, World};

fn id(body: &Value) -> &str {
    body["id"].as_str().unwrap()
}

/// The permissions of a user, as the view shows them.
fn names(body: &Value) -> Vec<&str> {
    let permissions = body["permissions"].as_array().unwrap();
    permissions.iter().map(|one| one["permission"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_role_gives_what_it_inherits_and_can_be_taken_away() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let body = json!({"name": "reader", "permissions": ["agents.read"], "description": "Reads"});
    let reader = ada.post("/api/v1/roles", body.clone()).await;
    assert_eq!(reader.status, 201, "{reader:?}");
    assert_eq!(reader.body["effective_permissions"], json!(["agents.read"]));
    ada.post("/api/v1/roles", body).await.refused(409, "ROLE_EXISTS");
    let runner =
        json!({"name": "runner", "permissions": ["agents.invoke"], "inherits": ["reader"]});
    let runner = ada.post("/api/v1/roles", runner).await.body;
    assert_eq!(runner["effective_permissions"], json!(["agents.invoke", "agents.read"]));
    let bob = world.user(&ada, "bob", "runner").await;
    let view = format!("/api/v1/users/{}/permissions", id(&bob));
    let rights = ada.get(&view).await.body;
    assert_eq!(names(&rights), ["agents.invoke", "agents.read"]);
    assert_eq!(rights["roles"], json!(["reader", "runner"]));
    let sources = &rights["permissions"][1]["sources"];
    assert_eq!(sources, &json!(["role:runner > role:reader"]));

    let circle = json!({"inherits": ["runner"]});
    ada.patch("/api/v1/roles/reader", circle).await.refused(400, "FIELD_INVALID");
    let used = ada.delete("/api/v1/roles/reader").await;
    used.refused(400, "ROLE_IN_USE");
    assert!(used.body["error"]["message"].as_str().unwrap().contains("role:runner"), "{used:?}");
    let used = ada.delete("/api/v1/roles/runner").await;
    used.refused(400, "ROLE_IN_USE");
    assert!(used.body["error"]["message"].as_str().unwrap().contains("user:bob"), "{used:?}");
    let user = format!("/api/v1/users/{}", id(&bob));
    assert_eq!(ada.patch(&user, json!({"roles": ["viewer"]})).await.status, 200);
    assert_eq!(ada.delete("/api/v1/roles/runner").await.status, 204);
    ada.get("/api/v1/roles/runner").await.refused(404, "ROLE_NOT_FOUND");
    ada.patch(&user, json!({"roles": ["runner"]})).await.refused(400, "ROLE_UNKNOWN");
}

#[tokio::test]
async fn built_in_roles_are_shown_and_stay() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let roles = ada.get("/api/v1/roles").await.body;
    let all = roles["roles"].as_array().unwrap();
    let shown: Vec<_> = all.iter().map(|role| role["name"].as_str().unwrap()).collect();
    assert_eq!(shown, ["admin", "developer", "analyst", "viewer"]);
    assert!(all.iter().all(|role| role["built_in"] == json!(true)));
    ada.patch("/api/v1/roles/viewer", json!({"permissions": ["*"]}))
        .await
        .refused(400, "ROLE_BUILT_IN");
    ada.delete("/api/v1/roles/viewer").await.refused(400, "ROLE_BUILT_IN");
    ada.post("/api/v1/roles", json!({"name": "admin"})).await.refused(409, "ROLE_EXISTS");
    ada.post("/api/v1/roles", json!({"name": "Bad Name"})).await.refused(400, "FIELD_INVALID");
    let unknown = json!({"name": "x", "permissions": ["agents.fly"]});
    ada.post("/api/v1/roles", unknown).await.refused(400, "SCOPE_INVALID");
    let stale = json!({"name": "x", "permissions": []});
    ada.post("/api/v1/roles", stale).await;
    ada.patch("/api/v1/roles/x", json!({"description": "y", "etag": "\"9\""}))
        .await
        .refused(409, "ETAG_MISMATCH");
}

#[tokio::test]
async fn nobody_gives_more_than_they_hold() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let permissions = json!(["auth.read", "auth.write", "account.*", "agents.read"]);
    let helper = json!({"name": "helper", "permissions": permissions});
    assert_eq!(ada.post("/api/v1/roles", helper).await.status, 201);
    let eve = world.user(&ada, "eve", "helper").await;
    let (helper, _) = world.login("eve").await;
    let wide = json!({"name": "wide", "permissions": ["*"]});
    helper.post("/api/v1/roles", wide).await.refused(400, "SCOPE_INVALID");
    let heir = json!({"name": "heir", "inherits": ["admin"]});
    helper.post("/api/v1/roles", heir).await.refused(403, "PERMISSION_DENIED");
    let more = json!({"permissions": ["auth.*", "agents.*"]});
    helper.patch("/api/v1/roles/helper", more).await.refused(400, "SCOPE_INVALID");
    let group = json!({"name": "gods", "roles": ["admin"]});
    helper.post("/api/v1/groups", group.clone()).await.refused(403, "PERMISSION_DENIED");
    let group = ada.post("/api/v1/groups", group).await.body;
    let members = format!("/api/v1/groups/{}/members:add", id(&group));
    let me = json!({"members": [format!("user:{}", id(&eve))]});
    helper.post(&members, me.clone()).await.refused(403, "PERMISSION_DENIED");
    let account = json!({"name": "bot", "roles": ["admin"]});
    helper
        .post("/api/v1/service-accounts", account.clone())
        .await
        .refused(403, "PERMISSION_DENIED");
    let account = ada.post("/api/v1/service-accounts", account).await.body;
    let path = format!("/api/v1/service-accounts/{}", id(&account));
    helper.patch(&path, json!({"description": "x"})).await.refused(403, "PERMISSION_DENIED");
    let key = json!({"name": "k", "service_account_id": account["id"]});
    helper.post("/api/v1/api-keys", key).await.refused(403, "PERMISSION_DENIED");
    // Somebody mightier cannot be changed: their address alone could be used to become them.
    let first = ada.get("/api/v1/users?filter=username%3Dada").await.body["users"][0].clone();
    let path = format!("/api/v1/users/{}", id(&first));
    helper.patch(&path, json!({"email": "eve@x.org"})).await.refused(403, "PERMISSION_DENIED");
    // One's own roles neither.
    let path = format!("/api/v1/users/{}", id(&eve));
    helper.patch(&path, json!({"roles": ["admin"]})).await.refused(403, "PERMISSION_DENIED");
    assert_eq!(ada.post(&members, me).await.body["member_count"], 1);
}

#[tokio::test]
async fn a_group_gives_its_roles_at_once_and_takes_them_back() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let (viewer, tokens) = world.login("bob").await;
    let key = viewer.post("/api/v1/api-keys", json!({"name": "ci"})).await.body;
    let program = world.key(key["key"].as_str().unwrap());
    program.get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
    let inner = json!({"name": "inner"});
    let inner = ada.post("/api/v1/groups", inner).await.body;
    let outer = ada.post("/api/v1/groups", json!({"name": "outer", "roles": ["admin"]})).await.body;
    let add = |group: &Value, member: String| {
        let path = format!("/api/v1/groups/{}/members:add", id(group));
        let ada = ada.clone();
        async move { ada.post(&path, json!({"members": [member]})).await }
    };
    assert_eq!(add(&inner, format!("user:{}", id(&bob))).await.status, 200);
    assert_eq!(add(&outer, format!("group:{}", id(&inner))).await.status, 200);
    add(&inner, format!("group:{}", id(&outer))).await.refused(400, "FIELD_INVALID");
    add(&inner, "user:nobody".to_owned()).await.refused(404, "PRINCIPAL_NOT_FOUND");
    crate::world::eventually(|| async { program.get("/api/v1/users").await.status == 200 }).await;
    // What a token carries is computed anew with each refresh.
    let refreshed = world.refresh(&tokens["refresh_token"]).await.body;
    let now = world.bearer(refreshed["access_token"].as_str().unwrap());
    assert_eq!(now.get("/api/v1/users").await.status, 200);
    let path = format!("/api/v1/groups/{}", id(&outer));
    assert_eq!(
        ada.get(&format!("{path}/members")).await.body["members"][0],
        format!("group:{}", id(&inner))
    );
    assert_eq!(ada.delete(&path).await.status, 204);
    crate::world::eventually(|| async { program.get("/api/v1/users").await.status == 403 }).await;
    let again = world.refresh(&refreshed["refresh_token"]).await.body;
    let now = world.bearer(again["access_token"].as_str().unwrap());
    now.get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_role_and_its_last_user_cannot_miss_each_other() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    for round in 0..10 {
        let name = format!("role-{round}");
        let role = json!({"name": name, "permissions": ["agents.read"]});
        assert_eq!(ada.post("/api/v1/roles", role).await.status, 201);
        let user = json!({"username": format!("u{round}"), "password": PASSWORD, "roles": [name]});
        let path = format!("/api/v1/roles/{name}");
        let (made, deleted) =
            tokio::join!(ada.post("/api/v1/auth/register", user), ada.delete(&path));
        let both = (made.status.as_u16(), deleted.status.as_u16());
        assert!(both == (201, 400) || both == (400, 204), "{both:?}");
    }
}

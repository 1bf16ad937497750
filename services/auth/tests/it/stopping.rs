//! Service accounts, and stopping somebody everywhere with one call.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{WatchAccessRequest, access_service_client::AccessServiceClient};
use serde_json::{Value, json};

use crate::world::{PASSWORD, World, eventually};

fn id(body: &Value) -> &str {
    body["id"].as_str().unwrap()
}

/// Who is refused, as every service is told.
async fn refused(world: &World) -> Vec<String> {
    let channel = world.harness.context("auth").peers().channel("auth");
    let request = Caller::service("auth").request(WatchAccessRequest {});
    let mut states =
        AccessServiceClient::new(channel).watch_access(request).await.unwrap().into_inner();
    states.message().await.unwrap().unwrap().stopped_subjects
}

#[tokio::test]
async fn one_call_stops_an_agent_and_another_lets_it_go_on() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let account = json!({"name": "helper", "agent_id": "agent-7", "roles": ["developer"],
        "permissions": ["agents.*", "account.*"]});
    let account = ada.post("/api/v1/service-accounts", account).await;
    assert_eq!(account.status, 201, "{account:?}");
    assert_eq!(account.body["subject"], "agent:agent-7");
    let key = json!({"name": "k", "service_account_id": account.body["id"]});
    let key = ada.post("/api/v1/api-keys", key).await;
    assert_eq!((key.status.as_u16(), &key.body["user_id"]), (201, &json!("")), "{key:?}");
    let program = world.key(key.body["key"].as_str().unwrap());
    let who = program.get("/api/v1/auth/userinfo").await.body;
    let held = who["permissions"].as_array().unwrap().clone();
    assert!(held.contains(&json!("agents.write")), "{who}");
    assert!(!held.iter().any(|one| one.as_str().unwrap().starts_with("models.")), "{who}");

    let stop = json!({"subject": "agent:agent-7", "reason": "it deletes things"});
    let stopped = ada.post("/api/v1/principals:stop", stop.clone()).await;
    assert_eq!((stopped.status.as_u16(), &stopped.body["reason"]), (200, &stop["reason"]));
    assert_eq!(refused(&world).await, ["agent:agent-7"]);
    eventually(|| async { program.get("/api/v1/auth/userinfo").await.status.is_client_error() })
        .await;
    let list = ada.get("/api/v1/principals/stopped").await.body;
    assert_eq!(list["stopped_principals"][0]["subject"], "agent:agent-7");
    assert_eq!(ada.post("/api/v1/principals:stop", stop).await.status, 200, "again");

    let start = json!({"subject": "agent:agent-7"});
    assert_eq!(ada.post("/api/v1/principals:start", start).await.status, 200);
    eventually(|| async { program.get("/api/v1/auth/userinfo").await.status == 200 }).await;
    assert!(refused(&world).await.is_empty());
    let events = ada.get("/api/v1/audit-events?filter=resource_type%3Dprincipal").await.body;
    let actions: Vec<_> = events["audit_events"].as_array().unwrap().iter().collect();
    assert_eq!(actions[0]["action"], "principal.started");
    assert_eq!(actions.last().unwrap()["details"]["reason"], "it deletes things");
}

#[tokio::test]
async fn a_stopped_user_is_out_and_the_last_admin_cannot_be() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let (viewer, tokens) = world.login("bob").await;
    let key = viewer.post("/api/v1/api-keys", json!({"name": "k"})).await.body;
    let program = world.key(key["key"].as_str().unwrap());
    assert_eq!(program.get("/api/v1/sessions").await.status, 200);
    let subject = |user: &Value| format!("user:{}", id(user));
    let stop = json!({"subject": subject(&bob), "reason": "stolen laptop"});
    assert_eq!(ada.post("/api/v1/principals:stop", stop).await.status, 200);
    eventually(|| async { viewer.get("/api/v1/sessions").await.status.is_client_error() }).await;
    eventually(|| async { program.get("/api/v1/sessions").await.status.is_client_error() }).await;
    world.refresh(&tokens["refresh_token"]).await.refused(400, "GRANT_INVALID");
    world.try_login("bob", PASSWORD).await.refused(401, "CREDENTIALS_INVALID");
    let first = ada.get("/api/v1/users?filter=username%3Dada").await.body["users"][0].clone();
    let stop = json!({"subject": subject(&first), "reason": "x"});
    ada.post("/api/v1/principals:stop", stop.clone()).await.refused(400, "LAST_ADMIN");
    // Who is stopped is no admin who could act.
    let second = world.user(&ada, "eve", "admin").await;
    let other = json!({"subject": subject(&second), "reason": "x"});
    assert_eq!(ada.post("/api/v1/principals:stop", other).await.status, 200);
    ada.post("/api/v1/principals:stop", stop).await.refused(400, "LAST_ADMIN");
    let path = format!("/api/v1/users/{}", id(&first));
    ada.patch(&path, json!({"roles": ["viewer"]})).await.refused(400, "LAST_ADMIN");
    for unknown in ["user:nobody", "bob", "client:x", "agent:a/b", "service-account:x"] {
        let stop = json!({"subject": unknown, "reason": "x"});
        ada.post("/api/v1/principals:stop", stop).await.refused(404, "PRINCIPAL_NOT_FOUND");
    }
    let stop = json!({"subject": subject(&bob), "reason": ""});
    ada.post("/api/v1/principals:stop", stop).await.refused(400, "FIELD_INVALID");
}

#[tokio::test]
async fn an_account_is_shut_out_and_deleted_with_its_keys() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let account = json!({"name": "bot", "roles": ["viewer"], "client_ids": ["app"]});
    let account = ada.post("/api/v1/service-accounts", account.clone()).await.body;
    assert_eq!(account["subject"], format!("service-account:{}", id(&account)));
    let twin = json!({"name": "bot"});
    ada.post("/api/v1/service-accounts", twin).await.refused(409, "SERVICE_ACCOUNT_EXISTS");
    let rival = json!({"name": "rival", "client_ids": ["app"]});
    ada.post("/api/v1/service-accounts", rival).await.refused(400, "FIELD_INVALID");
    let private = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c"}]});
    let leaked = json!({"name": "leaky", "jwks": private.to_string()});
    ada.post("/api/v1/service-accounts", leaked).await.refused(400, "FIELD_INVALID");
    let body = json!({"name": "k", "service_account_id": account["id"], "scopes": ["account.read"],
        "allowed_addresses": ["127.0.0.1", "10.1.2.3/8"]});
    let key = ada.post("/api/v1/api-keys", body).await.body;
    assert_eq!(key["allowed_addresses"], json!(["10.0.0.0/8", "127.0.0.1"]));
    let text = key["key"].as_str().unwrap();
    assert!(text.ends_with(key["suffix"].as_str().unwrap()), "{key}");
    let filter = format!("/api/v1/api-keys?filter=service_account_id%3D\"{}\"", id(&account));
    let listed = ada.get(&filter).await.body;
    assert_eq!(listed["api_keys"][0]["id"], key["id"]);
    assert!(!listed.to_string().contains(&text[12..40]), "{listed}");
    let bad = json!({"name": "k", "allowed_addresses": ["everywhere"]});
    ada.post("/api/v1/api-keys", bad).await.refused(400, "API_KEY_INVALID");
    let program = world.key(text);
    assert_eq!(program.get("/api/v1/auth/userinfo").await.status, 200);
    let path = format!("/api/v1/service-accounts/{}", id(&account));
    assert_eq!(ada.patch(&path, json!({"disabled": true})).await.status, 200);
    assert_eq!(refused(&world).await, [format!("service-account:{}", id(&account))]);
    eventually(|| async { program.get("/api/v1/auth/userinfo").await.status.is_client_error() })
        .await;
    assert_eq!(ada.delete(&path).await.status, 204);
    ada.get(&path).await.refused(404, "SERVICE_ACCOUNT_NOT_FOUND");
    assert_eq!(ada.get(&filter).await.body["api_keys"], json!([]));
}

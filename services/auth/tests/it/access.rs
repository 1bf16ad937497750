//! What the other services are told, and what is published.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{
    VerifyApiKeyRequest, WatchAccessRequest, access_service_client::AccessServiceClient,
};
use serde_json::json;
use tonic::Code;

use crate::world::World;

#[tokio::test]
async fn watchers_are_told_at_once_and_after_each_change() {
    let world = World::new().await;
    let channel = world.harness.channel_as("auth", Caller::service("agents"));
    let mut client = AccessServiceClient::new(channel);
    let mut states = client.watch_access(WatchAccessRequest {}).await.unwrap().into_inner();
    let first = states.message().await.unwrap().unwrap();
    assert!(first.open);
    assert_eq!(first.issuer, "http://localhost:8006");
    assert!(first.jwks.contains("\"kid\""));

    let (ada, _) = world.admin().await;
    let second = states.message().await.unwrap().unwrap();
    assert!(!second.open && second.revision > first.revision);
    let session = ada.get("/api/v1/sessions").await.body["sessions"][0]["id"].clone();
    assert_eq!(ada.post("/api/v1/auth/logout", json!({})).await.status, 204);
    let third = states.message().await.unwrap().unwrap();
    assert!(third.revision > second.revision);
    assert_eq!(json!(third.revoked_session_ids), json!([session]));
}

#[tokio::test]
async fn keys_are_verified_for_services_alone() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let made =
        ada.post("/api/v1/api-keys", json!({"name": "ci", "scopes": ["agents.*"]})).await.body;
    let key = made["key"].as_str().unwrap().to_owned();
    let channel = world.harness.channel_as("auth", Caller::service("agents"));
    let mut client = AccessServiceClient::new(channel);
    let verified =
        client.verify_api_key(VerifyApiKeyRequest { key: key.clone() }).await.unwrap().into_inner();
    assert_eq!(json!(verified.api_key_id), made["id"]);
    assert_eq!(json!(verified.user_id), made["user_id"]);
    assert_eq!((verified.name, verified.roles), ("ci".to_owned(), vec!["admin".to_owned()]));
    assert_eq!(verified.permissions, ["agents.*"]);
    let refused =
        client.verify_api_key(VerifyApiKeyRequest { key: "lk_x".to_owned() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let path = "/lightning.auth.v1.AccessService/VerifyApiKey";
    let answer = ada.post(path, json!({"key": key})).await;
    assert!(answer.status.is_client_error(), "{answer:?}");
}

#[tokio::test]
async fn keys_and_metadata_are_published() {
    let world = World::new().await;
    world.admin().await;
    let keys = world.nobody().get("/.well-known/jwks.json").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    assert_eq!(keys.headers["cache-control"], "public, max-age=300");
    assert_eq!(keys.body["keys"][0]["alg"], "ES256");
    assert!(keys.body["keys"][0].get("d").is_none());
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let metadata = world.nobody().get(path).await.body;
        assert_eq!(metadata["issuer"], "http://localhost:8006");
        assert_eq!(metadata["subject_types_supported"], json!(["public"]));
    }
}

#[tokio::test]
async fn the_figures_count_users_and_logins() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    world.try_login("ada", "wrong mule battery").await.refused(401, "CREDENTIALS_INVALID");
    let metrics = ada.get("/api/v1/metrics").await.body;
    let text = metrics.to_string();
    for name in ["users", "sessions_open", "logins_total", "login_failures_total"] {
        assert!(text.contains(name), "{name} in {text}");
    }
}

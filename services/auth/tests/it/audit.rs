//! The audit trail: complete, chained, each organisation's own, and free of secrets.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{
    AuditEvent, ReportEventsRequest, audit_event::Outcome, audit_service_client::AuditServiceClient,
};
use serde_json::{Value, json};

use crate::world::{PASSWORD, World};

fn events(body: &Value) -> &Vec<Value> {
    body["audit_events"].as_array().unwrap_or_else(|| panic!("{body}"))
}

#[tokio::test]
async fn what_admins_change_is_kept_with_before_and_after() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let path = format!("/api/v1/users/{}", bob["id"].as_str().unwrap());
    ada.patch(&path, json!({"roles": ["developer"], "email": "bob@x.org"})).await;
    let list = ada.get("/api/v1/audit-events?filter=action%3D\"user.updated\"").await.body;
    let event = &events(&list)[0];
    assert_eq!((&event["outcome"], &event["resource_id"]), (&json!("success"), &bob["id"]));
    let details = json!({"roles_before": "viewer", "roles_after": "developer", "email": "changed"});
    assert_eq!(event["details"], details);
    assert!(event["subject"].as_str().unwrap().starts_with("user:"), "{event}");

    let all = ada.get("/api/v1/audit-events?page_size=1").await.body;
    let next = all["next_page_token"].as_str().unwrap();
    let second = ada.get(&format!("/api/v1/audit-events?page_size=1&page_token={next}")).await.body;
    let place = |body: &Value| events(body)[0]["sequence"].as_i64().unwrap();
    assert_eq!(place(&all), place(&second) + 1);
    assert_eq!(events(&all)[0]["previous_hash"], events(&second)[0]["hash"]);
    let verdict = ada.get("/api/v1/audit-events:verify").await.body;
    assert_eq!((&verdict["valid"], &verdict["event_count"]), (&json!(true), &json!(place(&all))));
    assert_eq!(verdict["hash"], events(&all)[0]["hash"]);
    ada.get("/api/v1/audit-events?filter=outcome%3Dmaybe").await.refused(400, "FILTER_INVALID");
    ada.get("/api/v1/audit-events?page_size=-1").await.refused(400, "PAGE_SIZE_INVALID");
    let later = "/api/v1/audit-events?start_time=2999-01-01T00:00:00Z";
    assert_eq!(ada.get(later).await.body["audit_events"], json!([]));
}

#[tokio::test]
async fn each_organization_sees_its_own_events() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    ada.post("/api/v1/organizations", json!({"id": "acme", "name": "Acme"})).await;
    let admin = json!({"username": "wile", "password": PASSWORD, "roles": ["admin"],
        "organization_id": "acme"});
    ada.post("/api/v1/auth/register", admin).await;
    let (wile, _) = world.login("wile").await;
    wile.post("/api/v1/roles", json!({"name": "reader", "permissions": ["agents.read"]})).await;
    let own = wile.get("/api/v1/audit-events").await.body;
    assert!(!events(&own).is_empty());
    assert!(events(&own).iter().all(|event| event["organization_id"] == "acme"), "{own}");
    wile.get("/api/v1/audit-events?filter=organization_id%3D\"default\"")
        .await
        .refused(404, "ORGANIZATION_NOT_FOUND");
    let all = ada.get("/api/v1/audit-events?filter=organization_id%3D\"acme\"").await.body;
    assert_eq!(events(&all).len(), events(&own).len());
    let bob = json!({"username": "bob", "password": PASSWORD});
    wile.post("/api/v1/auth/register", bob).await;
    let (bob, _) = world.login("bob").await;
    bob.get("/api/v1/audit-events").await.refused(403, "PERMISSION_DENIED");
}

#[tokio::test]
async fn services_report_what_they_saw_and_it_is_exported() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let event = AuditEvent {
        action: "secret.used".to_owned(),
        outcome: Outcome::Success.into(),
        subject: "user:1".to_owned(),
        organization_id: "default".to_owned(),
        resource_id: "key lk_aaaaaaaa_0123456789012345678901234567890123456789".to_owned(),
        service: "somebody else".to_owned(),
        ..AuditEvent::default()
    };
    let channel = world.harness.context("auth").peers().channel("auth");
    let request = ReportEventsRequest { audit_events: vec![event], dropped_count: 0 };
    let request = Caller::service("auth").request(request);
    AuditServiceClient::new(channel).report_events(request).await.unwrap();
    let text = ada.text("/api/v1/audit-events:export").await;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 2, "{text}");
    let last = lines.last().unwrap();
    assert_eq!((&last["action"], &last["service"]), (&json!("secret.used"), &json!("auth")));
    assert_eq!(last["resource_id"], "key [removed]");
    assert_eq!(last["previous_hash"], lines[lines.len() - 2]["hash"]);
    let none = ada.text("/api/v1/audit-events:export?filter=action%3Dnothing").await;
    assert_eq!(none, "");
}

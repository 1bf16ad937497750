//! Integrations and webhooks through the gateway.

use serde_json::{Value, json};

use crate::support::{Mesh, answer};

#[tokio::test]
async fn an_integration_is_made_tested_used_and_removed() {
    let mesh = Mesh::start().await;
    let connectors = mesh.documented("GET /api/v1/connectors", &[], Value::Null).await;
    let ids: Vec<&str> = connectors.is(200).body["connectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|connector| connector["id"].as_str().unwrap())
        .collect();
    for id in ["rest_api", "database", "slack", "salesforce"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    let path = mesh.data().join("data").join("databases").join("mine.db");
    let body = json!({
        "name": "Mine",
        "connector_type": "database",
        "config": { "driver": "sqlite", "path": path },
    });
    let created = mesh.documented("POST /api/v1/integrations", &[], body).await;
    let id = created.is(201).id();
    mesh.documented("GET /api/v1/integrations", &[], Value::Null).await.is(200);
    mesh.documented("GET /api/v1/integrations/{id}", &[&id], Value::Null).await.is(200);

    let sample = "integration-sample-database";
    let tested = mesh.documented("POST /api/v1/integrations/{id}/test", &[sample], json!({})).await;
    assert_eq!(tested.is(200).body["ok"], true, "{:#}", tested.body);
    let payload = json!({ "sql": "SELECT count(*) AS n FROM orders" });
    let query = json!({ "integration_id": sample, "action": "query", "payload": payload });
    let counted = mesh.documented("POST /api/v1/integrations/execute", &[], query).await;
    assert!(counted.is(200).body["result"]["rows"][0]["n"].as_i64().unwrap() > 10);
    let unknown = json!({ "integration_id": sample, "action": "fly", "payload": {} });
    let unknown = mesh.call("POST /api/v1/integrations/execute", unknown).await;
    assert_eq!(unknown.reason(), "ACTION_NOT_FOUND", "{:#}", unknown.body);

    mesh.documented("DELETE /api/v1/integrations/{id}", &[&id], Value::Null).await.is(204);
    mesh.documented("GET /api/v1/integrations/{id}", &[&id], Value::Null).await.is(404);
}

#[tokio::test]
async fn a_private_target_is_refused_unless_the_operator_allows_it() {
    let mesh = Mesh::start().await;
    let target = mesh.url("gateway", "");
    let body =
        json!({ "name": "Inside", "connector_type": "rest_api", "config": { "base_url": target } });
    let created = mesh.call("POST /api/v1/integrations", body).await;
    let refused = if created.status.is_success() {
        let id = created.id();
        let payload = json!({ "method": "GET", "path": "/health" });
        let call = json!({ "integration_id": id, "action": "request", "payload": payload });
        mesh.call("POST /api/v1/integrations/execute", call).await
    } else {
        created
    };
    assert_eq!(refused.reason(), "TARGET_REFUSED", "{:#}", refused.body);
}

#[tokio::test]
async fn a_webhook_takes_signed_events_only() {
    let mesh = Mesh::start().await;
    let body =
        json!({ "name": "Push", "signature_scheme": "github", "secret": "a secret of the sender" });
    let created = mesh.documented("POST /api/v1/webhooks/register", &[], body).await;
    let id = created.is(201).id();
    let event = br#"{"zen":"Keep it logically awesome."}"#;
    let unsigned =
        mesh.documented("POST /api/v1/webhooks/{id}", &[&id], json!({ "zen": "no" })).await;
    assert_eq!(unsigned.is(401).reason(), "SIGNATURE_INVALID");

    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"a secret of the sender");
    let tag = aws_lc_rs::hmac::sign(&key, event);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = mesh
        .request("gateway", &format!("POST /api/v1/webhooks/{id}"))
        .header("content-type", "application/json")
        .header("x-github-delivery", "delivery-1")
        .header("x-hub-signature-256", format!("sha256={hex}"))
        .body(event.to_vec());
    let taken = answer(request.try_clone().unwrap()).await;
    taken.is(202);
    let again = answer(request).await;
    assert_eq!(again.is(202).body, taken.body, "a repeated delivery is answered like the first");
    let events = mesh.call(&format!("GET /api/v1/webhooks/{id}/events"), Value::Null).await;
    let events = events.is(200).body["events"].as_array().unwrap().clone();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["payload"]["zen"], "Keep it logically awesome.");
}

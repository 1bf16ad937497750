//! The same program on PostgreSQL. Needs a server: `make test-scaled` starts one.

use serde_json::{Value, json};

use crate::support::Mesh;

/// A fresh database on the server that `LIGHTNING_TEST_POSTGRES_URL` names, or nothing.
async fn database() -> Option<String> {
    let Ok(server) = std::env::var("LIGHTNING_TEST_POSTGRES_URL") else {
        println!("skipped: LIGHTNING_TEST_POSTGRES_URL is not set");
        return None;
    };
    let (client, connection) =
        tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
    lightning_mesh::task::spawn("test", connection);
    let name = format!("lightning_{}", std::process::id());
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (host, _) = server.rsplit_once('/').unwrap();
    Some(format!("{host}/{name}"))
}

#[tokio::test]
async fn scaled_everything_is_kept_in_postgresql() {
    let Some(url) = database().await else { return };
    let mut mesh = Mesh::start_with(&format!("[store]\nurl = \"{url}\"")).await;
    let agent = json!({ "name": "Kept", "agent_type": "conversational" });
    let agent = mesh.call("POST /api/v1/agents", agent).await.is(201).id();
    mesh.call(&format!("POST /api/v1/agents/{agent}/deploy"), json!({})).await.is(202);
    let answered = mesh
        .call(&format!("POST /api/v1/agents/{agent}/invoke"), json!({ "input": "Hello" }))
        .await;
    answered.is(200);
    let run = |workflow: &str, input: Value| json!({ "workflow_id": workflow, "input_data": input, "async_execution": false });
    let message = json!({ "message": "I was charged twice on my invoice" });
    let support = mesh
        .call("POST /api/v1/workflows/execute", run("workflow-customer-support", message))
        .await;
    assert_eq!(support.is(200).body["output"]["intent"], "billing", "{:#}", support.body);
    let pipeline =
        mesh.call("POST /api/v1/workflows/execute", run("workflow-data-pipeline", json!({}))).await;
    assert_eq!(pipeline.is(200).body["status"], "completed", "{:#}", pipeline.body);
    mesh.call("GET /api/v1/costs", Value::Null).await.is(200);
    mesh.close().await;
    mesh.kill().await;
    mesh.restart().await;
    mesh.call(&format!("GET /api/v1/agents/{agent}"), Value::Null).await.is(200);
    let execution =
        mesh.call(&format!("GET /api/v1/executions/{}", support.id()), Value::Null).await;
    assert_eq!(execution.is(200).body["steps"], support.body["steps"]);
    for list in
        ["users", "api-keys", "sessions", "integrations", "models", "webhooks", "executions"]
    {
        mesh.call(&format!("GET /api/v1/{list}"), Value::Null).await.is(200);
    }
}

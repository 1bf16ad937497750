//! The shipped samples and the life of an execution.

use serde_json::{Value, json};

use crate::support::Mesh;

#[tokio::test]
async fn the_support_workflow_routes_by_what_the_model_says() {
    let mesh = Mesh::start().await;
    for (message, intent) in [
        ("I was charged twice on my invoice", "billing"),
        ("the app crashes with error 500 when I log in", "technical"),
        ("Help needed", "general"),
    ] {
        let body = json!({ "workflow_id": "workflow-customer-support", "input_data": { "message": message } });
        let started = mesh.documented("POST /api/v1/workflows/execute", &[], body).await;
        started.is(202);
        let ended = mesh.ended(&started.id()).await;
        assert_eq!(ended["status"], "completed", "{ended:#}");
        assert_eq!(ended["output"]["intent"], intent, "{ended:#}");
        assert_eq!(ended["input_data"]["message"], message);
        assert!(!ended["output"]["reply"].as_str().unwrap().is_empty());
        let steps = ended["steps"].as_array().unwrap();
        assert!(steps.len() >= 3, "{steps:#?}");
        for step in steps {
            assert!(step["start_time"].is_string() && step["end_time"].is_string(), "{step:#}");
            assert_eq!(step["attempt"], 1);
        }
        assert!(
            steps.iter().any(|step| step["name"].as_str().unwrap().contains(intent)),
            "{steps:#?}"
        );
    }
}

#[tokio::test]
async fn the_pipeline_moves_real_rows() {
    let mesh = Mesh::start().await;
    let body = json!({ "workflow_id": "workflow-data-pipeline", "input_data": {}, "async_execution": false });
    let ended = mesh.call("POST /api/v1/workflows/execute", body).await;
    assert_eq!(ended.is(200).body["status"], "completed", "{:#}", ended.body);
    let read = |sql: &str| {
        let payload = json!({ "sql": sql });
        json!({ "integration_id": "integration-sample-database", "action": "query", "payload": payload })
    };
    let expected = read(
        "SELECT region, COUNT(*) AS order_count, SUM(amount_cents) AS total_amount_cents \
         FROM orders WHERE status = 'paid' GROUP BY region ORDER BY region",
    );
    let written =
        read("SELECT region, order_count, total_amount_cents FROM order_summary ORDER BY region");
    let expected = mesh.documented("POST /api/v1/integrations/execute", &[], expected).await;
    let written = mesh.documented("POST /api/v1/integrations/execute", &[], written).await;
    assert!(expected.is(200).body["result"]["rows"].as_array().unwrap().len() > 1);
    assert_eq!(written.is(200).body["result"]["rows"], expected.body["result"]["rows"]);
}

#[tokio::test]
async fn a_workflow_is_kept_changed_and_removed() {
    let mesh = Mesh::start().await;
    let definition = |value: i64| {
        json!({
            "document": { "dsl": "1.0.0", "namespace": "tests", "name": "answer", "version": "1.0.0" },
            "do": [{ "answer": { "set": { "value": value } } }],
        })
    };
    let body = json!({ "name": "Answer", "definition": definition(41) });
    let created = mesh.documented("POST /api/v1/workflows", &[], body).await;
    let id = created.is(201).id();
    let body = json!({ "definition": definition(42) });
    let updated = mesh.documented("PUT /api/v1/workflows/{id}", &[&id], body).await;
    assert_eq!(updated.is(200).body["version"], 2);
    mesh.documented("GET /api/v1/workflows/{id}", &[&id], Value::Null).await.is(200);
    mesh.documented("GET /api/v1/workflows", &[], Value::Null).await.is(200);

    let start = json!({ "workflow_id": id, "async_execution": false });
    let run = mesh.call("POST /api/v1/workflows/execute", start).await;
    assert_eq!(run.is(200).body["output"]["value"], 42);
    let pinned = json!({ "workflow_id": id, "async_execution": false, "version": 1 });
    assert_eq!(
        mesh.call("POST /api/v1/workflows/execute", pinned).await.body["output"]["value"],
        41
    );
    let listed = mesh.documented("GET /api/v1/executions", &[], Value::Null).await;
    assert_eq!(listed.is(200).body["executions"].as_array().unwrap().len(), 2);
    mesh.documented("GET /api/v1/executions/{id}", &[&run.id()], Value::Null).await.is(200);
    let late =
        mesh.documented("POST /api/v1/executions/{id}/cancel", &[&run.id()], json!({})).await;
    assert_eq!(late.is(400).reason(), "EXECUTION_ENDED");

    mesh.documented("DELETE /api/v1/workflows/{id}", &[&id], Value::Null).await.is(204);
    mesh.documented("GET /api/v1/workflows/{id}", &[&id], Value::Null).await.is(404);
    let figures = mesh.documented("GET /api/v1/metrics", &[], Value::Null).await;
    assert_eq!(figures.is(200).body["service"], "workflows");
}

#[tokio::test]
async fn a_waiting_execution_can_be_cancelled_and_watched() {
    let mesh = Mesh::start().await;
    let definition = json!({
        "document": { "dsl": "1.0.0", "namespace": "tests", "name": "patient", "version": "1.0.0" },
        "do": [{ "rest": { "wait": { "hours": 1 } } }],
    });
    let body = json!({ "name": "Patient", "definition": definition });
    let workflow = mesh.call("POST /api/v1/workflows", body).await.is(201).id();
    let start = json!({ "workflow_id": workflow });
    let id = mesh.call("POST /api/v1/workflows/execute", start).await.is(202).id();
    let watch = mesh
        .request("workflows", &format!("GET /api/v1/executions/{id}:watch"))
        .header("accept", "application/x-ndjson")
        .send()
        .await
        .unwrap();
    let cancelled = mesh.call(&format!("POST /api/v1/executions/{id}/cancel"), json!({})).await;
    cancelled.is(200);
    let text = watch.text().await.unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["execution"]["status"], "cancelled", "{text}");
    assert_eq!(mesh.ended(&id).await["status"], "cancelled");
}

#[tokio::test]
async fn a_workflow_asks_an_agent() {
    let mesh = Mesh::start().await;
    let agent = json!({ "name": "Helper", "agent_type": "conversational" });
    let agent = mesh.call("POST /api/v1/agents", agent).await.is(201).id();
    mesh.call(&format!("POST /api/v1/agents/{agent}/deploy"), json!({})).await.is(202);
    let ask = json!({
        "call": "agent",
        "with": { "agent_id": agent, "input": "${ .question }" },
        "output": { "as": "${ {answer: .output, model: .model} }" },
    });
    let definition = json!({
        "document": { "dsl": "1.0.0", "namespace": "tests", "name": "ask", "version": "1.0.0" },
        "do": [{ "ask": ask }],
    });
    let body = json!({ "name": "Ask", "definition": definition });
    let workflow = mesh.call("POST /api/v1/workflows", body).await.is(201).id();
    let start = json!({
        "workflow_id": workflow, "input_data": { "question": "Hello there" }, "async_execution": false,
    });
    let ended = mesh.call("POST /api/v1/workflows/execute", start).await;
    assert_eq!(ended.is(200).body["status"], "completed", "{:#}", ended.body);
    assert_eq!(ended.body["output"]["model"], "scripted-1");
    assert!(!ended.body["output"]["answer"].as_str().unwrap().is_empty());
}

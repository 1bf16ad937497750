//! The agent designer as its documentation describes it, through the gateway and on its own port.

use serde_json::{Value, json};

use crate::support::Mesh;

#[tokio::test]
async fn an_agent_lives_from_draft_to_answer() {
    let mesh = Mesh::start().await;
    let body = json!({ "name": "Test Agent", "agent_type": "conversational" });
    let created = mesh.documented("POST /api/v1/agents", &[], body).await;
    created.is(201);
    let id = created.id();
    assert_eq!(created.body["status"], "draft");
    assert_eq!(created.headers["etag"].to_str().unwrap(), created.body["etag"].as_str().unwrap());

    mesh.documented("GET /api/v1/agents/{id}", &[&id], Value::Null).await.is(200);
    let listed = mesh.documented("GET /api/v1/agents", &[], Value::Null).await;
    assert_eq!(listed.is(200).body["agents"][0]["id"], id.as_str());

    let change = json!({ "description": "Answers questions", "instructions": "Be brief." });
    let patched = mesh.documented("PATCH /api/v1/agents/{id}", &[&id], change).await;
    assert_eq!(patched.is(200).body["version"], 2);
    let put = json!({ "name": "Renamed", "agent_type": "conversational", "description": "" });
    let replaced = mesh.documented("PUT /api/v1/agents/{id}", &[&id], put).await;
    assert_eq!(replaced.is(200).body["description"], "");
    assert_eq!(replaced.body["instructions"], "Be brief.", "PUT takes the keys of its body");

    let early =
        mesh.documented("POST /api/v1/agents/{id}/invoke", &[&id], json!({ "input": "Hi" })).await;
    assert_eq!(early.is(400).reason(), "AGENT_NOT_DEPLOYED");
    let deployed = mesh.documented("POST /api/v1/agents/{id}/deploy", &[&id], json!({})).await;
    assert_eq!(deployed.is(202).body["environment"], "production");
    assert_eq!(deployed.body["agent_version"], 3);
    let answered = mesh
        .documented("POST /api/v1/agents/{id}/invoke", &[&id], json!({ "input": "Hello there" }))
        .await;
    assert!(!answered.is(200).body["output"].as_str().unwrap().is_empty());
    assert_eq!(answered.body["model"], "scripted-1");

    let refused = mesh.documented("DELETE /api/v1/agents/{id}", &[&id], Value::Null).await;
    assert_eq!(refused.is(400).reason(), "AGENT_DEPLOYED");
    mesh.call(&format!("DELETE /api/v1/agents/{id}?force=true"), Value::Null).await.is(204);
    let gone = mesh.documented("GET /api/v1/agents/{id}", &[&id], Value::Null).await;
    assert_eq!(gone.is(404).reason(), "AGENT_NOT_FOUND");
}

#[tokio::test]
async fn the_gateway_and_the_own_port_are_one_path() {
    let mesh = Mesh::start().await;
    let body = json!({ "name": "Test Agent", "agent_type": "conversational" });
    let created = mesh.call_at("agents", "POST /api/v1/agents", body).await;
    created.is(201);
    let path = format!("GET /api/v1/agents/{}", created.id());
    let (direct, routed) =
        (mesh.call_at("agents", &path, Value::Null).await, mesh.call(&path, Value::Null).await);
    assert_eq!(direct.is(200).body, routed.is(200).body);
}

#[tokio::test]
async fn an_agent_from_a_template_answers_in_pieces() {
    let mesh = Mesh::start().await;
    let templates = mesh.documented("GET /api/v1/templates", &[], Value::Null).await;
    assert_eq!(templates.is(200).body["templates"].as_array().unwrap().len(), 3);
    let template = templates.body["templates"][0]["id"].as_str().unwrap().to_owned();
    mesh.documented("GET /api/v1/templates/{id}", &[&template], Value::Null).await.is(200);

    let body = json!({ "name": "From a template", "template_id": template });
    let id = mesh.call("POST /api/v1/agents", body).await.is(201).id();
    mesh.call(&format!("POST /api/v1/agents/{id}/deploy"), json!({})).await.is(202);
    let request = mesh
        .request("gateway", &format!("POST /api/v1/agents/{id}/invoke:stream"))
        .header("accept", "text/event-stream")
        .json(&json!({ "input": "Hello there" }));
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let pieces: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    let whole = events.iter().find_map(|event| event["done"]["output"].as_str()).unwrap();
    assert_eq!(pieces, whole);
    assert!(events.len() > 2, "it came in pieces: {text}");
}

#[tokio::test]
async fn a_workflow_answers_for_an_agent() {
    let mesh = Mesh::start().await;
    let body = json!({ "name": "Support", "agent_type": "conversational" });
    let id = mesh.call("POST /api/v1/agents", body).await.is(201).id();
    let attached = mesh
        .documented(
            "POST /api/v1/agents/{id}/workflow",
            &[&id],
            json!({ "workflow_id": "workflow-customer-support" }),
        )
        .await;
    attached.is(200);
    let read = mesh.documented("GET /api/v1/agents/{id}/workflow", &[&id], Value::Null).await;
    assert_eq!(read.is(200).body["workflow_id"], "workflow-customer-support");
    mesh.call(&format!("POST /api/v1/agents/{id}/deploy"), json!({})).await.is(202);
    let input = json!({ "input": "I was charged twice on my invoice" });
    let answered = mesh.call(&format!("POST /api/v1/agents/{id}/invoke"), input).await;
    assert!(!answered.is(200).body["execution_id"].as_str().unwrap().is_empty());
    assert!(!answered.body["output"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn the_legacy_surface_finds_the_agent_that_fits() {
    let mesh = Mesh::start().await;
    let none =
        mesh.documented("POST /agents/execute", &[], json!({ "task": "Pay the invoice" })).await;
    assert_eq!(none.is(400).reason(), "NO_AGENT_DEPLOYED");
    let mut ids = Vec::new();
    for (name, description) in
        [("Billing", "Explains invoices and charges"), ("Weather", "Forecasts rain")]
    {
        let body =
            json!({ "name": name, "description": description, "agent_type": "conversational" });
        let id = mesh.call("POST /api/v1/agents", body).await.is(201).id();
        mesh.call(&format!("POST /api/v1/agents/{id}/deploy"), json!({})).await.is(202);
        ids.push(id);
    }
    let task = json!({ "task": "Explain the charges on my invoice" });
    let matched = mesh.documented("POST /api/v2/agents/execute", &[], task).await;
    assert_eq!(matched.is(200).body["agent_id"], ids[0].as_str());
    assert_eq!(matched.body["status"], "completed");
    let task_id = matched.body["task_id"].as_str().unwrap();
    let read = mesh.documented("GET /api/v1/tasks/{task_id}", &[task_id], Value::Null).await;
    assert_eq!(read.is(200).body, matched.body);
    let given = json!({ "task": "Explain the charges", "agent_id": ids[1] });
    let given = mesh.call_at("enhanced", "POST /agents/execute", given).await;
    assert_eq!(given.is(200).body["selection"], "given");
}

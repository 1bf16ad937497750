//! kill -9 at any moment: what was acknowledged is there after the restart.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::support::Mesh;

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let mesh = Arc::new(Mutex::new(Mesh::start().await));
    let acknowledged = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let (client, agents, executions) = {
        let mesh = mesh.lock().await;
        (
            reqwest::Client::new(),
            mesh.url("gateway", "/api/v1/agents"),
            mesh.url("gateway", "/api/v1/workflows/execute"),
        )
    };
    let mut writers = Vec::new();
    for writer in 0..8 {
        let (client, agents, executions) = (client.clone(), agents.clone(), executions.clone());
        let acknowledged = Arc::clone(&acknowledged);
        writers.push(lightning_mesh::task::spawn("test", async move {
            for turn in 0.. {
                let (url, body, kind) = if (writer + turn) % 2 == 0 {
                    (
                        &agents,
                        json!({ "name": format!("{writer}-{turn}"), "agent_type": "custom" }),
                        "agents",
                    )
                } else {
                    let input = json!({ "message": "I was charged twice" });
                    (
                        &executions,
                        json!({ "workflow_id": "workflow-customer-support", "input_data": input }),
                        "executions",
                    )
                };
                let Ok(response) = client.post(url).json(&body).send().await else { return };
                let created = response.status().is_success();
                let Ok(body) = response.json::<Value>().await else { return };
                if created {
                    let id = body["id"].as_str().unwrap().to_owned();
                    acknowledged.lock().unwrap().insert((kind, id));
                }
            }
        }));
    }
    while acknowledged.lock().unwrap().len() < 100 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await; // between two looks at a condition
    }
    let mut mesh = mesh.lock().await;
    mesh.kill().await;
    for writer in writers {
        writer.await.unwrap();
    }
    let kept = acknowledged.lock().unwrap().clone();
    mesh.restart().await;
    for (kind, id) in &kept {
        mesh.call(&format!("GET /api/v1/{kind}/{id}"), Value::Null).await.is(200);
    }
    for (_, id) in kept.iter().filter(|(kind, _)| *kind == "executions") {
        assert_eq!(mesh.ended(id).await["status"], "completed");
    }
}

#[tokio::test]
async fn users_keys_workflows_and_steps_outlive_the_process() {
    let mut mesh = Mesh::start().await;
    mesh.close().await;
    let key = mesh.call("POST /api/v1/api-keys", json!({ "name": "kept" })).await;
    let key = key.is(201).body["key"].as_str().unwrap().to_owned();
    let input = json!({ "message": "Help needed" });
    let start = json!({ "workflow_id": "workflow-customer-support", "input_data": input, "async_execution": false });
    let execution = mesh.call("POST /api/v1/workflows/execute", start).await;
    let id = execution.is(200).id();
    mesh.kill().await;
    mesh.restart().await;
    mesh.call("GET /api/v1/agents", Value::Null).await.is(200); // the token of before
    mesh.token = Some(key);
    let read = mesh.call(&format!("GET /api/v1/executions/{id}"), Value::Null).await;
    assert_eq!(read.is(200).body["steps"], execution.body["steps"]);
    let user = json!({ "username": "root", "password": "seven purple lanterns drift" });
    mesh.login(&user).await;
}

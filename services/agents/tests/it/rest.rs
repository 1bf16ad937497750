//! The documented REST surface.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::support::Mesh;

struct Rest {
    client: Client,
    base: String,
}

impl Rest {
    fn of(mesh: &Mesh) -> Self {
        Self { client: Client::new(), base: mesh.harness.rest("agents") }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, None).await
    }
}

#[tokio::test]
async fn the_documented_calls_work_as_written() {
    let mesh = Mesh::start().await;
    let rest = Rest::of(&mesh);
    let body = json!({"name": "Test Agent", "agent_type": "conversational"});
    let (status, agent) = rest.post("/api/v1/agents", body).await;
    assert_eq!(status, StatusCode::CREATED, "{agent}");
    assert_eq!((&agent["status"], &agent["version"]), (&json!("draft"), &json!(1)));
    let id = agent["id"].as_str().unwrap();
    let path = |tail: &str| format!("/api/v1/agents/{id}{tail}");
    assert_eq!(rest.get(&path("")).await, (StatusCode::OK, agent.clone()));
    let (_, list) = rest.get("/api/v1/agents").await;
    assert_eq!(list["agents"][0]["id"], agent["id"]);

    let (status, put) = rest.call(Method::PUT, &path(""), Some(json!({"description": "d"}))).await;
    assert_eq!((status, &put["version"]), (StatusCode::OK, &json!(2)), "{put}");
    let (_, patched) = rest.call(Method::PATCH, &path(""), Some(json!({"description": ""}))).await;
    assert_eq!((&patched["description"], &patched["name"]), (&json!(""), &json!("Test Agent")));

    let (status, deployment) = rest.post(&path("/deploy"), json!({})).await;
    assert_eq!(
        (status, &deployment["status"]),
        (StatusCode::ACCEPTED, &json!("active")),
        "{deployment}"
    );
    let (status, answer) = rest.post(&path("/invoke"), json!({"input": "hi"})).await;
    assert_eq!((status, &answer["output"]), (StatusCode::OK, &json!("you said: hi")), "{answer}");
    let (status, _) = rest.post(&path("/workflow"), json!({"workflow_id": "answers"})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(rest.get(&path("/workflow")).await.1["workflow_id"], "answers");
    assert_eq!(rest.get("/api/v1/templates").await.1["templates"].as_array().unwrap().len(), 3);
    assert_eq!(rest.get("/api/v1/templates/task-executor").await.0, StatusCode::OK);

    let (_, metrics) = rest.get("/api/v1/metrics").await;
    let figures = json!({"agents": 1, "deployments_active": 1, "invocations_in_flight": 0, "invocations_total": 1});
    assert_eq!(metrics["figures"], figures);
    assert_eq!(
        rest.call(Method::DELETE, &path("?force=true"), None).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(rest.get(&path("")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let mesh = Mesh::start().await;
    let rest = Rest::of(&mesh);
    let check = async |body: Value, part: &str| {
        let (status, answer) = rest.post("/api/v1/agents", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer.to_string().contains(part), "{answer}");
    };
    check(json!({"agent_type": "conversational"}), "agent.name").await;
    check(json!({"name": "x", "agent_type": "chatty"}), "agent.agent_type").await;
    check(json!({"name": "x", "surprise": 1}), "surprise").await;
    check(json!({"name": 7}), "name").await;
}

#[tokio::test]
async fn a_repeated_key_in_the_header_is_one_agent() {
    let mesh = Mesh::start().await;
    let rest = Rest::of(&mesh);
    let create = async |name: &str| {
        let request = rest.client.post(format!("{}/api/v1/agents", rest.base));
        let body = json!({"name": name, "agent_type": "custom"});
        let response = request.header("Idempotency-Key", "k1").json(&body).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let (status, first) = create("Ada").await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(create("Ada").await.1, first);
    let (status, other) = create("Bea").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(other.to_string().contains("IDEMPOTENCY_KEY_REUSED"), "{other}");
}

#[tokio::test]
async fn a_stream_is_sent_as_events() {
    let mesh = Mesh::start().await;
    let rest = Rest::of(&mesh);
    mesh.create("ada", "m1").await;
    mesh.deploy("ada", 0).await;
    let request = rest.client.post(format!("{}/api/v1/agents/ada/invoke:stream", rest.base));
    let request = request.header("Accept", "text/event-stream").json(&json!({"input": "hi"}));
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("\"delta\":\"you \"") && text.contains("\"done\""), "{text}");
}

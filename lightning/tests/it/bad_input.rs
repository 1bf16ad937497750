//! What is wrong with a request, said with the field and what to do.

use serde_json::{Value, json};

use crate::support::{Answer, Mesh, answer};

async fn post(mesh: &Mesh, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = mesh.request("gateway", &format!("POST {path}"));
    answer(request.header("content-type", "application/json").body(body)).await
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_refused_with_the_field() {
    let mesh = Mesh::start().await;
    for (body, status, field) in [
        (r#"{"name": "A", "agent_type": "custom""#, 400, ""),
        (r#"{"name": 7, "agent_type": "custom"}"#, 400, "agent.name"),
        (r#"{"name": "A", "agent_type": "custom", "colour": "red"}"#, 400, "agent.colour"),
        (r#"{"agent_type": "custom"}"#, 400, "agent.name"),
        (r#"{"name": "A", "agent_type": "unheard-of"}"#, 400, "agent.agent_type"),
        (r#"{"name": "A", "agent_type": "custom", "temperature": 9}"#, 400, "agent.temperature"),
        (r#"{"name": "A", "name": "B", "agent_type": "custom"}"#, 400, "agent.name"),
    ] {
        let refused = post(&mesh, "/api/v1/agents", body).await;
        refused.is(status);
        assert_eq!(refused.body["error"]["status"], "INVALID_ARGUMENT");
        if !field.is_empty() {
            assert!(
                refused
                    .fields()
                    .iter()
                    .any(|found| found.ends_with(field.trim_start_matches("agent."))),
                "{body}: {:#}",
                refused.body
            );
        }
    }
    let status = post(&mesh, "/api/v1/agents/x/status", r#"{"status": "sleeping"}"#).await;
    assert!(
        status.is(400).fields().iter().any(|field| field.ends_with("status")),
        "{:#}",
        status.body
    );
}

#[tokio::test]
async fn size_and_depth_are_bounded() {
    let mesh = Mesh::start().await;
    let large = format!(r#"{{"name": "{}", "agent_type": "custom"}}"#, "a".repeat(2 << 20));
    post(&mesh, "/api/v1/agents", large).await.is(413);
    let deep = |levels: usize| {
        let (open, close) = (r#"{"a":"#.repeat(levels), "}".repeat(levels));
        format!(r#"{{"name": "A", "agent_type": "custom", "config": {open}1{close}}}"#)
    };
    post(&mesh, "/api/v1/agents", deep(101)).await.is(400);
    // A protobuf Struct costs three messages a level and protobuf itself stops at a hundred.
    post(&mesh, "/api/v1/agents", deep(40)).await.is(400);
    post(&mesh, "/api/v1/agents", deep(30)).await.is(201);
}

#[tokio::test]
async fn paths_are_read_exactly() {
    let mesh = Mesh::start().await;
    for (path, status) in [
        ("/api/v1/agents/%FF", 400),
        ("/api/v1/agents/%zz", 400),
        ("/api/v1/agents/unknown", 404),
        ("/api/v1/agents/", 404),
        ("/api/v1//agents", 404),
        ("/api/v1/nothing", 404),
    ] {
        // A raw request, since clients tidy such paths up before they send them.
        let status_line = raw(&mesh, path).await;
        assert!(status_line.contains(&format!(" {status} ")), "{path}: {status_line}");
    }
    let wrong = mesh.call("PATCH /api/v1/agents", json!({})).await;
    assert_eq!(wrong.is(405).headers["allow"], "GET, HEAD, OPTIONS, POST");
}

async fn raw(mesh: &Mesh, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(mesh.address("gateway")).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn stale_etags_and_foreign_page_tokens_are_refused() {
    let mesh = Mesh::start().await;
    let agent = json!({ "name": "A", "agent_type": "custom" });
    let created = mesh.call("POST /api/v1/agents", agent.clone()).await;
    let (id, etag) = (created.is(201).id(), created.body["etag"].as_str().unwrap().to_owned());
    let patch = format!("PATCH /api/v1/agents/{id}");
    mesh.call(&patch, json!({ "description": "first" })).await.is(200);
    let stale = mesh.call(&patch, json!({ "description": "second", "etag": etag })).await;
    assert_eq!(stale.is(409).reason(), "ETAG_MISMATCH");
    let request = mesh.request("gateway", &patch).header("if-match", &etag);
    let stale = answer(request.json(&json!({ "description": "second" }))).await;
    assert_eq!(stale.is(412).reason(), "ETAG_MISMATCH");

    for _ in 0..2 {
        mesh.call("POST /api/v1/agents", agent.clone()).await.is(201);
    }
    let first = mesh.call("GET /api/v1/agents?page_size=2", Value::Null).await;
    let token = first.is(200).body["next_page_token"].as_str().unwrap().to_owned();
    let second =
        mesh.call(&format!("GET /api/v1/agents?page_size=2&page_token={token}"), Value::Null).await;
    assert_eq!(second.is(200).body["agents"].as_array().unwrap().len(), 1);
    let other = format!("GET /api/v1/agents?page_token={token}&filter=status%3D%22draft%22");
    assert_eq!(mesh.call(&other, Value::Null).await.is(400).reason(), "PAGE_TOKEN_INVALID");
    let filter = mesh.call("GET /api/v1/agents?filter=colour%3D%22red%22", Value::Null).await;
    assert_eq!(filter.is(400).reason(), "FILTER_INVALID");
    let unknown = mesh.call("GET /api/v1/agents?page_sise=2", Value::Null).await;
    assert!(unknown.is(400).body["error"]["message"].as_str().unwrap().contains("page_size"));
}

#[tokio::test]
async fn an_idempotency_key_returns_the_first_answer_and_no_other() {
    let mesh = Mesh::start().await;
    let send = |body: Value| {
        let request = mesh.request("gateway", "POST /api/v1/agents");
        answer(
            request.header("idempotency-key", "0191f000-0000-7000-8000-000000000001").json(&body),
        )
    };
    let first = send(json!({ "name": "Once", "agent_type": "custom" })).await;
    let second = send(json!({ "name": "Once", "agent_type": "custom" })).await;
    assert_eq!(first.is(201).body, second.is(201).body);
    let other = send(json!({ "name": "Other", "agent_type": "custom" })).await;
    assert_eq!(other.is(409).reason(), "IDEMPOTENCY_KEY_REUSED");
    let listed = mesh.call("GET /api/v1/agents", Value::Null).await;
    assert_eq!(listed.body["agents"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_definition_with_faults_says_where_they_are() {
    let mesh = Mesh::start().await;
    let head = json!({ "dsl": "1.0.0", "namespace": "tests", "name": "bad", "version": "1.0.0" });
    let create = async |tasks: Value| {
        let definition = json!({ "document": head.clone(), "do": tasks });
        mesh.call("POST /api/v1/workflows", json!({ "name": "Bad", "definition": definition }))
            .await
    };
    for (tasks, place) in [
        (json!([{ "fly": { "levitate": {} } }]), "/do/0/fly"),
        (json!([{ "a": { "set": { "x": 1 }, "then": "nowhere" } }]), "/do/0/a/then"),
        (json!([{ "a": { "set": { "x": "${ .x | }" } } }]), "/do/0/a/set/x"),
        (
            json!([{ "a": { "set": { "x": 1 }, "then": "b" } }, { "b": { "set": { "x": 2 }, "then": "a" } }]),
            "/do",
        ),
    ] {
        let refused = create(tasks).await;
        assert_eq!(refused.is(400).reason(), "DEFINITION_INVALID", "{:#}", refused.body);
        assert!(
            refused.fields().iter().any(|field| field.contains(place)),
            "{place}: {:#}",
            refused.body
        );
    }
    let source = "document:\n  dsl: 1.0.0\n  namespace: tests\n  name: bad\n  version: 1.0.0\ndo:\n  - fly:\n      levitate: {}\n";
    let refused =
        mesh.call("POST /api/v1/workflows", json!({ "name": "Bad", "source": source })).await;
    assert!(
        refused.is(400).body.to_string().contains("line 8")
            || refused.body.to_string().contains("line 7"),
        "{:#}",
        refused.body
    );

    let unknown = json!({ "workflow_id": "nothing", "input_data": {} });
    let unknown = mesh.call("POST /api/v1/workflows/execute", unknown).await;
    assert_eq!(unknown.is(404).reason(), "WORKFLOW_NOT_FOUND");
}

#[tokio::test]
async fn jq_that_would_run_without_end_is_stopped() {
    let mesh = Mesh::start().await;
    for endless in ["[range(1e12)] | length", "[recurse(.)] | length", "def f: f; f"] {
        let definition = json!({
            "document": { "dsl": "1.0.0", "namespace": "tests", "name": "endless", "version": "1.0.0" },
            "do": [{ "spin": { "set": { "x": format!("${{ {endless} }}") } } }],
        });
        let created = mesh
            .call("POST /api/v1/workflows", json!({ "name": "Endless", "definition": definition }))
            .await;
        if created.status == 400 {
            assert_eq!(created.reason(), "DEFINITION_INVALID", "{endless}");
            continue;
        }
        let start = json!({ "workflow_id": created.id(), "async_execution": false });
        let ended = mesh.call("POST /api/v1/workflows/execute", start).await;
        assert_eq!(ended.is(200).body["status"], "failed", "{endless}: {:#}", ended.body);
    }
    mesh.call("GET /health", Value::Null).await.is(200);
}

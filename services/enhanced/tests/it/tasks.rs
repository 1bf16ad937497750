//! Tasks: given, matched, failed, seen.

use std::time::Duration;

use lightning_mesh::{identity::Caller, json};
use lightning_proto::enhanced::v1::{self as pb, task::Status};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::{Code, Response};

use super::support::{Mesh, refusal};

#[tokio::test]
async fn a_task_for_a_named_agent_is_done_and_kept() {
    let mesh = Mesh::start().await;
    let request = pb::ExecuteTaskRequest {
        task: "sort".into(),
        agent_id: "sorter".into(),
        context: Some(json::to_struct(json!({"rows": [3, 1]}))),
    };
    let client = || mesh.client(Caller::local());
    let task = client().execute_task(request.clone()).await.map(Response::into_inner).unwrap();
    assert_eq!((task.status(), task.result.as_str()), (Status::Completed, "sorter did: sort"));
    assert_eq!((task.selection.as_str(), task.agent_id.as_str()), ("given", "sorter"));
    assert_eq!(task.context, request.context);
    assert!(task.end_time.is_some());
    assert_eq!(mesh.get(Caller::local(), &task.task_id).await.unwrap(), task);
    let (_, invoked) = mesh.agents.invocations.lock().unwrap()[0].clone();
    assert_eq!((invoked.context, invoked.environment.as_str()), (request.context, "production"));
}

#[tokio::test]
async fn the_best_deployed_agent_is_found_over_all_pages() {
    let mesh = Mesh::start().await;
    mesh.agents.deploy("bills", "Invoice clerk");
    mesh.agents.deploy("rows", "Data processor");
    mesh.agents.deploy("talk", "Assistant");
    let task = mesh.execute("I was charged twice on my invoice", "").await.unwrap();
    assert_eq!((task.agent_id.as_str(), task.selection.as_str()), ("bills", "matched"));
    let task = mesh.execute("process data", "").await.unwrap();
    assert_eq!(task.agent_id, "rows");
}

#[tokio::test]
async fn an_agent_that_takes_no_calls_is_passed_over() {
    let mesh = Mesh::start().await;
    mesh.agents.deploy("talk", "Assistant");
    mesh.agents.deploy("away", "Invoice clerk");
    let task = mesh.execute("an invoice", "").await.unwrap();
    assert_eq!(task.agent_id, "talk");
    assert_eq!(mesh.get(Caller::local(), &task.task_id).await.unwrap().agent_id, "talk");
}

#[tokio::test]
async fn without_an_agent_there_is_nobody_to_ask() {
    let mesh = Mesh::start().await;
    let (code, info) = refusal(mesh.execute("an invoice", "").await);
    assert_eq!((code, info.reason.as_str()), (Code::FailedPrecondition, "NO_AGENT_DEPLOYED"));
    mesh.agents.deploy("away", "Invoice clerk");
    let (code, info) = refusal(mesh.execute("an invoice", "").await);
    assert_eq!((code, info.reason.as_str()), (Code::FailedPrecondition, "NO_AGENT_DEPLOYED"));
}

#[tokio::test]
async fn the_refusal_of_an_agent_fails_the_call_and_is_kept() {
    let mesh = Mesh::start().await;
    let check = async |agent: &str, code: Code, domain: &str, reason: &str| {
        let (found, info) = refusal(mesh.execute("sort", agent).await);
        assert_eq!((found, info.domain.as_str(), info.reason.as_str()), (code, domain, reason));
        let task = mesh.get(Caller::local(), &info.metadata["task_id"]).await.unwrap();
        assert_eq!((task.status(), task.agent_id.as_str()), (Status::Failed, agent));
        assert!(!task.error.is_empty());
    };
    let agents = "lightning.agents";
    check("busy", Code::ResourceExhausted, agents, "CONCURRENCY_LIMIT").await;
    check("away", Code::FailedPrecondition, agents, "AGENT_NOT_DEPLOYED").await;
    check("missing", Code::NotFound, "lightning.enhanced", "AGENT_NOT_FOUND").await;
}

#[tokio::test]
async fn agents_invoke_is_all_a_caller_needs() {
    let mesh = Mesh::start().await;
    mesh.agents.deploy("talk", "Assistant");
    let grace = Caller::new("user:7", "grace", ["agents.invoke"]).member_of("default");
    let request = pb::ExecuteTaskRequest { task: "hello".into(), ..Default::default() };
    mesh.client(grace).execute_task(request).await.unwrap();
    let (seen, _) = mesh.agents.invocations.lock().unwrap()[0].clone();
    assert_eq!(
        (seen.subject.as_str(), seen.permissions),
        ("user:7", vec!["agents.invoke".to_owned()])
    );
}

#[tokio::test]
async fn a_task_of_another_organization_is_not_found() {
    let mesh = Mesh::start().await;
    let admin = |organization| Caller::new("user:7", "grace", ["*"]).member_of(organization);
    let request =
        pb::ExecuteTaskRequest { task: "t".into(), agent_id: "a".into(), ..Default::default() };
    let task = mesh.client(admin("other")).execute_task(request).await.unwrap().into_inner();
    let (seen, _) = mesh.agents.invocations.lock().unwrap()[0].clone();
    assert_eq!(seen.organization_id, "other");
    assert!(mesh.get(admin("other"), &task.task_id).await.is_ok());
    let (code, info) = refusal(mesh.get(admin("default"), &task.task_id).await);
    assert_eq!((code, info.reason.as_str()), (Code::NotFound, "TASK_NOT_FOUND"));
}

#[tokio::test]
async fn a_task_of_another_is_not_found() {
    let mesh = Mesh::start().await;
    let grace =
        Caller::new("user:7", "grace", ["agents.invoke", "agents.read"]).member_of("default");
    let request =
        pb::ExecuteTaskRequest { task: "t".into(), agent_id: "a".into(), ..Default::default() };
    let task = mesh.client(grace.clone()).execute_task(request).await.unwrap().into_inner();
    assert!(mesh.get(grace, &task.task_id).await.is_ok());
    assert!(mesh.get(Caller::local(), &task.task_id).await.is_ok());
    let mallory =
        Caller::new("user:8", "mallory", ["agents.invoke", "agents.read"]).member_of("default");
    let (code, info) = refusal(mesh.get(mallory, &task.task_id).await);
    assert_eq!((code, info.reason.as_str()), (Code::NotFound, "TASK_NOT_FOUND"));
    let (code, _) = refusal(mesh.get(Caller::local(), "a b").await);
    assert_eq!(code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_task_ends_although_its_caller_went_away() {
    let mesh = Mesh::start().await;
    let mut client = mesh.client(Caller::local());
    let request =
        pb::ExecuteTaskRequest { task: "t".into(), agent_id: "slow".into(), ..Default::default() };
    let call =
        lightning_mesh::task::spawn("a caller", async move { client.execute_task(request).await });
    mesh.agents.began.acquire().await.unwrap().forget();
    assert_eq!(figures(&mesh).await["tasks_running"], 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    mesh.agents.gate.add_permits(1);
    let ended = async { while figures(&mesh).await["tasks_completed_total"] != 1 {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
}

async fn figures(mesh: &Mesh) -> Value {
    let url = format!("{}/api/v1/metrics", mesh.harness.rest("enhanced"));
    let metrics: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    metrics["figures"].clone()
}

#[tokio::test]
async fn the_documented_calls_work_as_written() {
    let mesh = Mesh::start().await;
    let base = mesh.harness.rest("enhanced");
    let client = reqwest::Client::new();
    let post = async |path: &str, body: Value| {
        let response = client.post(format!("{base}{path}")).json(&body).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    for path in ["/api/v2/agents/execute", "/agents/execute"] {
        let body = json!({"task": "sort", "agent_id": "a", "context": {"n": 1}});
        let (status, task) = post(path, body).await;
        assert_eq!((status, &task["status"]), (StatusCode::OK, &json!("completed")), "{task}");
        let url = format!("{base}/api/v1/tasks/{}", task["task_id"].as_str().unwrap());
        let kept: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!((&kept, &kept["context"]), (&task, &json!({"n": 1})));
    }
    let (status, error) = post("/agents/execute", json!({"agent_id": "a"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(error.to_string().contains("\"field\":\"task\""), "{error}");
}

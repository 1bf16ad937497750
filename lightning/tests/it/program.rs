//! The program itself: commands, health, figures, documents, drain.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::support::{Mesh, SERVICES, answer};

pub(crate) async fn lightning(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightning"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    process.wait_with_output().await.unwrap()
}

#[tokio::test]
async fn every_port_tells_how_it_is() {
    let mesh = Mesh::start().await;
    for service in SERVICES {
        let health = mesh.call_at(service, "GET /health", Value::Null).await;
        assert_eq!(health.is(200).body["service"], service);
        let metrics = mesh.call_at(service, "GET /metrics", Value::Null).await;
        assert!(metrics.is(200).body.as_str().unwrap().contains("# TYPE"), "{service}");
        let figures = mesh.call_at(service, "GET /api/v1/metrics", Value::Null).await;
        let expected = if service == "gateway" { "workflows" } else { service };
        assert_eq!(figures.is(200).body["service"], expected);
    }
}

#[tokio::test]
async fn the_dashboard_shows_all_services() {
    let mesh = Mesh::start_with("[monitoring]\ninterval = \"100ms\"").await;
    for service in ["gateway", "monitoring"] {
        let page = mesh.call_at(service, "GET /dashboard", Value::Null).await;
        assert!(page.is(200).body.as_str().unwrap().contains("Agent Lightning"));
    }
    let start = tokio::time::Instant::now();
    loop {
        let health = mesh.call("GET /api/v1/monitoring/health", Value::Null).await;
        if health.is(200).body["healthy"] == true {
            assert_eq!(health.body["service_count"], 8);
            break;
        }
        assert!(start.elapsed().as_secs() < 30, "{:#}", health.body);
    }
    let samples = mesh.call("GET /api/v1/monitoring/services/gateway/samples", Value::Null).await;
    assert!(!samples.is(200).body["samples"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn the_openapi_document_names_every_route() {
    let mesh = Mesh::start().await;
    let served = mesh.call("GET /openapi.json", Value::Null).await;
    assert_eq!(served.is(200).body["openapi"], "3.1.0");
    assert!(served.body["paths"]["/api/v1/agents/{id}"]["patch"].is_object());
    let printed = lightning(&["openapi"], "").await;
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), served.body);
    let page = mesh.call("GET /docs", Value::Null).await;
    assert!(page.is(200).body.as_str().unwrap().contains("/openapi.json"));
}

#[tokio::test]
async fn sigterm_drains_and_exits_with_zero() {
    let mut mesh = Mesh::start().await;
    mesh.call("GET /health", Value::Null).await.is(200);
    assert_eq!(mesh.stop().await, Some(0));
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let mesh = Mesh::start().await;
    let data = mesh.data().join("data");
    let output = lightning(
        &["admin", "create-user", "late", "--data", data.to_str().unwrap()],
        "seven purple lanterns",
    )
    .await;
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("in use") || message.contains("another process"), "{message}");
}

#[tokio::test]
async fn an_admin_made_offline_can_log_in() {
    let mut mesh = Mesh::start().await;
    mesh.stop().await;
    let data = mesh.data().join("data");
    let made = lightning(
        &["admin", "create-user", "root", "--data", data.to_str().unwrap()],
        "seven purple lanterns drift\n",
    )
    .await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    mesh.restart().await;
    mesh.call("GET /api/v1/agents", Value::Null).await.is(401);
    let user = serde_json::json!({ "username": "root", "password": "seven purple lanterns drift" });
    mesh.token = Some(mesh.login(&user).await);
    mesh.call("GET /api/v1/agents", Value::Null).await.is(200);
}

#[tokio::test]
async fn a_wrong_configuration_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lightning.toml");
    std::fs::write(&file, "[agents]\nlissten = \"127.0.0.1:1\"\n").unwrap();
    let output = lightning(&["check-config", "--config", file.to_str().unwrap()], "").await;
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("lissten"));
    std::fs::write(&file, "[agents]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    assert!(
        lightning(&["check-config", "--config", file.to_str().unwrap()], "").await.status.success()
    );
}

#[tokio::test]
async fn what_would_keep_it_from_starting_is_named_beforehand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lightning.toml");
    let check = async |text: &str, expected: &str| {
        std::fs::write(&file, text).unwrap();
        let output = lightning(&["check-config", "--config", file.to_str().unwrap()], "").await;
        assert!(!output.status.success(), "{text}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(expected), "{text}: {message}");
    };
    check("[gateway.cors]\norigins = [\"*\"]\ncredentials = true\n", "cors").await;
    check("[gateway.concurrency]\ninitial = 1\nmin = 100\n", "concurrency").await;
    let rule = "[[gateway.limits]]\nname = \"x\"\nmethods = [\"lightning.agents.v1.AgentService/NoSuch\"]\nby = [\"address\"]\nrequests = 1\nper = \"1s\"\n";
    check(rule, "gateway.limits").await;
    check("[mesh.peers]\nagent = \"http://127.0.0.1:1\"\n", "agents").await;
    check("[mesh.peers]\nagents = \"10.0.0.7:8001\"\n", "http://host:port").await;
    check("[mesh.channel.retry]\nattempts = 9\n", "1 to 5").await;
    let upstream = "[[gateway.upstream]]\nname = \"x\"\naddresses = [\"http://127.0.0.1:1\"]\npermission = \"agents.invok\"\n";
    check(upstream, "agents.invok").await;
}

#[tokio::test]
async fn open_mode_off_loopback_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lightning.toml");
    // A documentation address (RFC 5737): the refusal comes before anything is bound.
    std::fs::write(&file, "[gateway]\nlisten = \"192.0.2.1:8000\"\n").unwrap();
    let data = folder.path().join("data");
    let arguments = ["up", "--config", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let output = lightning(&arguments, "").await;
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("admin create-user"), "{message}");
}

#[tokio::test]
async fn services_run_as_processes_of_their_own() {
    let mesh = Mesh::start_split(&["models", "workflows"]).await;
    let input = serde_json::json!({ "message": "I was charged twice on my invoice" });
    let start = serde_json::json!({
        "workflow_id": "workflow-customer-support", "input_data": input, "async_execution": false,
    });
    let ended = mesh.call("POST /api/v1/workflows/execute", start).await;
    assert_eq!(ended.is(200).body["output"]["intent"], "billing", "{:#}", ended.body);
    let health = answer(mesh.request("models", "GET /health")).await;
    health.is(200);
}

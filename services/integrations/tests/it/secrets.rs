//! No secret in clear: not in the files, not in the logs, not in the answers.

use std::{
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
};

use lightning_mesh::{json, testing::Harness};
use lightning_proto::integrations::v1::{
    CreateIntegrationRequest, RegisterWebhookRequest, TestIntegrationRequest,
    UpdateIntegrationRequest,
};
use serde_json::json;
use tonic::Code;

use super::{
    support::{Mesh, config, draft, refused},
    upstream::Upstream,
};

const CANARY: &str = "canary-5f0c1d";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn holds_canary(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn no_secret_is_found_in_files_logs_or_answers() {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || sink.clone())
        .finish();
    // For the whole process: whether a line is wanted is remembered for each place in the code, and
    // other tests, which want none, pass the same places.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let upstream = Upstream::start().await;
    let mesh = Mesh::start(config(&[&upstream.allowed()])).await;
    let mut client = mesh.integrations();
    let settings = json!({"base_url": upstream.url(""), "auth": {"type": "bearer"}});
    let request = CreateIntegrationRequest {
        integration: Some(draft("rest_api", settings, json!({ "token": CANARY }))),
        integration_id: "i".to_owned(),
        request_id: "key".to_owned(),
    };
    let mut answers = String::new();
    for _ in 0..2 {
        answers += &format!("{:?}", client.create_integration(request.clone()).await.unwrap());
    }
    upstream.script("/fail", vec![(500, json!({}))]);
    for path in ["ok", "fail", "redirect/302?http://10.0.0.1/"] {
        let outcome = mesh.execute("i", "request", json!({"path": path, "method": "POST"})).await;
        answers += &format!("{:?}", outcome.err());
    }
    assert!(upstream.seen()[0].headers["authorization"].contains(CANARY));
    let wrong = draft("slack", json!({}), json!({"bot_token": [CANARY], CANARY: 1}));
    let wrong = CreateIntegrationRequest { integration: Some(wrong), ..Default::default() };
    let refusal =
        refused(client.create_integration(wrong).await, Code::InvalidArgument, "CONFIG_INVALID");
    // The name of an unknown field is told; its value and that of a known one are not.
    assert!(!refusal.message().contains(CANARY), "{refusal:?}");
    let registration = RegisterWebhookRequest {
        name: "hook".to_owned(),
        signature_scheme: "github".to_owned(),
        secret: format!("{CANARY}-github"),
        request_id: "key".to_owned(),
        ..Default::default()
    };
    for _ in 0..2 {
        let webhook =
            mesh.webhooks().register_webhook(registration.clone()).await.unwrap().into_inner();
        assert!(webhook.secret.starts_with(CANARY));
        let request = lightning_proto::integrations::v1::GetWebhookRequest { id: webhook.id };
        answers += &format!("{:?}", mesh.webhooks().get_webhook(request).await.unwrap());
    }
    assert!(!answers.contains(CANARY), "{answers}");
    let data_dir = mesh.harness.context("integrations").data_dir().to_owned();
    assert_eq!(holds_canary(&mesh.folder), Vec::<String>::new());
    assert_eq!(holds_canary(&data_dir), Vec::<String>::new());
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("integration created"), "the log was not captured");
    let line = log.lines().find(|line| line.contains(CANARY));
    assert_eq!(line, None);
}

#[tokio::test]
async fn without_its_key_file_the_service_does_not_start_over_sealed_secrets() {
    let mesh = Mesh::start(config(&[])).await;
    mesh.create("slack", json!({}), json!({"bot_token": "x"})).await;
    let folder = mesh.stop().await;
    let copy = tempfile::tempdir().unwrap().keep();
    std::fs::copy(folder.join("integrations.db"), copy.join("integrations.db")).unwrap();
    for extra in ["integrations.db-wal", "integrations.db-shm"] {
        let _ = std::fs::copy(folder.join(extra), copy.join(extra));
    }
    let error = Mesh::open(Harness::builder(&["integrations"]), config(&[]), copy.clone())
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("put it back"), "{error}");
    assert!(!copy.join("integrations.key").exists());
}

#[tokio::test]
async fn credentials_under_a_lost_key_are_told_and_can_be_set_again() {
    let mesh = Mesh::start(config(&[])).await;
    let id = mesh.create("slack", json!({}), json!({"bot_token": "x"})).await;
    let folder = mesh.stop().await;
    let copy = tempfile::tempdir().unwrap().keep();
    for file in ["integrations.db", "integrations.db-wal", "integrations.db-shm"] {
        let _ = std::fs::copy(folder.join(file), copy.join(file));
    }
    let other = Mesh::start(config(&[])).await;
    std::fs::copy(other.folder.join("integrations.key"), copy.join("integrations.key")).unwrap();
    let mesh = Mesh::open(Harness::builder(&["integrations"]), config(&[]), copy).await.unwrap();
    let test = || TestIntegrationRequest { id: id.clone() };
    let lost = mesh.integrations().test_integration(test()).await;
    refused(lost, Code::FailedPrecondition, "CREDENTIALS_UNREADABLE");
    let mut again =
        draft("slack", json!({"base_url": "http://127.0.0.1:1"}), json!({"bot_token": "y"}));
    again.id = id.clone();
    again.config = Some(json::to_struct(json!({"base_url": "http://127.0.0.1:1"})));
    let request = UpdateIntegrationRequest { integration: Some(again), update_mask: None };
    mesh.integrations().update_integration(request).await.unwrap();
    assert!(!mesh.integrations().test_integration(test()).await.unwrap().into_inner().ok);
}

//! The story of `lightning ca`: an authority, certificates, processes that run apart, new certificates.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    program::lightning,
    support::{Answer, Mesh, SERVICES, answer},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `lightning ca … --dir DIR`; tells whether it went well and what it said.
async fn ca(dir: &Path, arguments: &[&str]) -> (bool, String) {
    let arguments = [&["ca"], arguments, &["--dir", dir.to_str().unwrap()]].concat();
    let output = lightning(&arguments, "").await;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("PRIVATE KEY"), "a key was shown");
    (output.status.success(), text)
}

#[track_caller]
fn done((success, text): (bool, String)) -> String {
    assert!(success, "{text}");
    text
}

#[track_caller]
fn refused((success, text): (bool, String), expected: &str) {
    assert!(!success && text.contains(expected), "{text}");
}

/// As curl with `--cacert`, and with `--cert` if a service is named.
fn client(dir: &Path, service: Option<&str>) -> Client {
    let authority = Certificate::from_pem(&fs::read(dir.join("ca.pem")).unwrap()).unwrap();
    let builder = Client::builder().tls_certs_only([authority]).timeout(PATIENCE).no_proxy();
    let builder = match service {
        None => builder,
        Some(service) => {
            let part = |end: &str| fs::read(dir.join(format!("{service}.{end}"))).unwrap();
            builder.identity(Identity::from_pem(&[part("key"), part("pem")].concat()).unwrap())
        }
    };
    builder.build().unwrap()
}

async fn get(client: &Client, mesh: &Mesh, service: &str, path: &str) -> Answer {
    answer(client.get(format!("https://{}{path}", mesh.address(service)))).await
}

#[tokio::test]
async fn certificates_are_made_shown_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tls");
    refused(ca(&dir, &["issue"]).await, "lightning ca init");
    done(ca(&dir, &["init", "--trust-domain", "test.mesh"]).await);
    refused(ca(&dir, &["init"]).await, "ca.pem exists already");
    done(
        ca(&dir, &["issue", "agents", "python-tools", "--days", "5", "--host", "a.example"]).await,
    );
    refused(ca(&dir, &["issue", "models", "agents"]).await, "agents.pem exists already");
    assert!(!dir.join("models.pem").exists(), "nothing is written when something is refused");
    refused(ca(&dir, &["issue", "../x"]).await, "\"../x\"");
    refused(ca(&dir, &["issue", "ca", "--force"]).await, "cannot be named ca");
    refused(ca(&dir, &["issue", "models", "--days", "0"]).await, "--days");
    for key in ["ca.key", "agents.key", "python-tools.key"] {
        let mode = fs::metadata(dir.join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let shown = done(ca(&dir, &["show"]).await);
    for expected in ["spiffe://test.mesh,", "spiffe://test.mesh/agents", "(4 days)", "a.example"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let before = fs::read(dir.join("agents.pem")).unwrap();
    let left = done(ca(&dir, &["renew", "agents", "--within", "2"]).await);
    assert!(left.contains("left alone") && fs::read(dir.join("agents.pem")).unwrap() == before);
    done(ca(&dir, &["renew", "--within", "6", "--days", "9"]).await);
    let shown = done(ca(&dir, &["show"]).await);
    assert_eq!(shown.matches("(8 days)").count(), 2, "{shown}");
    assert_eq!(shown.matches("a.example").count(), 2, "{shown}");
    fs::set_permissions(dir.join("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
    refused(ca(&dir, &["renew"]).await, "chmod 600");
    let files = fs::read_dir(&dir).unwrap().count();
    assert_eq!(files, 6, "nothing is left lying about");
}

#[tokio::test]
async fn processes_that_run_apart_prove_themselves_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tls");
    done(ca(&dir, &["init"]).await);
    let issued = done(ca(&dir, &["issue"]).await);
    assert!(SERVICES.iter().all(|service| issued.contains(&format!("/{service},"))), "{issued}");
    let place = dir.display();
    let config = format!(
        "[mesh.tls]\nmode = \"strict\"\nca = \"{place}/ca.pem\"\nreload_interval = \"50ms\"\n\
         certificate = \"{place}/{{service}}.pem\"\nkey = \"{place}/{{service}}.key\"\n"
    );
    let mesh = Mesh::start_split_with(&config, &["gateway", "models"]).await;
    let people = client(&dir, None);

    // Through the gateway's process into the one of agents, and from workflows into the one of models.
    let body = json!({ "name": "Secured", "agent_type": "conversational" });
    let agents = format!("https://{}/api/v1/agents", mesh.address("gateway"));
    answer(people.post(&agents).json(&body)).await.is(201);
    let start = json!({
        "workflow_id": "workflow-customer-support", "async_execution": false,
        "input_data": { "message": "I was charged twice on my invoice" },
    });
    let execute = format!("https://{}/api/v1/workflows/execute", mesh.address("gateway"));
    let ended = answer(people.post(&execute).json(&start)).await;
    assert_eq!(ended.is(200).body["output"]["intent"], "billing", "{:#}", ended.body);

    // Plain text is answered nowhere, and strangers only by the gateway.
    for service in ["gateway", "agents"] {
        let plain = mesh.call_at(service, "GET /api/v1/agents", Value::Null).await;
        assert_eq!(plain.is(403).reason(), "TLS_REQUIRED");
    }
    let stranger = get(&people, &mesh, "agents", "/api/v1/agents").await;
    assert_eq!(stranger.is(403).reason(), "CERTIFICATE_REQUIRED");
    get(&people, &mesh, "agents", "/health").await.is(200);
    get(&client(&dir, Some("workflows")), &mesh, "agents", "/api/v1/agents").await.is(200);

    // New certificates while people call: taken up by every process, and nobody notices.
    done(ca(&dir, &["renew"]).await);
    let start = Instant::now();
    for service in ["gateway", "agents", "models"] {
        loop {
            get(&people, &mesh, "gateway", "/api/v1/agents").await.is(200);
            let metrics = get(&people, &mesh, service, "/metrics").await;
            if metrics.is(200).body.as_str().unwrap().contains("tls_reloads_total{outcome=\"ok\"}")
            {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{service} does not take its certificate up");
        }
    }
    let fresh = client(&dir, None);
    get(&fresh, &mesh, "gateway", "/api/v1/agents").await.is(200);
}

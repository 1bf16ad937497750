//! Secrets must be nowhere but with their owners: not in a log, not in a file.

use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{PASSWORD, World};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Every text in an answer that is a secret.
fn secrets_of(body: &Value) -> Vec<String> {
    let names = ["access_token", "refresh_token", "code", "key"];
    names
        .iter()
        .filter_map(|name| body[name].as_str())
        .filter(|text| text.len() > 20)
        .map(str::to_owned)
        .collect()
}

/// Fails if a file below a folder holds one of the secrets; answers how many files there are.
fn files_without(folder: &Path, secrets: &[String]) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += files_without(&path, secrets);
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).unwrap();
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret of {} characters is in {}", secret.len(), path.display());
        }
    }
    files
}

#[tokio::test]
async fn no_secret_is_in_a_log_or_a_file() {
    let log = Log::default();
    // Everything of ours; what is below (the HTTP library) may log the bytes it moves.
    let filter =
        tracing_subscriber::EnvFilter::new("trace,hyper=info,hyper_util=info,h2=info,reqwest=info");
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(log.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let world = World::new().await;
    let (ada, tokens) = world.admin().await;
    let mut secrets = vec![PASSWORD.to_owned()];
    secrets.extend(secrets_of(&tokens));
    world.try_login("ada", "wrong mule battery").await;
    secrets.push("wrong mule battery".to_owned());
    let request = json!({"name": "ci", "request_id": "r1"});
    let key = ada.post("/api/v1/api-keys", request.clone()).await.body;
    ada.post("/api/v1/api-keys", request).await;
    secrets.extend(secrets_of(&key));
    world.key(key["key"].as_str().unwrap()).get("/api/v1/users").await;
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let path = "/api/v1/auth/authorize?response_type=code&client_id=lightning&redirect_uri=http://127.0.0.1/cb\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
    let grant = ada.get(path).await.body;
    secrets.extend(secrets_of(&grant));
    secrets.push(verifier.to_owned());
    let body = json!({"grant_type": "authorization_code", "code": grant["code"], "client_id": "lightning",
        "redirect_uri": "http://127.0.0.1/cb", "code_verifier": verifier});
    for _ in 0..2 {
        secrets.extend(secrets_of(
            &world.nobody().post("/api/v1/auth/token", body.clone()).await.body,
        ));
    }
    secrets.extend(secrets_of(&world.refresh(&tokens["refresh_token"]).await.body));
    world.refresh(&tokens["refresh_token"]).await;
    assert!(secrets.len() >= 10, "{}", secrets.len());

    // While it runs: the newest rows are in the write-ahead log.
    assert!(files_without(world.folder.path(), &secrets) > 0);
    assert!(files_without(world.harness.context("auth").data_dir(), &secrets) >= 1);
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("user logged in"), "the log is captured");
    for secret in &secrets {
        assert!(
            !logged.contains(secret.as_str()),
            "a secret of {} characters is in the log",
            secret.len()
        );
    }
}

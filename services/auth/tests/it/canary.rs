//! Secrets must be nowhere but with their owners: not in a log, not in a file.

use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    browser::{Browser, config},
    factors::App,
    world::{PASSWORD, Person, World},
};

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

/// What a browser, a device and an application hold.
async fn secrets_of_programs(browser: &Browser<'_>, ada: &Person<'_>) -> Vec<String> {
    let mut secrets = vec![browser.cookie()];
    let values = [("client_id", "spa"), ("scope", "openid agents.read")];
    let page = browser.post_with("/oauth/device_authorization", &values, &[]).await;
    let device: Value = serde_json::from_str(&page.text).unwrap();
    for name in ["device_code", "user_code"] {
        secrets.push(device[name].as_str().unwrap().to_owned());
    }
    let page = browser.visit("/account/device").await;
    browser.fill(&page, &[("user_code", device["user_code"].as_str().unwrap())]).await;
    let device_code = device["device_code"].as_str().unwrap();
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let values = [("grant_type", grant), ("client_id", "spa"), ("device_code", device_code)];
    browser.post_with("/oauth/token", &values, &[]).await;
    let body = json!({"name": "App", "redirect_uris": ["https://app.example/cb"]});
    let made = ada.post("/api/v1/clients", body).await.body;
    let (id, secret) =
        (made["id"].as_str().unwrap(), made["client_secret"].as_str().unwrap().to_owned());
    for secret in [secret.as_str(), "a-wrong-secret-that-is-nowhere-kept"] {
        let values = [("client_id", id), ("client_secret", secret), ("token", "nonsense")];
        browser.post_with("/oauth/introspect", &values, &[]).await;
        secrets.push(secret.to_owned());
    }
    secrets
}

/// What an authenticator app and a lost password bring along.
async fn secrets_of_an_account(world: &World, ada: &Person<'_>) -> Vec<String> {
    let begun = ada.post("/api/v1/account/factors/totp", json!({"name": "phone"})).await.body;
    let id = begun["factor"]["id"].as_str().unwrap();
    let code = App::with(&begun["secret"]).code(world.time());
    let path = format!("/api/v1/account/factors/{id}:confirm");
    let done = ada.post(&path, json!({"code": code})).await.body;
    let mut secrets = vec![begun["secret"].as_str().unwrap().to_owned()];
    let codes = done["codes"].as_array().unwrap().iter();
    secrets.extend(codes.map(|code| code.as_str().unwrap().to_owned()));
    let body = json!({"username": "ada", "password": PASSWORD, "otp": secrets[1]});
    assert_eq!(world.nobody().post("/api/v1/auth/login", body).await.status, 200);
    let user = ada.get("/api/v1/account").await.body["id"].as_str().unwrap().to_owned();
    let link = ada.post(&format!("/api/v1/users/{user}:resetPassword"), json!({})).await.body;
    let password = "seven purple lanterns drift";
    let body = json!({"token": link["token"], "new_password": password});
    assert_eq!(world.nobody().post("/api/v1/auth/password/complete", body).await.status, 204);
    secrets.extend([link["token"].as_str().unwrap().to_owned(), password.to_owned()]);
    secrets
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

    let world = World::with(config()).await;
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
    let (ada, _) = world.login("ada").await;
    let browser = world.browser().signed_in("ada").await;
    secrets.extend(secrets_of_programs(&browser, &ada).await);
    secrets.extend(secrets_of_an_account(&world, &ada).await);
    assert!(secrets.iter().all(|secret| secret.len() >= 8));
    assert!(secrets.len() >= 25, "{}", secrets.len());

    // While it runs: the newest rows are in the write-ahead log.
    assert!(files_without(world.folder.path(), &secrets) >= 2, "the database and the seal");
    files_without(world.harness.context("auth").data_dir(), &secrets);
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

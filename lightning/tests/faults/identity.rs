//! What becomes of logins when the auth service is killed under load: tokens that were given go on
//! working everywhere, logins resume, and no code or refresh token is good twice.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};

use crate::{cluster::Cluster, support::PATIENCE};

// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1:9/callback";
const PASSWORD: &str = "seven green lamps on the pier";

/// A credential that was exchanged, and what was got for it.
struct Spent {
    request: Value,
    successor: String,
}

/// What a worker has spent so far, and which of its answers were neither right nor plainly a failure of
/// the network or of a server that was gone.
#[derive(Default)]
struct Found {
    spent: Mutex<Vec<Spent>>,
    oddities: Mutex<Vec<String>>,
    rounds: AtomicU64,
}

async fn post(client: &Client, url: &str, body: &Value) -> Option<(u16, Value)> {
    let response = client.post(url).json(body).send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.ok()?))
}

/// Logs in, asks for a code, exchanges it, refreshes three times, and begins again.
async fn log_in_again_and_again(
    client: Client,
    auth: String,
    found: Arc<Found>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        if round(&client, &auth, &found).await.is_none() {
            // Killed in between, or not back yet.
            tokio::task::yield_now().await;
        }
    }
}

async fn round(client: &Client, auth: &str, found: &Found) -> Option<()> {
    let login = json!({"username": "ada", "password": PASSWORD});
    let (status, login) = post(client, &format!("{auth}/api/v1/auth/login"), &login).await?;
    if status != 200 {
        return note(found, "login", status, &login);
    }
    let authorize = format!(
        "{auth}/api/v1/auth/authorize?response_type=code&client_id=lightning&redirect_uri={REDIRECT}\
         &code_challenge={CHALLENGE}&code_challenge_method=S256&scope=account.read"
    );
    let request = client.get(authorize).bearer_auth(login["access_token"].as_str()?);
    let code: Value = request.send().await.ok()?.json().await.ok()?;
    let mut request = json!({"grant_type": "authorization_code", "code": code.get("code")?,
        "client_id": "lightning", "redirect_uri": REDIRECT, "code_verifier": VERIFIER});
    for _ in 0..4 {
        let (status, tokens) = post(client, &format!("{auth}/api/v1/auth/token"), &request).await?;
        if status != 200 {
            return note(found, "token", status, &tokens);
        }
        let successor = tokens["refresh_token"].as_str()?.to_owned();
        let next = json!({"grant_type": "refresh_token", "client_id": "lightning",
            "refresh_token": successor});
        found.spent.lock().unwrap().push(Spent { request, successor });
        request = next;
    }
    found.rounds.fetch_add(1, Ordering::Relaxed);
    Some(())
}

/// Being slowed down or told to come back is no oddity.
fn note(found: &Found, what: &str, status: u16, body: &Value) -> Option<()> {
    if !matches!(status, 429 | 503) {
        found.oddities.lock().unwrap().push(format!("{what}: {status} {body}"));
    }
    None
}

/// Reads with one token, at the gateway and at the service itself, until told to stop.
async fn read_again_and_again(
    client: Client,
    urls: Vec<String>,
    token: String,
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for url in &urls {
            match client.get(url).bearer_auth(&token).send().await {
                Ok(response) if response.status().is_success() => {
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                Ok(response) => failures.push(format!("{url}: {}", response.status())),
                Err(error) => failures.push(format!("{url}: {error:?}")),
            }
        }
    }
    failures
}

async fn more(counter: &AtomicU64, count: u64) {
    let wanted = counter.load(Ordering::Relaxed) + count;
    let start = Instant::now();
    while counter.load(Ordering::Relaxed) < wanted {
        assert!(start.elapsed() < PATIENCE, "nothing succeeds any more");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await; // between two looks at a condition
    }
}

#[tokio::test]
async fn killing_auth_ends_no_login_and_revives_no_token() {
    // Alone: logins without a pause take all of the processor, which other stories measure with.
    let _alone = crate::MACHINE.write().await;
    let mut cluster = Cluster::start(&[("auth", 1), ("agents", 1), ("gateway", 1)], "").await;
    let [auth, agents, gateway] = ["auth", "agents", "gateway"].map(|word| cluster.of(word)[0]);
    let (client, url) = (cluster.client.clone(), cluster.url(auth, ""));
    let user = json!({"username": "ada", "password": PASSWORD});
    let (status, made) =
        post(&client, &format!("{url}/api/v1/auth/register"), &user).await.unwrap();
    assert_eq!(status, 201, "{made}");
    let (_, login) = post(&client, &format!("{url}/api/v1/auth/login"), &user).await.unwrap();
    let admin = login["access_token"].as_str().unwrap();
    // Somebody else reads: the many logins of ada end her oldest sessions.
    let user = json!({"username": "bea", "password": PASSWORD});
    let request = client.post(format!("{url}/api/v1/auth/register")).bearer_auth(admin);
    assert_eq!(request.json(&user).send().await.unwrap().status(), 201);
    let (_, login) = post(&client, &format!("{url}/api/v1/auth/login"), &user).await.unwrap();
    let token = login["access_token"].as_str().unwrap().to_owned();

    let (stop, found, reads) =
        (Arc::new(AtomicBool::new(false)), Arc::new(Found::default()), Arc::new(AtomicU64::new(0)));
    let path = "/api/v1/templates";
    let urls = vec![cluster.url(gateway, path), cluster.url(agents, path)];
    let readers: Vec<JoinHandle<_>> = (0..4)
        .map(|_| {
            let reading = read_again_and_again(
                client.clone(),
                urls.clone(),
                token.clone(),
                stop.clone(),
                reads.clone(),
            );
            lightning_mesh::task::spawn("test", reading)
        })
        .collect();
    let workers: Vec<JoinHandle<_>> = (0..4)
        .map(|_| {
            let working =
                log_in_again_and_again(client.clone(), url.clone(), found.clone(), stop.clone());
            lightning_mesh::task::spawn("test", working)
        })
        .collect();
    for _ in 0..3 {
        more(&found.rounds, 10).await;
        cluster.kill(auth).await;
        more(&reads, 100).await;
        cluster.launch(auth).await;
        more(&found.rounds, 10).await;
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), Vec::<String>::new());
    }
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(*found.oddities.lock().unwrap(), Vec::<String>::new());

    // What was spent, before a kill or after, is refused or answered as it was the first time: a second
    // successor of one credential must not exist.
    let spent = std::mem::take(&mut *found.spent.lock().unwrap());
    assert!(spent.len() > 200, "{}", spent.len());
    for Spent { request, successor } in spent {
        let (status, body) =
            post(&client, &format!("{url}/api/v1/auth/token"), &request).await.unwrap();
        if request["grant_type"] == "authorization_code" {
            assert_eq!(status, 400, "a code was good twice: {body}");
        } else {
            let same = body["refresh_token"] == successor.as_str();
            assert!(status == 400 || (status == 200 && same), "{status} {body}");
        }
    }
}

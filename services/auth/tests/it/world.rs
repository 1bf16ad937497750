//! A mesh with nothing but auth in it, and people who call it.

use std::{future::Future, io::Write as _, os::unix::fs::OpenOptionsExt as _, time::Duration};

use lightning_auth::Config;
use lightning_mesh::{
    clock::{Clock, ManualClock, Timestamp},
    serve::Drained,
    testing::Harness,
};
use lightning_store::Settings;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A password that the rules accept.
pub(crate) const PASSWORD: &str = "correct mule battery";

pub(crate) struct World {
    pub(crate) harness: Harness,
    pub(crate) folder: TempDir,
    pub(crate) hand: ManualClock,
    clock: Clock,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

/// Somebody with a credential, or nobody.
#[derive(Clone)]
pub(crate) struct Person<'a> {
    world: &'a World,
    header: Option<(&'static str, String)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), config).await
    }

    pub(crate) async fn in_folder(folder: TempDir, config: Config) -> Self {
        let settings = settings(&folder);
        Self::open(folder, &settings, config).await
    }

    pub(crate) async fn open(folder: TempDir, settings: &Settings, mut config: Config) -> Self {
        // Beside the database, so that a world that is opened again reads its keys.
        let seal = folder.path().join("seal.key");
        if !seal.is_file() {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create(true).mode(0o600).open(&seal).unwrap();
            file.write_all(&lightning_mesh::id::generate().as_bytes()[..32]).unwrap();
        }
        config.sealing_key_file.get_or_insert(seal);
        // Real time at first, so that nothing is odd about it; from there the test moves it.
        let (clock, hand) = Clock::manual(Clock::system().now());
        let mut harness = Harness::builder(&["auth"]).clock(clock.clone()).access(None).start();
        let context = harness.context("auth");
        let service = lightning_auth::open(config, settings, context.clone()).await.unwrap();
        harness.serve(service, &context).await.unwrap();
        let world = Self { harness, folder, hand, clock, http: reqwest::Client::new() };
        // The first state has to arrive before open mode is known.
        eventually(|| async {
            world.nobody().get("/.well-known/jwks.json").await.status == StatusCode::OK
                && world.nobody().get("/api/v1/auth/userinfo").await.status != 503
        })
        .await;
        world
    }

    /// Stops everything; what is kept is in the folder.
    pub(crate) async fn stop(self) -> TempDir {
        let drained = self.harness.stop().await;
        assert!(!drained.iter().any(|one| matches!(one, Drained::Cut(_))), "{drained:?}");
        self.folder
    }

    pub(crate) fn advance(&self, by: Duration) -> Timestamp {
        self.hand.advance(by);
        Clock::system().now()
    }

    /// What the services take for the time.
    pub(crate) fn time(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn nobody(&self) -> Person<'_> {
        Person { world: self, header: None }
    }

    pub(crate) fn bearer(&self, token: &str) -> Person<'_> {
        Person { world: self, header: Some(("authorization", format!("Bearer {token}"))) }
    }

    pub(crate) fn key(&self, key: &str) -> Person<'_> {
        Person { world: self, header: Some(("x-api-key", key.to_owned())) }
    }

    /// Makes the first user, `ada`, and logs her in; waits until open mode has ended.
    pub(crate) async fn admin(&self) -> (Person<'_>, Value) {
        let body = json!({"username": "Ada", "password": PASSWORD, "email": "Ada@example.com"});
        let answer = self.nobody().post("/api/v1/auth/register", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        eventually(|| async { self.nobody().get("/api/v1/users").await.status == 401 }).await;
        self.login("ada").await
    }

    /// Makes a further user, who has the name as password with something behind it.
    pub(crate) async fn user(&self, admin: &Person<'_>, name: &str, role: &str) -> Value {
        let body = json!({"username": name, "password": PASSWORD, "roles": [role]});
        let answer = admin.post("/api/v1/auth/register", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body
    }

    pub(crate) async fn try_login(&self, name: &str, password: &str) -> Answer {
        let body = json!({"username": name, "password": password});
        self.nobody().post("/api/v1/auth/login", body).await
    }

    pub(crate) async fn login(&self, name: &str) -> (Person<'_>, Value) {
        let answer = self.try_login(name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (self.bearer(answer.body["access_token"].as_str().unwrap()), answer.body)
    }

    pub(crate) async fn refresh(&self, token: &Value) -> Answer {
        let body = json!({"grant_type": "refresh_token", "refresh_token": token});
        self.nobody().post("/api/v1/auth/token", body).await
    }
}

impl Person<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// The body of an answer that is no JSON.
    pub(crate) async fn text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.world.harness.rest("auth"));
        let mut request = self.world.http.get(url);
        if let Some((name, value)) = &self.header {
            request = request.header(*name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}{path}", self.world.harness.rest("auth"));
        let mut request = self.world.http.request(method, url);
        if let Some((name, value)) = &self.header {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body }
    }
}

impl Answer {
    /// Fails unless it is an error with this status and reason.
    pub(crate) fn refused(&self, status: u16, reason: &str) {
        let found = &self.body["error"]["details"][0]["reason"];
        assert_eq!((self.status.as_u16(), found.as_str()), (status, Some(reason)), "{self:?}");
    }
}

pub(crate) fn settings(folder: &TempDir) -> Settings {
    Settings { data_dir: folder.path().to_owned(), ..Settings::default() }
}

/// Asks again and again until it holds; gives up after ten seconds.
pub(crate) async fn eventually<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it does not come about");
}

//! A mesh in a process of its own, on free ports and a fresh data folder, and a client to call it.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{Instant, timeout},
};

/// Longer than anything takes on a loaded machine; only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const SERVICES: [&str; 8] =
    ["gateway", "agents", "enhanced", "workflows", "integrations", "models", "auth", "monitoring"];

/// A running mesh. Dropping it kills the process.
pub(crate) struct Mesh {
    data: TempDir,
    config: String,
    process: Option<Child>,
    others: Vec<Child>,
    ports: BTreeMap<String, SocketAddr>,
    client: Client,
    pub(crate) token: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with further lines of configuration.
    pub(crate) async fn start_with(config: &str) -> Self {
        let mut mesh = Self::new(config);
        mesh.spawn().await;
        mesh
    }

    fn new(config: &str) -> Self {
        Self {
            data: TempDir::new().unwrap(),
            config: config.to_owned(),
            process: None,
            others: Vec::new(),
            ports: BTreeMap::new(),
            client: Client::builder().timeout(PATIENCE).no_proxy().build().unwrap(),
            token: None,
        }
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Starts every service named in `apart` as a process of its own, and all others in one.
    pub(crate) async fn start_split(apart: &[&str]) -> Self {
        Self::start_split_with("", apart).await
    }

    /// The same with further lines of configuration.
    pub(crate) async fn start_split_with(config: &str, apart: &[&str]) -> Self {
        let mut mesh = Self::new(config);
        // The ports must be known before the first process starts: every process is told of all.
        let taken: Vec<_> =
            SERVICES.map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).into();
        for (service, listener) in SERVICES.iter().zip(&taken) {
            mesh.ports.insert((*service).to_owned(), listener.local_addr().unwrap());
        }
        drop(taken);
        let rest: Vec<&str> =
            SERVICES.into_iter().filter(|service| !apart.contains(service)).collect();
        let process = mesh.launch(&[&["serve"], &rest[..]].concat()).await;
        mesh.process = Some(process);
        for service in apart {
            let process = mesh.launch(&["serve", service]).await;
            mesh.others.push(process);
        }
        mesh
    }

    async fn spawn(&mut self) {
        let free = "127.0.0.1:0".parse().unwrap();
        self.ports = SERVICES.iter().map(|service| ((*service).to_owned(), free)).collect();
        let process = self.launch(&["up"]).await;
        self.process = Some(process);
    }

    /// Starts the program and waits until it is ready.
    async fn launch(&mut self, arguments: &[&str]) -> Child {
        let file = self.data.path().join("lightning.toml");
        std::fs::write(&file, &self.config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lightning"));
        command
            .args(arguments)
            .arg("--config")
            .arg(&file)
            .arg("--data")
            .arg(self.data.path().join("data"));
        for (service, address) in &self.ports {
            command
                .env(format!("LIGHTNING_{}__LISTEN", service.to_uppercase()), address.to_string());
        }
        command.env("LIGHTNING_TELEMETRY__FORMAT", "json").env("LIGHTNING_TELEMETRY__LOG", "info");
        command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                match event["message"].as_str() {
                    Some("listening") => {
                        let service = event["service"].as_str().unwrap().to_owned();
                        let address = event["address"].as_str().unwrap().parse().unwrap();
                        self.ports.insert(service, address);
                    }
                    Some("ready") => return,
                    _ => {}
                }
            }
            panic!("the program ended before it was ready");
        })
        .await
        .expect("the program is ready in time");
        // Keep reading, so that the pipe never fills.
        lightning_mesh::task::spawn("test", async move {
            while let Ok(Some(_)) = lines.next_line().await {}
        });
        process
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
    }

    /// Starts again on the same data, on new ports.
    pub(crate) async fn restart(&mut self) {
        assert!(self.process.is_none(), "kill or stop first");
        self.spawn().await;
    }

    /// SIGTERM, then the exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let id = process.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(sent.success());
        timeout(PATIENCE, process.wait()).await.expect("it drains in time").unwrap().code()
    }

    pub(crate) fn address(&self, service: &str) -> SocketAddr {
        self.ports[service]
    }

    pub(crate) fn url(&self, service: &str, path: &str) -> String {
        format!("http://{}{path}", self.address(service))
    }

    /// A request such as `"POST /api/v1/agents"` to a service's port, with this mesh's token.
    pub(crate) fn request(&self, service: &str, call: &str) -> RequestBuilder {
        let (method, path) = call.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let request = self.client.request(method, self.url(service, path));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Calls the gateway with a JSON body (`Value::Null` for none).
    pub(crate) async fn call(&self, call: &str, body: Value) -> Answer {
        self.call_at("gateway", call, body).await
    }

    pub(crate) async fn call_at(&self, service: &str, call: &str, body: Value) -> Answer {
        let request = self.request(service, call);
        let request = if body.is_null() { request } else { request.json(&body) };
        answer(request).await
    }

    /// Calls a documented endpoint: `endpoint` as the documentation writes it, `ids` for its `{…}`.
    pub(crate) async fn documented(&self, endpoint: &str, ids: &[&str], body: Value) -> Answer {
        let mut call = endpoint.to_owned();
        for id in ids {
            let (open, close) = (call.find('{').unwrap(), call.find('}').unwrap());
            call.replace_range(open..=close, id);
        }
        self.call(&call, body).await
    }

    /// Asks for an execution until it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.call(&format!("GET /api/v1/executions/{id}"), Value::Null).await;
            answer.is(200);
            let status = answer.body["status"].as_str().unwrap().to_owned();
            if ["completed", "failed", "cancelled"].contains(&&*status) {
                return answer.body;
            }
            assert!(start.elapsed() < PATIENCE, "still {status}: {}", answer.body);
            tokio::time::sleep(Duration::from_millis(10)).await; // between two looks at a condition
        }
    }

    /// Registers the first user and takes its token from here on.
    pub(crate) async fn close(&mut self) {
        let user =
            serde_json::json!({ "username": "root", "password": "seven purple lanterns drift" });
        self.call("POST /api/v1/auth/register", user.clone()).await.is(201);
        self.token = Some(self.login(&user).await);
    }

    pub(crate) async fn login(&self, user: &Value) -> String {
        let login =
            serde_json::json!({ "username": user["username"], "password": user["password"] });
        let answer = self.call("POST /api/v1/auth/login", login).await;
        answer.is(200);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }
}

/// Sends a request and reads the answer; a body that is not JSON is a string.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self
    }

    /// The `ErrorInfo.reason` of an error.
    pub(crate) fn reason(&self) -> &str {
        let details = self.body["error"]["details"].as_array();
        let info = details.into_iter().flatten().find_map(|detail| detail["reason"].as_str());
        info.unwrap_or_default()
    }

    /// The paths of the field violations of an error.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let details = self.body["error"]["details"].as_array();
        details
            .into_iter()
            .flatten()
            .filter_map(|detail| detail["field_violations"].as_array())
            .flatten()
            .filter_map(|violation| violation["field"].as_str())
            .collect()
    }

    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id: {:#}", self.body)).to_owned()
    }
}

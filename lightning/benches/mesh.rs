//! Figures of the whole program, measured from outside: start, memory, size, and what a call costs.
//!
//! `cargo bench -p lightning` (or `make bench`). Calls are made over 64 connections by this process on
//! the same machine, so requests per second include what the client costs; the CPU time of a request is
//! the server's alone, read from `/proc`. Every row is measured in the same run: compare rows, not runs.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use lightning_proto::agents::v1::{
    Agent, CreateAgentRequest, GetAgentRequest, agent_service_client::AgentServiceClient,
};
use tokio::net::TcpStream;

#[path = "shared/load.rs"]
mod load;

use load::Tally;

const PORTS: [u16; 8] = [8000, 8001, 8002, 8003, 8004, 8005, 8006, 8051];
/// The documented ports moved up, so that a mesh of the user's is left alone.
const SHIFT: u16 = 20_000;
const NAMES: [&str; 8] =
    ["GATEWAY", "AGENTS", "ENHANCED", "WORKFLOWS", "INTEGRATIONS", "MODELS", "AUTH", "MONITORING"];
const BODY: &str = r#"{"name": "Test Agent", "agent_type": "conversational"}"#;

struct Mesh {
    process: Child,
    _data: tempfile::TempDir,
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{}", port + SHIFT)
}

fn spawn() -> Mesh {
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightning"));
    command.arg("up").arg("--data").arg(data.path()).current_dir(data.path());
    for (name, port) in NAMES.iter().zip(PORTS) {
        command.env(format!("LIGHTNING_{name}__LISTEN"), address(port));
    }
    command.env("LIGHTNING_TELEMETRY__LOG", "warn").stdout(Stdio::null()).stderr(Stdio::inherit());
    Mesh { process: command.spawn().expect("the program starts"), _data: data }
}

async fn connect(port: u16) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address(port)).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    lightning_mesh::task::spawn("bench", connection);
    Some(sender)
}

async fn healthy(port: u16) -> bool {
    let Some(mut sender) = connect(port).await else { return false };
    let request = Request::get("/health").header("host", "localhost").body(Full::default());
    match sender.send_request(request.expect("a valid request")).await {
        Ok(response) => response.status().is_success(),
        Err(_) => false,
    }
}

/// Starts the program and waits until every port answers `/health`.
async fn cold_start() -> (Mesh, Duration) {
    let start = Instant::now();
    let mesh = spawn();
    for port in PORTS {
        while !healthy(port).await {
            assert!(start.elapsed() < Duration::from_secs(60), "port {port} does not answer");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    (mesh, start.elapsed())
}

#[derive(Clone, Copy)]
enum Call {
    Create,
    Get,
}

/// Runs one caller per connection and prints what a call cost.
async fn measure<F, W>(mesh: &Mesh, name: &str, caller: F)
where
    F: Fn(Tally, Instant) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    let row = load::measure(mesh.process.id(), None, caller).await;
    load::print(name, &row);
}

async fn rest(mesh: &Mesh, name: &str, port: u16, call: Call, id: &str) {
    let path: Arc<str> = format!("/api/v1/agents/{id}").into();
    measure(mesh, name, move |tally, mut due| {
        let path = Arc::clone(&path);
        async move {
            let mut sender = connect(port).await.expect("the port accepts");
            while tally.runs() {
                let request = match call {
                    Call::Create => Request::post("/api/v1/agents")
                        .header("content-type", "application/json")
                        .header("host", "localhost")
                        .body(Full::from(BODY)),
                    Call::Get => {
                        Request::get(&*path).header("host", "localhost").body(Full::default())
                    }
                };
                let call = async {
                    let response = sender.send_request(request.expect("a valid request")).await;
                    let response = response.expect("the server answers");
                    assert!(response.status().is_success(), "{}", response.status());
                    response.into_body().collect().await.expect("the body ends");
                };
                tally.time(&mut due, call).await;
            }
        }
    })
    .await;
}

async fn grpc(mesh: &Mesh, name: &str, port: u16, call: Call, id: &str) {
    let id: Arc<str> = id.into();
    measure(mesh, name, move |tally, mut due| {
        let id = Arc::clone(&id);
        async move {
            let endpoint =
                tonic::transport::Channel::from_shared(format!("http://{}", address(port)));
            let channel =
                endpoint.expect("a valid address").connect().await.expect("the port accepts");
            let mut client = AgentServiceClient::new(channel);
            while tally.runs() {
                let made = async {
                    match call {
                        Call::Create => {
                            let agent = Agent {
                                name: "Test Agent".to_owned(),
                                agent_type: "conversational".to_owned(),
                                ..Agent::default()
                            };
                            let request =
                                CreateAgentRequest { agent: Some(agent), ..Default::default() };
                            client.create_agent(request).await.expect("the server answers");
                        }
                        Call::Get => {
                            let request = GetAgentRequest { id: id.to_string() };
                            client.get_agent(request).await.expect("the server answers");
                        }
                    }
                };
                tally.time(&mut due, made).await;
            }
        }
    })
    .await;
}

/// Creates the agent that is read.
async fn agent() -> String {
    let mut sender = connect(8001).await.expect("the port accepts");
    let request = Request::post("/api/v1/agents")
        .header("content-type", "application/json")
        .header("host", "localhost")
        .body(Full::from(BODY))
        .expect("a valid request");
    let response = sender.send_request(request).await.expect("the server answers");
    let bytes = response.into_body().collect().await.expect("the body ends").to_bytes();
    let agent: serde_json::Value = serde_json::from_slice(&bytes).expect("an agent");
    agent["id"].as_str().expect("an id").to_owned()
}

#[tokio::main]
async fn main() {
    let size =
        std::fs::metadata(env!("CARGO_BIN_EXE_lightning")).expect("the program is built").len();
    println!("size of the binary                 {:>9.1} MiB", size as f64 / 1_048_576.0);
    let mut starts = Vec::new();
    for _ in 0..5 {
        starts.push(cold_start().await.1);
    }
    starts.sort();
    println!(
        "start until 8 ports are healthy    {:>9.0} ms (median of 5; {:.0} to {:.0})",
        starts[2].as_secs_f64() * 1e3,
        starts[0].as_secs_f64() * 1e3,
        starts[4].as_secs_f64() * 1e3
    );
    let (mesh, _) = cold_start().await;
    // Idle means: a few rounds of the dashboard's questions are over.
    tokio::time::sleep(Duration::from_secs(11)).await;
    println!("idle resident memory               {:>9.1} MiB", load::resident(mesh.process.id()));
    let id = agent().await;
    for (call, word) in [(Call::Get, "get"), (Call::Create, "create")] {
        rest(&mesh, &format!("{word} agent, REST, agents 8001"), 8001, call, &id).await;
        grpc(&mesh, &format!("{word} agent, gRPC, agents 8001"), 8001, call, &id).await;
        rest(&mesh, &format!("{word} agent, REST, gateway 8000"), 8000, call, &id).await;
        grpc(&mesh, &format!("{word} agent, gRPC, gateway 8000"), 8000, call, &id).await;
    }
    println!("resident memory after the load     {:>9.1} MiB", load::resident(mesh.process.id()));
}

//! Figures of the whole program, measured from outside: start, memory, size, and what a call costs.
//!
//! `cargo bench -p lightning` (or `make bench`). Calls are made over 64 connections by this process on
//! the same machine, so requests per second include what the client costs; the CPU time of a request is
//! the server's alone, read from `/proc`. Every row is measured in the same run: compare rows, not runs.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use lightning_proto::agents::v1::{
    Agent, CreateAgentRequest, GetAgentRequest, agent_service_client::AgentServiceClient,
};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);
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

/// CPU time of the server so far: user and system ticks of `/proc/<pid>/stat`, 100 a second on Linux.
fn cpu(mesh: &Mesh) -> Duration {
    let path = format!("/proc/{}/stat", mesh.process.id());
    let text = std::fs::read_to_string(path).expect("the process is alive");
    let after = text.rsplit(')').next().expect("stat has a name in parentheses");
    let field =
        |at: usize| after.split_whitespace().nth(at).and_then(|word| word.parse::<u64>().ok());
    let ticks = field(11).unwrap_or_default() + field(12).unwrap_or_default();
    Duration::from_millis(ticks * 10)
}

/// Resident memory in MiB.
fn resident(mesh: &Mesh) -> f64 {
    let path = format!("/proc/{}/status", mesh.process.id());
    let text = std::fs::read_to_string(path).expect("the process is alive");
    let line = text.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS is there");
    let kib: f64 =
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    kib / 1024.0
}

#[derive(Clone, Copy)]
enum Call {
    Create,
    Get,
}

/// Runs one caller per connection and prints what a call cost.
async fn measure<F, W>(mesh: &Mesh, name: &str, caller: F)
where
    F: Fn(Arc<AtomicU64>, Instant) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    let done = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + WARM_UP + MEASURED;
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|_| lightning_mesh::task::spawn("bench", caller(Arc::clone(&done), end)))
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (from, cpu_from, start) = (done.load(Ordering::Relaxed), cpu(mesh), Instant::now());
    tokio::time::sleep(MEASURED - Duration::from_millis(50)).await;
    let count = done.load(Ordering::Relaxed) - from;
    let (seconds, spent) = (start.elapsed().as_secs_f64(), cpu(mesh) - cpu_from);
    for caller in callers {
        caller.await.expect("a caller does not panic");
    }
    let micros = spent.as_secs_f64() * 1e6 / count.max(1) as f64;
    println!("{name:<34} {:>9.0} requests/s {micros:>8.1} us CPU/request", count as f64 / seconds);
}

async fn rest(mesh: &Mesh, name: &str, port: u16, call: Call, id: &str) {
    let path: Arc<str> = format!("/api/v1/agents/{id}").into();
    measure(mesh, name, move |done, end| {
        let path = Arc::clone(&path);
        async move {
            let mut sender = connect(port).await.expect("the port accepts");
            while Instant::now() < end {
                let request = match call {
                    Call::Create => Request::post("/api/v1/agents")
                        .header("content-type", "application/json")
                        .header("host", "localhost")
                        .body(Full::from(BODY)),
                    Call::Get => {
                        Request::get(&*path).header("host", "localhost").body(Full::default())
                    }
                };
                let response = sender.send_request(request.expect("a valid request")).await;
                let response = response.expect("the server answers");
                assert!(response.status().is_success(), "{}", response.status());
                response.into_body().collect().await.expect("the body ends");
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await;
}

async fn grpc(mesh: &Mesh, name: &str, port: u16, call: Call, id: &str) {
    let id: Arc<str> = id.into();
    measure(mesh, name, move |done, end| {
        let id = Arc::clone(&id);
        async move {
            let endpoint =
                tonic::transport::Channel::from_shared(format!("http://{}", address(port)));
            let channel =
                endpoint.expect("a valid address").connect().await.expect("the port accepts");
            let mut client = AgentServiceClient::new(channel);
            while Instant::now() < end {
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
                done.fetch_add(1, Ordering::Relaxed);
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
    println!("idle resident memory               {:>9.1} MiB", resident(&mesh));
    let id = agent().await;
    for (call, word) in [(Call::Get, "get"), (Call::Create, "create")] {
        rest(&mesh, &format!("{word} agent, REST, agents 8001"), 8001, call, &id).await;
        grpc(&mesh, &format!("{word} agent, gRPC, agents 8001"), 8001, call, &id).await;
        rest(&mesh, &format!("{word} agent, REST, gateway 8000"), 8000, call, &id).await;
        grpc(&mesh, &format!("{word} agent, gRPC, gateway 8000"), 8000, call, &id).await;
    }
    println!("resident memory after the load     {:>9.1} MiB", resident(&mesh));
}

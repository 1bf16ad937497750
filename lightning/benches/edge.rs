//! What the gateway costs: REST through it beside the same call over gRPC straight to the service behind
//! it, and beside a bare axum JSON echo.
//!
//! `cargo bench -p lightning --bench edge` (or `make bench`). Four processes: auth (`lightning serve`),
//! the gateway alone (`lightning serve gateway`, with everything on: a user's access token checked on
//! each call, limits, metrics, tracing, the access log), a tonic server that answers `CreateAgent` with
//! the agent it was sent, and this one, which makes the load. CPU time and memory are read from `/proc`
//! for the process in question alone. Every row is measured in the same run: compare rows, not runs.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use lightning_proto::agents::v1::{
    Agent, CreateAgentRequest, agent_service_client::AgentServiceClient,
};
use tokio::net::{TcpListener, TcpStream};

#[path = "shared/load.rs"]
mod load;
#[path = "edge/roles.rs"]
mod roles;

use load::{Row, Tally, measure, print, resident};

/// The argument that makes this program one of the servers instead.
const ROLE: &str = "--role";
const PASSWORD: &str = "seven purple lanterns drift";

/// A server process. Dropping it kills it.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener.local_addr().expect("it is bound")
}

/// This program as one of the servers.
fn role(name: &str) -> Server {
    let address = free();
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args([ROLE, name]).arg(address.to_string());
    Server { process: command.spawn().expect("it starts"), address }
}

/// `lightning serve WORD`, told where the others are.
fn serve(word: &str, address: SocketAddr, data: &Path, peers: &[(&str, SocketAddr)]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightning"));
    command.args(["serve", word, "--data"]).arg(data).current_dir(data);
    command.env(format!("LIGHTNING_{}__LISTEN", word.to_uppercase()), address.to_string());
    for (peer, address) in peers {
        let key = format!("LIGHTNING_MESH__PEERS__{}", peer.to_uppercase());
        command.env(key, format!("http://{address}"));
    }
    // The log is written in full, to nowhere.
    command.env("LIGHTNING_TELEMETRY__LOG", "info").stdout(Stdio::null()).stderr(Stdio::null());
    Server { process: command.spawn().expect("the program starts"), address }
}

fn create_user(data: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightning"));
    command.args(["admin", "create-user", "root", "--data"]).arg(data).current_dir(data);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut process = command.spawn().expect("the program starts");
    let input = process.stdin.take().expect("it is piped");
    { input }.write_all(PASSWORD.as_bytes()).expect("it reads");
    assert!(process.wait().expect("it ends").success(), "the user is created");
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    lightning_mesh::task::spawn("bench", connection);
    Some(sender)
}

/// Posts JSON; nothing when the server is not there yet or refuses.
async fn post(address: SocketAddr, path: &str, token: &str, body: Bytes) -> Option<Bytes> {
    let mut sender = connect(address).await?;
    let response = sender.send_request(request(path, token, body)).await.ok()?;
    let success = response.status().is_success();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    success.then_some(body)
}

fn request(path: &str, token: &str, body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::post(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"));
    request.body(Full::from(body)).expect("a valid request")
}

/// Asks until there is an answer.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{what} does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn rest(server: &Server, path: &str, token: &str, body: &Bytes, pace: Option<f64>) -> Row {
    let (address, path, token): (_, Arc<str>, Arc<str>) =
        (server.address, path.into(), token.into());
    measure(server.process.id(), pace, |tally: Tally, mut due| {
        let (path, token, body) = (path.clone(), token.clone(), body.clone());
        async move {
            let mut sender = connect(address).await.expect("the port accepts");
            while tally.runs() {
                let call = async {
                    let response = sender.send_request(request(&path, &token, body.clone())).await;
                    let response = response.expect("the server answers");
                    assert!(response.status().is_success(), "{}", response.status());
                    response.into_body().collect().await.expect("the body ends");
                };
                tally.time(&mut due, call).await;
            }
        }
    })
    .await
}

/// gRPC calls, measured at the process of `server`, made to `address`.
async fn grpc(server: &Server, token: &str, agent: &Agent, pace: Option<f64>) -> Row {
    let (address, token): (_, Arc<str>) = (server.address, token.into());
    measure(server.process.id(), pace, |tally: Tally, mut due| {
        let (agent, token) = (agent.clone(), token.clone());
        async move {
            let endpoint = tonic::transport::Channel::from_shared(format!("http://{address}"));
            let channel = endpoint.expect("an address").connect().await.expect("it accepts");
            let mut client = AgentServiceClient::new(channel);
            while tally.runs() {
                let agent = Some(agent.clone());
                let mut request =
                    tonic::Request::new(CreateAgentRequest { agent, ..Default::default() });
                let bearer = format!("Bearer {token}").parse().expect("a token is ASCII");
                request.metadata_mut().insert("authorization", bearer);
                let call = async {
                    client.create_agent(request).await.expect("the server answers");
                };
                tally.time(&mut due, call).await;
            }
        }
    })
    .await
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == ROLE) {
        let address: SocketAddr = arguments[at + 2].parse().expect("an address");
        let listener = TcpListener::bind(address).await.expect("the port is free");
        return match &*arguments[at + 1] {
            "axum" => roles::axum_echo(listener).await,
            _ => roles::upstream(listener).await,
        };
    }
    let data = tempfile::tempdir().expect("a temporary folder");
    create_user(data.path());
    let (upstream, axum) = (role("upstream"), role("axum"));
    let (auth_at, gateway_at) = (free(), free());
    let peers = [("auth", auth_at), ("agents", upstream.address)];
    let _auth = serve("auth", auth_at, data.path(), &[]);
    let gateway = serve("gateway", gateway_at, data.path(), &peers);
    let login = serde_json::json!({ "username": "root", "password": PASSWORD }).to_string();
    let answer =
        until("login", || post(gateway_at, "/api/v1/auth/login", "local", login.clone().into()));
    let answer: serde_json::Value =
        serde_json::from_slice(&answer.await).expect("the answer is JSON");
    let token = answer["access_token"].as_str().expect("a token").to_owned();
    let token = &*token;

    let agent = roles::agent();
    let body: Bytes = serde_json::to_vec(&roles::json(&agent)).expect("JSON is written").into();
    println!("one message: {} bytes of JSON each way", body.len());
    let ask = || post(gateway_at, "/api/v1/agents", token, body.clone());
    until("the gateway", ask).await;
    until("axum", || post(axum.address, "/", "", body.clone())).await;
    println!(
        "gateway, resident memory when idle            {:>8.1} MiB",
        resident(gateway.process.id())
    );

    let full = rest(&gateway, "/api/v1/agents", token, &body, None).await;
    print("REST through the gateway", &full);
    print("gRPC through the gateway", &grpc(&gateway, token, &agent, None).await);
    print("gRPC straight to the tonic server", &grpc(&upstream, token, &agent, None).await);
    print("REST to a bare axum JSON echo", &rest(&axum, "/", "", &body, None).await);
    println!(
        "gateway, resident memory after the load       {:>8.1} MiB",
        resident(gateway.process.id())
    );
    let half = full.rate / 2.0;
    println!("at half of the first row's rate ({half:.0} requests/s):");
    print(
        "REST through the gateway",
        &rest(&gateway, "/api/v1/agents", token, &body, Some(half)).await,
    );
    print("gRPC straight to the tonic server", &grpc(&upstream, token, &agent, Some(half)).await);
    print("REST to a bare axum JSON echo", &rest(&axum, "/", "", &body, Some(half)).await);
}

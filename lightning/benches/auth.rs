//! What a token costs: client credentials and introspection at the auth service as a process of its own,
//! beside node-oidc-provider doing the same, and what password logins do to the other endpoints.
//!
//! `make bench`, or `cargo bench -p lightning --bench auth` (without the peer unless
//! `LIGHTNING_BENCH_OIDC_PROVIDER` names its script). CPU time and memory are read from `/proc` for the
//! measured process alone; the load comes from this one, on the same processors. Every row is measured in
//! the same run: compare rows, not runs.

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
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

#[path = "shared/load.rs"]
mod load;

use load::{Row, Tally, measure, print, resident};

const SECRET: &str = "a-secret-of-the-benchmark-with-more-than-32-characters";
const PASSWORD: &str = "seven purple lanterns drift";
/// Logins a second beside which the other endpoints are measured.
const LOGINS: f64 = 40.0;

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

/// `lightning serve auth`, with one client.
fn auth(data: &Path) -> Server {
    let address = free();
    let config = format!(
        "[auth]\nlisten = \"{address}\"\nissuer = \"http://{address}\"\n[[auth.clients]]\nid = \"bench\"\n\
         secret = \"{SECRET}\"\ngrant_types = [\"client_credentials\"]\nscopes = [\"agents.read\"]\n"
    );
    std::fs::write(data.join("lightning.toml"), config).expect("the folder is ours");
    let program = env!("CARGO_BIN_EXE_lightning");
    let mut create = Command::new(program);
    create.args(["admin", "create-user", "root", "--data"]).arg(data).current_dir(data);
    create.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut process = create.spawn().expect("the program starts");
    let input = process.stdin.take().expect("it is piped");
    { input }.write_all(PASSWORD.as_bytes()).expect("it reads");
    assert!(process.wait().expect("it ends").success(), "the user is created");
    let mut command = Command::new(program);
    command.args(["serve", "auth", "--data"]).arg(data).current_dir(data);
    // The log is written in full, to nowhere.
    command.env("LIGHTNING_TELEMETRY__LOG", "info").stdout(Stdio::null()).stderr(Stdio::null());
    Server { process: command.spawn().expect("the program starts"), address }
}

/// node-oidc-provider, if the environment says where it is.
fn peer() -> Option<Server> {
    let script = std::env::var_os("LIGHTNING_BENCH_OIDC_PROVIDER")?;
    let address = free();
    let mut command = Command::new("node");
    command.arg(script).arg(address.port().to_string()).arg(SECRET);
    command.env("NODE_ENV", "production").stdout(Stdio::null()).stderr(Stdio::null());
    Some(Server { process: command.spawn().expect("node starts"), address })
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    lightning_mesh::task::spawn("bench", connection);
    Some(sender)
}

/// A form with the client's credentials, or JSON without.
fn request(path: &str, body: &Bytes) -> Request<Full<Bytes>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let is_json = body.starts_with(b"{");
    let kind = if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
    let request = Request::post(path).header("host", "localhost").header("content-type", kind);
    let request = match is_json {
        true => request,
        false => {
            let credential = STANDARD.encode(format!("bench:{SECRET}"));
            request.header("authorization", format!("Basic {credential}"))
        }
    };
    request.body(Full::from(body.clone())).expect("a valid request")
}

async fn post(address: SocketAddr, path: &str, body: &Bytes) -> Option<Bytes> {
    let mut sender = connect(address).await?;
    let response = sender.send_request(request(path, body)).await.ok()?;
    let success = response.status().is_success();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    success.then_some(body)
}

/// Asks until there is an answer.
async fn until(what: &str, address: SocketAddr, path: &str, body: &Bytes) -> serde_json::Value {
    let start = Instant::now();
    loop {
        if let Some(answer) = post(address, path, body).await {
            return serde_json::from_slice(&answer).expect("the answer is JSON");
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what} does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Load of one kind, from every connection; answers that ask to come back later are not counted.
async fn row(server: &Server, path: &str, body: &Bytes, pace: Option<f64>) -> Row {
    let (address, path): (_, Arc<str>) = (server.address, path.into());
    measure(server.process.id(), pace, |tally: Tally, mut due| {
        let (path, body) = (path.clone(), body.clone());
        async move {
            let mut sender = connect(address).await.expect("the port accepts");
            while tally.runs() {
                let call = async {
                    let response = sender.send_request(request(&path, &body)).await;
                    let response = response.expect("the server answers");
                    assert_eq!(response.status(), StatusCode::OK);
                    response.into_body().collect().await.expect("the body ends");
                };
                tally.time(&mut due, call).await;
            }
        }
    })
    .await
}

#[tokio::main]
async fn main() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = auth(data.path());
    let grant = Bytes::from_static(b"grant_type=client_credentials&scope=agents.read");
    let token = until("auth", server.address, "/oauth/token", &grant).await;
    let token = token["access_token"].as_str().expect("a token").to_owned();
    let question = Bytes::from(format!("token={token}"));
    let seen = until("introspection", server.address, "/oauth/introspect", &question).await;
    assert_eq!(seen["active"], true, "the token is introspected by its own client");
    println!("auth, resident memory when idle {:>8.1} MiB", resident(server.process.id()));

    let tokens = row(&server, "/oauth/token", &grant, None).await;
    print("client credentials", &tokens);
    print("introspection", &row(&server, "/oauth/introspect", &question, None).await);
    if let Some(peer) = peer() {
        until("node-oidc-provider", peer.address, "/token", &grant).await;
        print("client credentials, node-oidc-provider", &row(&peer, "/token", &grant, None).await);
    }
    let login = serde_json::json!({"username": "root", "password": PASSWORD}).to_string().into();
    print("password logins", &row(&server, "/api/v1/auth/login", &login, None).await);

    let pace = Some(2_000.0);
    print("2,000 tokens/s alone", &row(&server, "/oauth/token", &grant, pace).await);
    let (beside, logins) = tokio::join!(
        row(&server, "/oauth/token", &grant, pace),
        row(&server, "/api/v1/auth/login", &login, Some(LOGINS))
    );
    print(&format!("2,000 tokens/s beside {LOGINS} logins/s"), &beside);
    print("those logins", &logins);
    println!("auth, resident memory after the load {:>8.1} MiB", resident(server.process.id()));
}

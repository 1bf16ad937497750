//! Several replicas of one service behind real sockets: who gets a call, and what no caller notices.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lightning_mesh::{
    Context, Service,
    channel::Channel,
    identity::Caller,
    serve::Drained,
    testing::{Builder, Harness},
};
use lightning_proto::monitoring::v1::monitoring_service_server::MonitoringServiceServer;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tonic::Code;

use crate::support::{Echo, client, get, start};

/// A file for the key that all meshes of a test share.
fn key() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.key");
    (folder, file)
}

fn builder(services: &[&'static str], key: &Path) -> Builder {
    Harness::builder(services).mesh(|mesh| mesh.key_file = Some(key.to_owned()))
}

/// A process that calls `monitoring` at these addresses, and what it knows of itself.
fn caller(key: &Path, addresses: &[String]) -> (Harness, Context, Channel) {
    let harness = builder(&[], key)
        .mesh(|mesh| {
            mesh.peers.insert("monitoring".into(), addresses.to_vec().into());
        })
        .start();
    let context = harness.context("testing");
    let channel = context.peers().channel("monitoring");
    (harness, context, channel)
}

async fn call(channel: &Channel, id: &str) -> Result<String, tonic::Status> {
    let user = Caller::new("user:1", "ada", ["monitoring.*"]);
    let answer = client(channel.clone()).get_service(user.request(get(id))).await?;
    Ok(answer.into_inner().id)
}

/// The value of a figure about an endpoint.
fn figure(context: &Context, name: &str, endpoint: &str, more: &str) -> Option<u64> {
    let line = format!("{name}{{peer=\"monitoring\",endpoint=\"{endpoint}\"{more}}} ");
    let text = context.metrics().text();
    let value = text.lines().find_map(|known| known.strip_prefix(&line).map(str::to_owned))?;
    value.parse().ok()
}

fn is(context: &Context, endpoint: &str, state: &str) -> bool {
    let more = format!(",state=\"{state}\"");
    figure(context, "channel_endpoint_state", endpoint, &more) == Some(1)
}

/// Calls without a pause until told to stop.
struct Load {
    going: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    workers: Vec<JoinHandle<Vec<tonic::Status>>>,
}

impl Load {
    fn start(channel: &Channel, workers: usize) -> Self {
        let (going, done) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicUsize>::default());
        let worker = |_| {
            let (channel, going, done) = (channel.clone(), going.clone(), done.clone());
            lightning_mesh::task::spawn("worker", async move {
                let mut failed = Vec::new();
                while going.load(Ordering::SeqCst) {
                    failed.extend(call(&channel, "x").await.err());
                    done.fetch_add(1, Ordering::SeqCst);
                }
                failed
            })
        };
        let workers = (0..workers).map(worker).collect();
        Self { going, done, workers }
    }

    /// Waits for so many more calls.
    async fn more(&self, calls: usize) {
        let until = self.done.load(Ordering::SeqCst) + calls;
        while self.done.load(Ordering::SeqCst) < until {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until something is so.
    async fn until(&self, mut so: impl FnMut() -> bool) {
        let wait = async {
            while !so() {
                self.more(10).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it comes to be so");
    }

    /// Stops, and tells what failed.
    async fn stop(self) -> Vec<tonic::Status> {
        self.going.store(false, Ordering::SeqCst);
        let mut failed = Vec::new();
        for worker in self.workers {
            failed.extend(worker.await.unwrap());
        }
        failed
    }
}

fn endpoint(base: &str) -> String {
    base.trim_start_matches("http://").to_owned()
}

#[tokio::test]
async fn replicas_share_the_calls() {
    let (_folder, key) = key();
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(start(builder(&["monitoring"], &key)).await);
    }
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.rest("monitoring")).collect();
    let (_near, context, channel) = caller(&key, &addresses);
    let load = Load::start(&channel, 4);
    load.until(|| addresses.iter().all(|base| is(&context, &endpoint(base), "ready"))).await;
    load.more(200).await;
    assert!(load.stop().await.is_empty());
    for (replica, base) in replicas.iter().zip(&addresses) {
        let text = crate::support::rest_get(&replica.rest("monitoring"), "/metrics", "").await;
        let line = "MonitoringService/GetService\",code=\"OK\"} ";
        let count = text.lines().find_map(|known| known.split_once(line)?.1.parse::<u64>().ok());
        assert!(count.is_some_and(|count| count > 20), "{base}: {count:?}");
    }
}

#[tokio::test]
async fn replicas_that_drain_lose_no_call() {
    let (_folder, key) = key();
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(start(builder(&["monitoring"], &key)).await);
    }
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.rest("monitoring")).collect();
    let (_near, context, channel) = caller(&key, &addresses);
    let load = Load::start(&channel, 8);
    load.until(|| addresses.iter().all(|base| is(&context, &endpoint(base), "ready"))).await;
    for replica in replicas.drain(..2) {
        load.more(100).await;
        assert_eq!(replica.stop().await, [Drained::Clean]);
    }
    load.more(100).await;
    let failed = load.stop().await;
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed.first());
}

/// Passes connections on until it is killed, as the kernel does with a process.
struct Passage {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Passage {
    async fn open(address: &str, to: String) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = lightning_mesh::task::spawn("passage", async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let to = to.clone();
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { address, task }
    }

    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

#[tokio::test]
async fn a_killed_replica_costs_only_the_calls_on_it_and_comes_back() {
    const WORKERS: usize = 8;
    let (_folder, key) = key();
    let mut replicas = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..3 {
        let replica = start(builder(&["monitoring"], &key)).await;
        addresses.push(replica.rest("monitoring"));
        replicas.push(replica);
    }
    let behind = endpoint(&addresses[0]);
    let passage = Passage::open("127.0.0.1:0", behind.clone()).await;
    let mortal = passage.address.to_string();
    addresses[0] = format!("http://{mortal}");
    let (_near, context, channel) = caller(&key, &addresses);
    let load = Load::start(&channel, WORKERS);
    load.until(|| addresses.iter().all(|base| is(&context, &endpoint(base), "ready"))).await;

    passage.kill().await;
    load.until(|| is(&context, &mortal, "backoff")).await;
    load.more(200).await;
    let failed = load.stop().await;
    // One call of each worker may have been on it; who comes later goes elsewhere.
    assert!(failed.len() <= WORKERS, "{} failed", failed.len());
    assert!(failed.iter().all(|status| status.code() == Code::Unavailable), "{failed:?}");

    let load = Load::start(&channel, WORKERS);
    load.more(100).await;
    let passage = Passage::open(&mortal, behind).await;
    load.until(|| is(&context, &mortal, "ready")).await;
    let connects = || figure(&context, "channel_endpoint_connects_total", &mortal, "").unwrap();
    assert!(connects() >= 2);
    load.more(200).await;
    assert!(load.stop().await.is_empty());
    passage.kill().await;
}

#[tokio::test]
async fn a_replica_that_is_not_serving_gets_no_further_call() {
    let (_folder, key) = key();
    let other = start(builder(&["monitoring"], &key)).await;
    let mut harness = builder(&["monitoring"], &key).start();
    let its = harness.context("monitoring");
    let (ready, receiver) = tokio::sync::watch::channel(true);
    let service = Service::new("monitoring")
        .grpc(MonitoringServiceServer::new(Echo { context: its.clone() }))
        .health(receiver);
    harness.serve(service, &its).await.unwrap();
    let addresses = [harness.rest("monitoring"), other.rest("monitoring")];
    let moody = endpoint(&addresses[0]);
    let (_near, context, channel) = caller(&key, &addresses);
    let load = Load::start(&channel, 4);
    load.until(|| addresses.iter().all(|base| is(&context, &endpoint(base), "ready"))).await;

    ready.send(false).unwrap();
    load.until(|| is(&context, &moody, "not_serving")).await;
    // Those under way may end, and no other begins.
    load.more(10).await;
    let answered = || {
        let text = its.metrics().text();
        let line = "MonitoringService/GetService\",code=\"OK\"} ";
        text.lines().find_map(|known| known.split_once(line)?.1.parse::<u64>().ok())
    };
    let before = answered();
    load.more(200).await;
    assert_eq!(answered(), before);

    ready.send(true).unwrap();
    load.until(|| is(&context, &moody, "ready")).await;
    load.until(|| answered() > before).await;
    assert!(load.stop().await.is_empty());
}

#[tokio::test]
async fn a_busy_endpoint_gets_a_second_connection() {
    let (_folder, key) = key();
    let replica = start(builder(&["monitoring"], &key)).await;
    let base = replica.rest("monitoring");
    let (_near, context, channel) = caller(&key, std::slice::from_ref(&base));
    let connects =
        || figure(&context, "channel_endpoint_connects_total", &endpoint(&base), "").unwrap();
    for _ in 0..20 {
        assert_eq!(call(&channel, "x").await.unwrap(), "x");
    }
    // One call at a time needs no other. (The health stream is no call.)
    assert_eq!(connects(), 1);
    let load = Load::start(&channel, 8);
    load.until(|| connects() == 2).await;
    load.more(100).await;
    assert!(load.stop().await.is_empty());
    assert_eq!(connects(), 2);
}

#[tokio::test]
async fn a_single_replica_that_restarts_is_reached_again() {
    let (_folder, key) = key();
    let replica = start(builder(&["monitoring"], &key)).await;
    let behind = endpoint(&replica.rest("monitoring"));
    let passage = Passage::open("127.0.0.1:0", behind.clone()).await;
    let mortal = passage.address.to_string();
    let (_near, context, channel) = caller(&key, &[format!("http://{mortal}")]);
    assert_eq!(call(&channel, "x").await.unwrap(), "x");
    passage.kill().await;
    let status = loop {
        match call(&channel, "x").await {
            Ok(_) => tokio::task::yield_now().await,
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    let _passage = Passage::open(&mortal, behind).await;
    let again = async {
        // It is answered at once, so nobody else would have a turn.
        while call(&channel, "x").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("it is reached again");
    assert!(is(&context, &mortal, "ready"));
}

//! Overload: a service that is asked five times as much as it can do still does nearly as much as it
//! can, and whoever is turned away hears of it at once.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use lightning_proto::agents::v1::{ListTemplatesRequest, ListTemplatesResponse};
use tokio::{sync::Semaphore, time::Instant};
use tonic::{Request, Response, Status, server::UnaryService};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::cluster::{Cluster, sum};

/// How many calls the service works on at once, and how long each takes: slow enough that five times as
/// many calls do not need all of the machine.
const WORKERS: usize = 4;
const WORK: Duration = Duration::from_millis(50);
/// How long a caller waits. An answer after that is no use to anyone.
const DEADLINE: &str = "0.6";
/// How long each load lasts.
const TIME: Duration = Duration::from_secs(3);
/// How often it is measured at most. The machine may have other work at times, which takes from what the
/// service can do; a limit that does not hold fails every round.
const ROUNDS: usize = 3;

/// A method that takes its time, for as many calls at once as there are workers; the others queue in
/// front of it without bound, as they would in front of a thread pool.
#[derive(Clone)]
struct Slow(Arc<Semaphore>);

impl UnaryService<ListTemplatesRequest> for Slow {
    type Response = ListTemplatesResponse;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<Response<ListTemplatesResponse>, Status>> + Send>,
    >;

    fn call(&mut self, _: Request<ListTemplatesRequest>) -> Self::Future {
        let workers = self.0.clone();
        // The work goes on when its caller is gone, as work on a thread does: what was let in too much
        // is wasted.
        let work = lightning_mesh::task::spawn("test", async move {
            let _worker = workers.acquire_owned().await;
            tokio::time::sleep(WORK).await; // the work
        });
        Box::pin(async move {
            work.await.map_err(|_| Status::internal("the work panicked"))?;
            Ok(Response::new(ListTemplatesResponse::default()))
        })
    }
}

/// A service of limited capacity in place of `agents`.
async fn slow_service() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let slow = Slow(Arc::new(Semaphore::new(WORKERS)));
    lightning_mesh::task::spawn("test", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let slow = slow.clone();
            lightning_mesh::task::spawn("test", async move {
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let slow = slow.clone();
                    async move {
                        if !request.uri().path().ends_with("/ListTemplates") {
                            return Ok(Status::unimplemented("not here").into_http());
                        }
                        let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                        Ok::<_, Infallible>(grpc.unary(slow, request).await)
                    }
                });
                let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let service = TowerToHyperService::new(service);
                let _ended = http2.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// What became of the calls of one load.
#[derive(Default)]
struct Outcome {
    succeeded: AtomicU64,
    refusals: std::sync::Mutex<Vec<Duration>>,
    late: AtomicU64,
}

/// One measurement.
#[derive(Debug)]
struct Round {
    peak: u64,
    succeeded: u64,
    late: u64,
    refused: usize,
    /// The median.
    refused_after: Option<Duration>,
}

impl Round {
    fn holds(&self) -> bool {
        let at_once = |after: Duration| after < Duration::from_millis(10);
        let useful = self.succeeded * 10 >= self.peak * 9 && self.late * 10 <= self.succeeded;
        // Most of what is too much is refused, and not queued for later.
        useful && self.refused as u64 >= self.peak && self.refused_after.is_some_and(at_once)
    }
}

async fn call(client: &reqwest::Client, url: &str, outcome: &Outcome) {
    let start = Instant::now();
    let response = client.get(url).header("x-request-timeout", DEADLINE).send().await.unwrap();
    match response.status().as_u16() {
        200 => drop(outcome.succeeded.fetch_add(1, Ordering::Relaxed)),
        429 | 503 => {
            assert!(response.headers().contains_key("retry-after"));
            outcome.refusals.lock().unwrap().push(start.elapsed());
        }
        504 => drop(outcome.late.fetch_add(1, Ordering::Relaxed)),
        status => panic!("{status}: {}", response.text().await.unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_times_the_capacity_leaves_most_of_the_goodput() {
    let _alone = crate::MACHINE.write().await;
    let address = slow_service().await;
    let config = "[gateway.concurrency]\ninitial = 16\nmin = 4\n";
    let services = [("auth", 1), ("gateway", 1)];
    let peers = format!("agents = \"http://{address}\"\n");
    let cluster = Cluster::start_beside(&services, config, &peers).await;
    let gateway = cluster.of("gateway")[0];
    let url: Arc<str> = cluster.url(gateway, "/api/v1/templates").into();
    let client = cluster.client.clone();

    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS && !rounds.iter().any(Round::holds) {
        let peak = peak(&client, &url).await;
        let round = overloaded(&client, &url, peak).await;
        println!("{round:?}");
        rounds.push(round);
    }
    assert!(rounds.iter().any(Round::holds), "{rounds:?}");
    let memory = sum(&cluster.metrics(gateway).await, "process_resident_memory_bytes", &[]);
    assert!(memory < 256.0 * 1024.0 * 1024.0, "{memory}");
}

/// As much as the service can do: each of its workers has a caller of its own, and one that waits.
async fn peak(client: &reqwest::Client, url: &Arc<str>) -> u64 {
    let outcome = Arc::new(Outcome::default());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS * 2 {
        let (client, url, outcome) = (client.clone(), url.clone(), outcome.clone());
        callers.spawn(async move {
            let end = Instant::now() + TIME;
            while Instant::now() < end {
                call(&client, &url, &outcome).await;
            }
        });
    }
    callers.join_all().await;
    outcome.succeeded.load(Ordering::Relaxed)
}

/// Five times that, whatever becomes of it.
async fn overloaded(client: &reqwest::Client, url: &Arc<str>, peak: u64) -> Round {
    let outcome = Arc::new(Outcome::default());
    let mut pace = tokio::time::interval(TIME / u32::try_from(peak * 5).unwrap());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..peak * 5 {
        pace.tick().await;
        let (client, url, outcome) = (client.clone(), url.clone(), outcome.clone());
        calls.spawn(async move { call(&client, &url, &outcome).await });
    }
    calls.join_all().await;
    let mut refusals = outcome.refusals.lock().unwrap().clone();
    refusals.sort_unstable();
    Round {
        peak,
        succeeded: outcome.succeeded.load(Ordering::Relaxed),
        late: outcome.late.load(Ordering::Relaxed),
        refused: refusals.len(),
        refused_after: refusals.get(refusals.len() / 2).copied(),
    }
}

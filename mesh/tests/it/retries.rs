//! Retries, over sockets: what is repeated, how often, and by which hop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lightning_mesh::{channel::Channel, identity::Caller, task, testing::Harness};
use lightning_proto::{
    agents::v1::{self as agents, deployment_service_client::DeploymentServiceClient},
    monitoring::v1::monitoring_service_client::MonitoringServiceClient,
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tonic::Code;

use crate::{
    chain::{Chain, End},
    support::{Plain, client, get, reason, rest_get, start},
};

/// What a scripted peer does with its first request; it answers the others well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// A message, then UNAVAILABLE in the trailers.
    FailsInTrailers,
    /// Reads it and cuts the connection.
    IsLost,
    /// Refuses the stream: nothing was done.
    IsRefused,
}

/// A peer of one's own, the harness that calls it, and how many requests came.
struct Scripted {
    harness: Harness,
    requests: Arc<AtomicUsize>,
}

impl Scripted {
    async fn start(first: First) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        task::spawn("scripted-peer", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let counter = counter.clone();
                if first != First::FailsInTrailers && counter.load(Ordering::SeqCst) == 0 {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let cut = async move { break_off(stream, first, &counter).await };
                    task::spawn("cut", cut);
                    continue;
                }
                let service = hyper::service::service_fn(move |request| {
                    let earlier = counter.fetch_add(1, Ordering::SeqCst);
                    answer(request, earlier > 0)
                });
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                task::spawn("scripted-connection", connection);
            }
        });
        let builder = Harness::builder(&[]).mesh(|mesh| {
            mesh.peers.insert("monitoring".into(), address.clone().into());
            mesh.peers.insert("agents".into(), address.into());
            mesh.channel.connections = 1;
            // What is counted is calls alone.
            mesh.channel.balance.health = false;
        });
        Self { harness: builder.start(), requests }
    }

    fn channel(&self, peer: &str) -> Channel {
        self.harness.channel_as(peer, Caller::local())
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Speaks just enough HTTP/2 to take one request in.
async fn break_off(stream: TcpStream, first: First, requests: &AtomicUsize) {
    let mut io = h2::server::handshake(stream).await.unwrap();
    let (mut request, mut respond) = io.accept().await.unwrap().unwrap();
    match first {
        First::IsRefused => {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            // Only the stream ends; the next one on the connection is answered.
            while let Some(Ok((_, mut respond))) = io.accept().await {
                requests.fetch_add(1, Ordering::SeqCst);
                let answer = http::Response::builder().header("content-type", "application/grpc");
                let answer = answer.header("grpc-status", "5").body(()).unwrap();
                respond.send_response(answer, true).unwrap();
            }
        }
        First::IsLost | First::FailsInTrailers => {
            let body = request.body_mut();
            tokio::select! {
                _ = body.data() => {}
                _ = io.accept() => {}
            }
        }
    }
}

async fn answer(
    request: http::Request<hyper::body::Incoming>,
    well: bool,
) -> Result<
    http::Response<
        StreamBody<
            impl futures_util::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>>,
        >,
    >,
    std::convert::Infallible,
> {
    let _ = request.into_body().collect().await;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", if well { 0.into() } else { 14.into() });
    // An empty message.
    let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)].map(Ok);
    let body = StreamBody::new(tokio_stream::iter(frames));
    let response = http::Response::builder().header("content-type", "application/grpc");
    Ok(response.body(body).unwrap())
}

async fn deploy(channel: Channel) -> Result<(), tonic::Status> {
    let request = agents::DeployAgentRequest { id: "a".into(), ..Default::default() };
    DeploymentServiceClient::new(channel).deploy_agent(request).await.map(|_| ())
}

#[tokio::test]
async fn idempotent_calls_survive_a_failure_and_others_are_not_sent_twice() {
    for first in [First::FailsInTrailers, First::IsLost] {
        let peer = Scripted::start(first).await;
        let answer = client(peer.channel("monitoring")).get_service(get("x")).await;
        assert!(answer.is_ok(), "{first:?} {answer:?}");
        assert_eq!(peer.requests(), 2, "{first:?}");

        let peer = Scripted::start(first).await;
        let status = deploy(peer.channel("agents")).await.unwrap_err();
        assert_eq!((status.code(), peer.requests()), (Code::Unavailable, 1), "{first:?} {status}");
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_whatever_the_method() {
    let peer = Scripted::start(First::IsRefused).await;
    let status = deploy(peer.channel("agents")).await.unwrap_err();
    assert_eq!((status.code(), peer.requests()), (Code::NotFound, 2), "{status}");
}

#[tokio::test]
async fn a_target_that_fails_every_call_gets_a_fifth_more_through_two_hops() {
    const CALLS: usize = 100;
    let chain = Chain::start(End::Fails).await;
    let mut agents = client(chain.harness.channel("agents"));
    for _ in 0..CALLS {
        let status = agents.get_service(get("x")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
    let [outer, middle, end] = chain.calls();
    // Only the hop before the end repeats; those before it are told that it was in vain.
    assert_eq!((outer, middle), (CALLS, CALLS));
    assert!(end > CALLS && end * 5 <= CALLS * 6, "{end}");
    let figures = rest_get(&chain.bases[1], "/metrics", "").await;
    let failed = format!(
        "rpc_client_retries_total{{peer=\"monitoring\",outcome=\"failed\"}} {}",
        end - CALLS
    );
    assert!(figures.contains(&failed), "{figures}");
    assert!(
        figures.contains("rpc_client_retries_refused_total{peer=\"monitoring\",reason=\"budget\"}")
    );
    assert!(figures.contains("rpc_client_queue_depth{peer=\"monitoring\"} 0"));
}

#[tokio::test]
async fn a_door_in_front_repeats_nothing_and_tells_its_clients_so() {
    const CALLS: usize = 50;
    let chain = Chain::start(End::Fails).await;
    let plain = Plain::connect(&chain.edge().await).await;
    let mut edge = MonitoringServiceClient::new(plain);
    for _ in 0..CALLS {
        let status = edge.get_service(get("x")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    }
    let [outer, middle, end] = chain.calls();
    assert_eq!((outer, middle), (CALLS, CALLS));
    assert!(end > CALLS && end * 5 <= CALLS * 6, "{end}");
}

#[tokio::test]
async fn what_a_client_repeats_is_repeated_by_nobody_else() {
    let chain = Chain::start(End::Fails).await;
    let plain = Plain::connect(&chain.edge().await).await;
    let mut edge = MonitoringServiceClient::new(plain);
    let mut request = tonic::Request::new(get("x"));
    request.metadata_mut().insert("grpc-previous-rpc-attempts", "1".parse().unwrap());
    let status = edge.get_service(request).await.unwrap_err();
    assert_eq!((status.code(), chain.calls()), (Code::Unavailable, [1, 1, 1]));
}

#[tokio::test]
async fn an_overload_is_refused_at_once_and_leaves_nothing_behind() {
    const PLACES: usize = 8;
    let builder = Harness::builder(&["monitoring"]).mesh(|mesh| {
        mesh.channel.queue.max_in_flight = PLACES;
        mesh.channel.queue.max_pending = PLACES;
    });
    let harness = start(builder).await;
    let base = harness.rest("monitoring");
    let channel = harness.channel("monitoring");
    let slow = || {
        let mut client = client(channel.clone());
        task::spawn("slow", async move { client.get_service(get("slow")).await })
    };
    let taken: Vec<_> = (0..PLACES * 2).map(|_| slow()).collect();
    let in_flight = format!("in_flight {PLACES}");
    let arrived = async { while !rest_get(&base, "/metrics", "").await.contains(&in_flight) {} };
    tokio::time::timeout(Duration::from_secs(5), arrived).await.expect("places are taken");
    let mut fastest = Duration::MAX;
    for _ in 0..PLACES * 5 {
        let started = Instant::now();
        let status = client(channel.clone()).get_service(get("x")).await.unwrap_err();
        fastest = fastest.min(started.elapsed());
        assert_eq!(reason(&status), "LIMIT_EXCEEDED", "{status}");
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    assert!(fastest < Duration::from_millis(10), "{fastest:?}");
    taken.iter().for_each(tokio::task::JoinHandle::abort);
    let gone = async { while !rest_get(&base, "/metrics", "").await.contains("in_flight 0") {} };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("all are cancelled");
    let answer = client(channel).get_service(get("fine")).await.unwrap();
    assert_eq!(answer.into_inner().id, "fine");
}

#[tokio::test]
async fn the_budget_is_shared_by_all_who_call_from_a_process() {
    const CALLS: usize = 40;
    let chain = Chain::start(End::Fails).await;
    // Two services of the process, each with channels of its own.
    for service in ["agents", "models"] {
        let channel = chain.harness.context(service).peers().channel("monitoring");
        for _ in 0..CALLS {
            let _ = client(channel.clone()).get_service(get("x")).await.unwrap_err();
        }
    }
    let [.., end] = chain.calls();
    assert!(end * 5 <= CALLS * 2 * 6, "{end}");
}

#[tokio::test]
async fn a_connection_that_closes_before_it_speaks_is_a_failure_like_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    task::spawn("mute-peer", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read_u8().await;
        }
    });
    let builder = Harness::builder(&[]).mesh(|mesh| {
        mesh.peers.insert("monitoring".into(), address.into());
    });
    let harness = builder.start();
    let status = client(harness.channel("monitoring")).get_service(get("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

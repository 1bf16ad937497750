//! Deadlines shrink hop by hop, bound whole bodies, and end as DEADLINE_EXCEEDED.

use std::time::Duration;

use lightning_mesh::{identity::Caller, task};
use tokio::time::Instant;
use tonic::{Code, Request};

use crate::{
    chain::{Chain, End},
    support::{Plain, client, echo, get, reason, rest_get},
};
use lightning_proto::monitoring::v1::{
    WatchServicesRequest, monitoring_service_client::MonitoringServiceClient,
};

fn within<M>(message: M, timeout: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request.extensions_mut().insert(Caller::local());
    request
}

#[tokio::test]
async fn a_deadline_shrinks_hop_by_hop() {
    let harness = echo().await;
    let mut client = client(harness.channel("monitoring"));
    let timeout = Duration::from_millis(5_000);
    let request = within(get("relay:relay:left"), timeout);
    let left: u64 = client.get_service(request).await.unwrap().into_inner().id.parse().unwrap();
    assert!((1..5_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_call_without_deadline_gets_the_default() {
    let harness = echo().await;
    let mut client = client(harness.channel("monitoring"));
    let left: u64 = client.get_service(get("left")).await.unwrap().into_inner().id.parse().unwrap();
    assert!((25_000..=30_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_slow_handler_ends_at_the_deadline() {
    let harness = echo().await;
    let mut client = client(harness.channel("monitoring"));
    let started = Instant::now();
    let request = within(get("relay:slow"), Duration::from_millis(100));
    let status = client.get_service(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert_eq!(reason(&status), "DEADLINE_EXCEEDED");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_deadline_ends_a_stream_that_has_begun() {
    let harness = echo().await;
    let mut client = client(harness.channel("monitoring"));
    let request = within(WatchServicesRequest {}, Duration::from_millis(200));
    let mut stream = client.watch_services(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let status = stream.message().await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
}

#[tokio::test]
async fn the_server_ends_a_stream_whose_client_does_not() {
    let harness = echo().await;
    let mut client =
        MonitoringServiceClient::new(Plain::connect(&harness.rest("monitoring")).await);
    let mut request = Request::new(WatchServicesRequest {});
    request.set_timeout(Duration::from_millis(200));
    let mut stream = client.watch_services(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(stream.message().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_malformed_timeout_is_refused() {
    let harness = echo().await;
    let mut client =
        MonitoringServiceClient::new(Plain::connect(&harness.rest("monitoring")).await);
    for timeout in ["123456789m", "1s", ""] {
        let mut request = Request::new(get("x"));
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let status = client.get_service(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{timeout}");
        assert_eq!(reason(&status), "TIMEOUT_INVALID");
    }
}

#[tokio::test]
async fn a_silent_stream_is_ended() {
    let harness = crate::support::start(
        lightning_mesh::testing::Harness::builder(&["monitoring"])
            .mesh(|mesh| mesh.channel.stream_idle_timeout = Duration::from_millis(100)),
    )
    .await;
    let mut client = client(harness.channel("monitoring"));
    let mut stream = client.watch_services(WatchServicesRequest {}).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_deadline_holds_at_each_of_three_hops() {
    let deadline = Duration::from_millis(300);
    let chain = Chain::start(End::Sleeps).await;
    let plain = Plain::connect(&chain.bases[0]).await;
    let mut client = MonitoringServiceClient::new(plain);
    // The machine may be busy with something else; what the mesh adds shows in the fastest of a few.
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        let status = client.get_service(within(get("x"), deadline)).await.unwrap_err();
        fastest = fastest.min(started.elapsed());
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    }
    assert!(fastest < Duration::from_millis(320), "{fastest:?}");
    let mut at_work = chain.at_work.clone();
    let ended = at_work.wait_for(|count| *count == 0);
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the end is told").unwrap();
    assert_eq!(chain.calls(), [5, 5, 5]);
    // Each hop says why it ended, unless the call before it was so late that the one after it still had
    // time when it was cancelled.
    let series = "MonitoringService/GetService\",code=\"DEADLINE_EXCEEDED\"}";
    for base in &chain.bases {
        let told = async { while !rest_get(base, "/metrics", "").await.contains(series) {} };
        tokio::time::timeout(Duration::from_secs(5), told).await.expect("each hop says why");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_work_at_each_hop() {
    let chain = Chain::start(End::Sleeps).await;
    let plain = Plain::connect(&chain.bases[0]).await;
    let mut at_work = chain.at_work.clone();
    let mut client = MonitoringServiceClient::new(plain);
    let call = task::spawn("call", async move { client.get_service(get("x")).await });
    let begun = at_work.wait_for(|count| *count == 1);
    tokio::time::timeout(Duration::from_secs(5), begun).await.expect("the end is reached").unwrap();
    // The client goes away with its call; nobody set a deadline.
    call.abort();
    let ended = at_work.wait_for(|count| *count == 0);
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the end is told").unwrap();
    for base in &chain.bases {
        let gone = async { while !rest_get(base, "/metrics", "").await.contains("in_flight 0") {} };
        tokio::time::timeout(Duration::from_secs(5), gone).await.expect("each hop is told");
    }
}

#[tokio::test]
async fn a_rest_caller_says_how_long_it_waits() {
    let chain = Chain::start(End::Sleeps).await;
    let check = async |headers: &str, expected: &str, code: &str| {
        let path = "/api/v1/monitoring/services/x";
        let answer = rest_get(&chain.bases[0], path, headers).await;
        assert!(answer.starts_with(expected) && answer.contains(code), "{headers} {answer}");
    };
    check("x-request-timeout: 100ms\r\n", "HTTP/1.1 504", "DEADLINE_EXCEEDED").await;
    check("x-request-timeout: 0.1\r\n", "HTTP/1.1 504", "DEADLINE_EXCEEDED").await;
    check("x-request-timeout: soon\r\n", "HTTP/1.1 400", "X-Request-Timeout").await;
    check("x-request-timeout: 1\r\nx-request-timeout: 2\r\n", "HTTP/1.1 400", "X-Req").await;
    // What was refused never came to anybody.
    assert_eq!(chain.calls(), [2, 2, 2]);
    let mut at_work = chain.at_work.clone();
    let ended = at_work.wait_for(|count| *count == 0);
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the end is told").unwrap();
}

#[tokio::test]
async fn calls_that_are_cancelled_leave_nothing_behind() {
    const CALLS: usize = 1_000;
    const AT_ONCE: usize = 100;
    let chain = Chain::start(End::Sleeps).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut at_work = chain.at_work.clone();
    let mut before = 0;
    let channel = chain.harness.channel("agents");
    for round in 0..CALLS / AT_ONCE {
        let call = |_| {
            let mut client = client(channel.clone());
            task::spawn("call", async move { client.get_service(get("x")).await })
        };
        let calls: Vec<_> = (0..AT_ONCE).map(call).collect();
        // Cancelled wherever they are: some at the end, some on the way there.
        let begun = at_work.wait_for(|count| *count >= AT_ONCE / 4);
        tokio::time::timeout(Duration::from_secs(10), begun).await.expect("some arrive").unwrap();
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        let ended = at_work.wait_for(|count| *count == 0);
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("all end").unwrap();
        for base in &chain.bases {
            let gone =
                async { while !rest_get(base, "/metrics", "").await.contains("in_flight 0") {} };
            tokio::time::timeout(Duration::from_secs(10), gone).await.expect("each hop is told");
        }
        if round == 0 {
            before = tasks();
        }
    }
    // The first round made the connections; a scrape may just be ending.
    let back = async {
        while tasks() > before + 8 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("no task is left");
    let figures = rest_get(&chain.bases[0], "/metrics", "").await;
    assert!(figures.contains("rpc_client_queue_depth{peer=\"models\"} 0"), "{figures}");
}

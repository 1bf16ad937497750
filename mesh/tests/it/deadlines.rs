//! Deadlines shrink hop by hop, bound whole bodies, and end as DEADLINE_EXCEEDED.

use std::time::Duration;

use lightning_mesh::identity::Caller;
use tokio::time::Instant;
use tonic::{Code, Request};

use crate::support::{Plain, client, echo, get, reason};
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

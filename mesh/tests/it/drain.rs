//! Shutting down: what is under way may finish, what does not finish is cut.

use std::time::Duration;

use lightning_mesh::{serve::Drained, testing::Harness};
use lightning_proto::monitoring::v1::{
    WatchServicesRequest, monitoring_service_client::MonitoringServiceClient,
};
use tokio::time::Instant;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{Plain, echo, get, start};

#[tokio::test]
async fn an_idle_service_drains_at_once() {
    let harness = echo().await;
    let mut client =
        MonitoringServiceClient::new(Plain::connect(&harness.rest("monitoring")).await);
    client.get_service(get("x")).await.unwrap();
    let started = Instant::now();
    assert_eq!(harness.stop().await, [Drained::Clean]);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn an_open_stream_is_cut_after_the_bound() {
    let builder = Harness::builder(&["monitoring"])
        .mesh(|mesh| mesh.serve.drain_timeout = Duration::from_millis(200));
    let harness = start(builder).await;
    let mut client =
        MonitoringServiceClient::new(Plain::connect(&harness.rest("monitoring")).await);
    let mut stream = client.watch_services(WatchServicesRequest {}).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let started = Instant::now();
    assert_eq!(harness.stop().await, [Drained::Cut(1)]);
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(stream.message().await.is_err());
}

#[tokio::test]
async fn watchers_of_health_hear_of_the_drain_and_do_not_delay_it() {
    let harness = echo().await;
    let mut health = HealthClient::new(Plain::connect(&harness.rest("monitoring")).await);
    let request = HealthCheckRequest { service: String::new() };
    let mut stream = health.watch(request).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, 1);
    let stopping = lightning_mesh::task::spawn("stop", harness.stop());
    let mut last = 1;
    while let Ok(Some(status)) = stream.message().await {
        last = status.status;
    }
    assert_eq!(last, 2);
    assert_eq!(stopping.await.unwrap(), [Drained::Clean]);
}

#[tokio::test]
async fn a_request_under_way_may_still_call_peers() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    let mut client = MonitoringServiceClient::new(Plain::connect(&base).await);
    let mut request = tonic::Request::new(get("relay:relay:slow"));
    request.set_timeout(Duration::from_millis(500));
    let call =
        lightning_mesh::task::spawn("call", async move { client.get_service(request).await });
    // The call is under way when it shows in the figures: once for each hop.
    while !crate::support::rest_get(&base, "/metrics", "").await.contains("in_flight 3") {}
    assert_eq!(harness.stop().await, [Drained::Clean]);
    // Had the pipe closed first, it would have been UNAVAILABLE.
    assert_eq!(call.await.unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded);
}

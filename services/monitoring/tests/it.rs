//! The dashboard over a real mesh: two services on free ports, one that is not there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lightning_mesh::{identity::Caller, testing::Harness};
use lightning_monitoring::Config;
use lightning_proto::monitoring::v1::{
    GetMeshHealthRequest, GetServiceRequest, ListSamplesRequest, ListServicesRequest,
    WatchServicesRequest, monitoring_service_client::MonitoringServiceClient, service::Health,
};
use tonic::Code;

type Client = MonitoringServiceClient<lightning_mesh::channel::Channel>;

async fn mesh() -> (Harness, Client) {
    let mut harness = Harness::new(&["monitoring"]);
    let context = harness.context("monitoring");
    let config = Config {
        interval: Duration::from_millis(100),
        services: vec!["monitoring".to_owned(), "agents".to_owned()],
        ..Config::default()
    };
    let store = lightning_store::Settings::default();
    let service = lightning_monitoring::open(config, &store, context.clone()).await.unwrap();
    harness.serve(service, &context).await.unwrap();
    let client = Client::new(harness.channel("monitoring"));
    (harness, client)
}

#[tokio::test]
async fn a_service_that_answers_serves_and_one_that_does_not_is_unreachable() {
    let (_harness, mut client) = mesh().await;
    let mut rounds = client.watch_services(WatchServicesRequest {}).await.unwrap().into_inner();
    let services = loop {
        let services = rounds.message().await.unwrap().unwrap().services;
        if services[0].health() == Health::Serving {
            break services;
        }
    };
    assert_eq!(services[0].version, env!("CARGO_PKG_VERSION"));
    assert!(services[0].sample.as_ref().unwrap().resident_memory_bytes > 0);
    assert_eq!(services[1].health(), Health::Unreachable);
    assert!(services[1].health_message.contains("agents"), "{}", services[1].health_message);
    let health = client.get_mesh_health(GetMeshHealthRequest {}).await.unwrap().into_inner();
    assert_eq!((health.healthy, health.failing), (false, vec!["agents".to_owned()]));
}

#[tokio::test]
async fn samples_are_paged_oldest_first() {
    let (_harness, mut client) = mesh().await;
    let mut rounds = client.watch_services(WatchServicesRequest {}).await.unwrap().into_inner();
    for _ in 0..4 {
        rounds.message().await.unwrap().unwrap();
    }
    let request = ListSamplesRequest {
        service_id: "monitoring".to_owned(),
        page_size: 2,
        ..ListSamplesRequest::default()
    };
    let first = client.list_samples(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.samples.len(), 2);
    let request = ListSamplesRequest { page_token: first.next_page_token, ..request };
    let second = client.list_samples(request.clone()).await.unwrap().into_inner();
    let time = |sample: &lightning_proto::monitoring::v1::Sample| {
        sample.time.map(|time| (time.seconds, time.nanos)).unwrap()
    };
    assert!(time(&first.samples[1]) < time(&second.samples[0]));
    let foreign = ListSamplesRequest { service_id: "agents".to_owned(), ..request };
    assert_eq!(client.list_samples(foreign).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_unknown_service_is_not_found() {
    let (_harness, mut client) = mesh().await;
    let unknown = client.get_service(GetServiceRequest { id: "nothing".to_owned() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let listed = client.list_services(ListServicesRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.services.len(), 2);
}

#[tokio::test]
async fn the_mesh_is_shown_to_the_operators_organization_alone() {
    let (harness, _) = mesh().await;
    let tenant = Caller::new("user:o", "otto", ["*"]).member_of("other");
    let mut client = MonitoringServiceClient::new(harness.channel_as("monitoring", tenant));
    let denied = [
        client.list_services(ListServicesRequest::default()).await.err(),
        client.get_mesh_health(GetMeshHealthRequest {}).await.err(),
        client.watch_services(WatchServicesRequest {}).await.err(),
        client.list_samples(ListSamplesRequest::default()).await.err(),
        client.get_service(GetServiceRequest { id: "monitoring".to_owned() }).await.err(),
    ];
    for status in denied {
        assert_eq!(status.expect("a refusal").code(), Code::PermissionDenied);
    }
}

//! The edge in front of a mesh of two: REST, gRPC, pages, figures, and who is calling.

use std::time::Duration;

use lightning_mesh::{identity::Caller, testing::Harness};
use lightning_proto::{
    monitoring::v1::{GetMeshHealthRequest, monitoring_service_client::MonitoringServiceClient},
    telemetry::v1::{GetMetricsRequest, metrics_service_client::MetricsServiceClient},
};
use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::Value;
use tonic::Code;

async fn mesh() -> (Harness, Client) {
    let mut harness = Harness::new(&["gateway", "monitoring"]);
    let store = lightning_store::Settings::default();
    let context = harness.context("monitoring");
    let config = lightning_monitoring::Config {
        interval: Duration::from_millis(100),
        services: vec!["monitoring".to_owned()],
        ..lightning_monitoring::Config::default()
    };
    let service = lightning_monitoring::open(config, &store, context.clone()).await.unwrap();
    harness.serve(service, &context).await.unwrap();
    let context = harness.context("gateway");
    let config = lightning_gateway::Config::default();
    let service = lightning_gateway::open(config, &store, context.clone()).await.unwrap();
    harness.serve(service, &context).await.unwrap();
    let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    (harness, client)
}

async fn get(harness: &Harness, client: &Client, path: &str) -> (StatusCode, String) {
    let response = client.get(format!("{}{path}", harness.rest("gateway"))).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn rest_reaches_the_service_that_owns_the_route() {
    let (harness, client) = mesh().await;
    let (status, body) = get(&harness, &client, "/api/v1/monitoring/health").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["service_count"], 1);
    let (status, body) = get(&harness, &client, "/api/v1/nothing").await;
    assert_eq!(status, 404);
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(error["error"]["status"], "NOT_FOUND");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unavailable_and_named() {
    let (harness, client) = mesh().await;
    let (status, body) = get(&harness, &client, "/api/v1/agents").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("agents") && body.contains("PEER_UNAVAILABLE"), "{body}");
}

#[tokio::test]
async fn grpc_passes_with_the_rights_of_its_caller() {
    let (harness, _) = mesh().await;
    let mut admin = MonitoringServiceClient::new(harness.channel("gateway"));
    let health = admin.get_mesh_health(GetMeshHealthRequest {}).await.unwrap().into_inner();
    assert_eq!(health.service_count, 1);
    let nobody = Caller::new("user:1", "nobody", ["agents.read"]);
    let mut nobody = MonitoringServiceClient::new(harness.channel_as("gateway", nobody));
    let refused = nobody.get_mesh_health(GetMeshHealthRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn figures_are_the_gateways_own_over_grpc() {
    let (harness, client) = mesh().await;
    let mut figures = MetricsServiceClient::new(harness.channel("gateway"));
    let own = figures.get_metrics(GetMetricsRequest {}).await.unwrap().into_inner();
    assert_eq!(own.service, "gateway");
    // Over REST they are the workflow engine's, which is not there.
    let (status, body) = get(&harness, &client, "/api/v1/metrics").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("workflows"), "{body}");
}

#[tokio::test]
async fn pages_and_documents_are_served_at_the_edge() {
    let (harness, client) = mesh().await;
    for (path, word) in
        [("/docs", "openapi.json"), ("/dashboard", "Agent Lightning"), ("/openapi.json", "3.1.0")]
    {
        let (status, body) = get(&harness, &client, path).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.contains(word), "{path}");
    }
    let (status, _) = get(&harness, &client, "/").await;
    assert_eq!(status, 307, "the root leads to the dashboard");
}

#[tokio::test]
async fn internal_services_are_not_offered() {
    let (harness, client) = mesh().await;
    let mut access = lightning_proto::auth::v1::access_service_client::AccessServiceClient::new(
        harness.channel("gateway"),
    );
    let request = lightning_proto::auth::v1::VerifyApiKeyRequest { key: "lk_x".to_owned() };
    let refused = access.verify_api_key(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let (status, _) = get(&harness, &client, "/lightning.auth.v1.AccessService/VerifyApiKey").await;
    assert_eq!(status, 404);
}

//! One port, all tongues.

use base64::Engine as _;
use http_body_util::{BodyExt as _, Full};
use lightning_mesh::testing::Harness;
use lightning_proto::monitoring::v1::Service;
use tonic::{Code, body::Body};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};
use tower::Service as _;

use crate::support::{Plain, client, echo, get, rest_get};

const SERVICES: [&str; 5] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "lightning.monitoring.v1.MonitoringService",
    "lightning.telemetry.v1.MetricsService",
];

#[tokio::test]
async fn rest_reaches_the_same_code() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    let answer = rest_get(&base, "/api/v1/monitoring/services/who", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""id":"local""#), "{answer}");
    let answer = rest_get(&base, "/api/v1/monitoring/services/missing", "").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains(r#""error""#), "{answer}");
    let answer = rest_get(&base, "/nowhere", "").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains(r#""error""#), "{answer}");
}

#[tokio::test]
async fn health_is_told_in_both_tongues() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    let answer = rest_get(&base, "/health", "").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""status":"ok""#), "{answer}");
    let mut health = HealthClient::new(Plain::connect(&base).await);
    for service in ["", "lightning.monitoring.v1.MonitoringService"] {
        let request = HealthCheckRequest { service: service.into() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "{service}");
    }
    let request = HealthCheckRequest { service: "nobody".into() };
    assert_eq!(health.check(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_service_that_is_not_ready_says_so() {
    let mut harness = Harness::new(&["models"]);
    let context = harness.context("models");
    let (ready, receiver) = tokio::sync::watch::channel(false);
    harness.serve(lightning_mesh::Service::new("models").health(receiver), &context).await.unwrap();
    let base = harness.rest("models");
    let answer = rest_get(&base, "/health", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("unavailable"), "{answer}");
    let mut health = HealthClient::new(Plain::connect(&base).await);
    let request = HealthCheckRequest { service: String::new() };
    let mut stream = health.watch(request).await.unwrap().into_inner();
    ready.send(true).unwrap();
    while stream.message().await.unwrap().unwrap().status != 1 {}
    assert!(rest_get(&base, "/health", "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn figures_are_prometheus_text_and_json() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    client(harness.channel("monitoring")).get_service(get("x")).await.unwrap();
    client(harness.channel("monitoring")).get_service(get("panic")).await.unwrap_err();
    let method = "lightning.monitoring.v1.MonitoringService/GetService";
    let text = rest_get(&base, "/metrics", "").await;
    let line = format!(
        "rpc_server_requests_total{{service=\"monitoring\",method=\"{method}\",code=\"OK\"}} 1"
    );
    assert!(text.contains(&line), "{text}");
    assert!(text.contains("code=\"INTERNAL\"} 1"), "{text}");
    assert!(text.contains("process_resident_memory_bytes"), "{text}");
    let answer = rest_get(&base, "/api/v1/metrics", "").await;
    let json: serde_json::Value =
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(json["service"], "monitoring");
    assert_eq!(json["figures"]["answers"], 42);
    assert_eq!(json["methods"][0]["codes"]["OK"], 1);
    assert_eq!((&json["error_count"], &json["request_count"]), (&1.into(), &2.into()));
}

#[tokio::test]
async fn a_declared_prefix_is_plain_http() {
    let harness = echo().await;
    let answer = rest_get(&harness.rest("monitoring"), "/dashboard", "").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("a page"), "{answer}");
    let answer = rest_get(&harness.rest("monitoring"), "/dashboard/who", "").await;
    assert!(answer.ends_with("local"), "{answer}");
    let wrong = "authorization: Bearer x\r\n";
    let answer = rest_get(&harness.rest("monitoring"), "/dashboard/who", wrong).await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.ends_with("TOKEN_INVALID"), "{answer}");
    let mut other = Harness::new(&["agents"]);
    let context = other.context("agents");
    let service = lightning_mesh::Service::new("agents").http("/page", axum::Router::new());
    let error = other.serve(service, &context).await.unwrap_err();
    assert!(error.to_string().contains("http_prefix"), "{error}");
}

#[tokio::test]
async fn reflection_lists_the_services_of_the_port_in_v1() {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let harness = echo().await;
    let mut client = ServerReflectionClient::new(Plain::connect(&harness.rest("monitoring")).await);
    let ask =
        |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let requests = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(
            "lightning.monitoring.v1.MonitoringService".into(),
        )),
    ]);
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    let list = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = list else { panic!("{list:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(names, SERVICES);
    let file = answers.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)), "{file:?}");
}

#[tokio::test]
async fn reflection_lists_the_services_of_the_port_in_v1alpha() {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let harness = echo().await;
    let mut client = ServerReflectionClient::new(Plain::connect(&harness.rest("monitoring")).await);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let requests =
        tokio_stream::iter([ServerReflectionRequest { host: String::new(), message_request }]);
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    let list = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = list else { panic!("{list:?}") };
    assert_eq!(list.service.len(), SERVICES.len());
}

fn framed(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

#[tokio::test]
async fn grpc_web_works_over_http_1() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    let body = base64::engine::general_purpose::STANDARD.encode(framed(&get("who")));
    let path = "/lightning.monitoring.v1.MonitoringService/GetService";
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: \
         application/grpc-web-text\r\naccept: application/grpc-web-text\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = crate::support::http1(&base, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("application/grpc-web-text"), "{answer}");
    let expected = Service { id: "local".into(), version: "*".into(), ..Default::default() };
    let expected = framed(&expected);
    // Only the first frame is compared: a multiple of three bytes is encoded by itself.
    let start = &expected[..expected.len() / 3 * 3];
    let start = base64::engine::general_purpose::STANDARD.encode(start);
    assert!(answer.contains(&start), "{answer}");
}

#[tokio::test]
async fn odd_requests_get_the_answer_that_grpc_wants() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    let mut plain = Plain::connect(&base).await;
    let mut post = async |path: &str, kind: &str| {
        let uri = format!("{base}{path}");
        let request = http::Request::post(uri).header("content-type", kind);
        let request = request.body(Body::new(Full::from(framed(&get("x"))))).unwrap();
        let response = plain.call(request).await.unwrap();
        let status = response.headers().get("grpc-status").cloned();
        let http = response.status().as_u16();
        let trailers = response.into_body().collect().await.unwrap().trailers().cloned();
        let status = status.or_else(|| trailers?.get("grpc-status").cloned());
        (http, status.map(|status| status.to_str().unwrap().to_owned()))
    };
    let known = "/lightning.monitoring.v1.MonitoringService/GetService";
    assert_eq!(post(known, "application/grpc").await, (200, Some("0".into())));
    assert_eq!(post(known, "application/grpc+proto").await, (200, Some("0".into())));
    assert_eq!(post(known, "application/json").await, (415, None));
    for path in [
        "/lightning.monitoring.v1.MonitoringService/Nothing",
        "/lightning.nobody.v1.NobodyService/Get",
        "//lightning.monitoring.v1.MonitoringService/GetService",
        "/lightning.monitoring.v1.MonitoringService//GetService",
        "/lightning.monitoring.v1.MonitoringService%2FGetService",
        "/lightning.monitoring.v1.monitoringservice/GetService",
        "/lightning.agents.v1.AgentService/ListAgents",
    ] {
        assert_eq!(post(path, "application/grpc").await, (200, Some("12".into())), "{path}");
    }
}

#[tokio::test]
async fn a_rest_call_has_a_deadline_and_is_counted_by_its_method() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    let path = "/api/v1/monitoring/services/";
    let answer = rest_get(&base, &format!("{path}left"), "x-request-timeout: 5\r\n").await;
    assert!(answer.contains(r#""id":"49"#) || answer.contains(r#""id":"5000"#), "{answer}");
    let answer = rest_get(&base, &format!("{path}slow"), "x-request-timeout: 50ms\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    let answer = rest_get(&base, &format!("{path}x"), "authorization: Bearer x\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let text = rest_get(&base, "/metrics", "").await;
    let method = "lightning.monitoring.v1.MonitoringService/GetService";
    for code in ["OK", "DEADLINE_EXCEEDED", "UNAUTHENTICATED"] {
        let line = format!("method=\"{method}\",code=\"{code}\"}} 1");
        assert!(text.contains(&line), "{code}: {text}");
    }
}

//! What stands around every request at the edge, over real sockets: limits, other sites, compression,
//! ids, headers.

use std::io::{Read as _, Write as _};

use lightning_gateway::{By, Config, Rule};
use lightning_mesh::{clock::Clock, testing::Harness};
use lightning_proto::monitoring::v1::{
    GetMeshHealthRequest, monitoring_service_client::MonitoringServiceClient,
};
use reqwest::{Client, Method, Response, StatusCode, redirect::Policy};
use serde_json::Value;
use tonic::Code;

use crate::raw::{Plain, http1};

const HEALTH: &str = "/api/v1/monitoring/health";

/// A mesh whose gateway was told something.
pub(crate) async fn mesh(change: impl FnOnce(&mut Config)) -> (Harness, Client) {
    let mut harness = Harness::builder(&["gateway", "monitoring"]).clock(Clock::system()).start();
    let store = lightning_store::Settings::default();
    let context = harness.context("monitoring");
    let config = lightning_monitoring::Config {
        services: vec!["monitoring".to_owned()],
        ..lightning_monitoring::Config::default()
    };
    let service = lightning_monitoring::open(config, &store, context.clone()).await.unwrap();
    harness.serve(service, &context).await.unwrap();
    let context = harness.context("gateway");
    let mut config = Config::default();
    change(&mut config);
    let service = lightning_gateway::open(config, &store, context.clone()).await.unwrap();
    harness.serve(service, &context).await.unwrap();
    let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    (harness, client)
}

async fn send(
    (harness, client): &(Harness, Client),
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Response {
    let mut request = client.request(method, format!("{}{path}", harness.rest("gateway")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn get(mesh: &(Harness, Client), path: &str, headers: &[(&str, &str)]) -> Response {
    send(mesh, Method::GET, path, headers).await
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn two_an_hour(by: By) -> Rule {
    Rule {
        name: "few".to_owned(),
        methods: vec!["lightning.monitoring.v1.*".to_owned(), "/dashboard".to_owned()],
        by: vec![by],
        requests: 1,
        per: std::time::Duration::from_secs(3_600),
        burst: Some(2),
    }
}

#[tokio::test]
async fn a_limit_is_one_over_all_protocols_and_refuses_in_each() {
    let mesh = mesh(|config| config.limits = vec![two_an_hour(By::Address)]).await;
    let base = mesh.0.rest("gateway");
    let first = get(&mesh, HEALTH, &[]).await;
    assert_eq!(first.status(), 200);
    assert_eq!(header(&first, "ratelimit-policy"), "\"few\";q=1;w=3600");
    assert_eq!(header(&first, "ratelimit-remaining"), "1");
    let mut grpc = MonitoringServiceClient::new(Plain::connect(&base).await);
    let second = grpc.get_mesh_health(GetMeshHealthRequest {}).await.unwrap();
    assert_eq!(second.metadata().get("ratelimit-remaining").unwrap(), "0");

    let third = grpc.get_mesh_health(GetMeshHealthRequest {}).await.unwrap_err();
    assert_eq!(third.code(), Code::ResourceExhausted);
    assert_eq!(lightning_mesh::fault::error_info(&third).unwrap().reason, "LIMIT_EXCEEDED");
    let fourth = get(&mesh, HEALTH, &[]).await;
    assert_eq!(fourth.status(), 429);
    let wait: u64 = header(&fourth, "retry-after").parse().unwrap();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert_eq!(header(&fourth, "ratelimit-remaining"), "0");
    let body: Value = serde_json::from_str(&fourth.text().await.unwrap()).unwrap();
    let details = body["error"]["details"].as_array().unwrap();
    for kind in ["RetryInfo", "QuotaFailure", "ErrorInfo"] {
        let has = |detail: &Value| detail["@type"].as_str().unwrap().ends_with(kind);
        assert!(details.iter().any(has), "{kind}: {body}");
    }
    // gRPC-Web, over HTTP/1.
    let request = "POST /lightning.monitoring.v1.MonitoringService/GetMeshHealth HTTP/1.1\r\n\
        host: localhost\r\nconnection: close\r\ncontent-type: application/grpc-web+proto\r\n\
        content-length: 5\r\n\r\n\0\0\0\0\0";
    let web = http1(&base, request.as_bytes()).await;
    assert!(web.starts_with("HTTP/1.1 200") && web.contains("grpc-status: 8"), "{web}");
    let figures = get(&mesh, "/metrics", &[]).await.text().await.unwrap();
    assert!(figures.contains("gateway_rate_limited_total{rule=\"few\"} 3"), "{figures}");
    // A page below a prefix counts too, health never.
    assert_eq!(get(&mesh, "/dashboard", &[]).await.status(), 429);
    assert_eq!(get(&mesh, "/health", &[]).await.status(), 200);
}

#[tokio::test]
async fn a_header_does_not_make_another_client() {
    let mesh = mesh(|config| config.limits = vec![two_an_hour(By::Address)]).await;
    let from = |address| [("x-forwarded-for", address)];
    for (address, expected) in [("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.3", 429)] {
        assert_eq!(get(&mesh, HEALTH, &from(address)).await.status(), expected, "{address}");
    }
    let trusting = self::mesh(|config| {
        config.limits = vec![two_an_hour(By::Address)];
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    for (address, expected) in
        [("192.0.2.1", 200), ("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.1", 429)]
    {
        assert_eq!(get(&trusting, HEALTH, &from(address)).await.status(), expected, "{address}");
    }
}

#[tokio::test]
async fn failing_to_prove_who_one_is_counts_too() {
    let mesh = mesh(|config| config.limits = vec![two_an_hour(By::Address)]).await;
    let wrong = [("authorization", "Bearer wrong")];
    for expected in [401, 401, 429] {
        assert_eq!(get(&mesh, HEALTH, &wrong).await.status(), expected);
    }
}

#[tokio::test]
async fn by_default_only_signing_in_is_limited() {
    let mesh = mesh(|_| {}).await;
    for _ in 0..300 {
        assert_eq!(get(&mesh, HEALTH, &[]).await.status(), 200);
    }
    let login = async || {
        let url = format!("{}/api/v1/auth/login", mesh.0.rest("gateway"));
        let request = mesh.1.post(url).header("content-type", "application/json");
        let body = r#"{"username":"u","password":"p"}"#;
        request.body(body).send().await.unwrap().status()
    };
    let mut refused = 0;
    for _ in 0..100 {
        refused += u32::from(login().await == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 20, "{refused}");
}

#[tokio::test]
async fn other_sites_may_call_only_when_they_are_named() {
    let site = [("origin", "http://app.localhost:3000")];
    let quiet = mesh(|_| {}).await;
    let answer = get(&quiet, HEALTH, &site).await;
    assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("access-control")));

    let named = mesh(|config| {
        config.cors.origins =
            ["http://app.localhost:3000", "https://app.example.com"].map(Into::into).to_vec();
        config.cors.credentials = true;
    })
    .await;
    let answer = get(&named, HEALTH, &site).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "access-control-allow-origin"), site[0].1);
    assert_eq!(header(&answer, "access-control-allow-credentials"), "true");
    assert!(answer.headers().get_all("vary").iter().any(|vary| vary == "origin"));
    let answer = get(&named, HEALTH, &[("origin", "http://evil.localhost")]).await;
    assert_eq!(header(&answer, "access-control-allow-origin"), "");
    // Errors can be read too, and a site that is named is still not loopback.
    let answer = get(&named, HEALTH, &[("origin", "https://app.example.com")]).await;
    assert_eq!(answer.status(), 403, "open mode answers loopback origins only");
    assert_eq!(header(&answer, "access-control-allow-origin"), "https://app.example.com");

    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        send(&named, Method::OPTIONS, "/api/v1/agents", &headers).await
    };
    let answer = preflight("https://app.example.com").await;
    assert_eq!(answer.status(), 204);
    assert_eq!(header(&answer, "access-control-allow-headers"), "authorization,content-type");
    let answer = preflight("https://evil.example").await;
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "access-control-allow-methods")),
        (204, "")
    );
    assert!(header(&answer, "allow").contains("POST"));
}

#[tokio::test]
async fn a_configuration_that_is_not_safe_does_not_start() {
    let harness = Harness::new(&["gateway"]);
    let store = lightning_store::Settings::default();
    let open = async |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        let opened = lightning_gateway::open(config, &store, harness.context("gateway")).await;
        opened.err().unwrap().to_string()
    };
    let error = open(|config| {
        config.cors.origins = vec!["*".to_owned()];
        config.cors.credentials = true;
    });
    assert!(error.await.contains("[gateway.cors]"));
    assert!(open(|config| config.limits[0].requests = 0).await.contains("\"sign-in\""));
    assert!(open(|config| config.concurrency.min = 0).await.contains("[gateway.concurrency]"));
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let mesh = mesh(|_| {}).await;
    let plain = get(&mesh, "/openapi.json", &[]).await;
    assert_eq!(header(&plain, "content-encoding"), "");
    assert!(plain.headers().get_all("vary").iter().any(|vary| vary == "accept-encoding"));
    let plain = plain.bytes().await.unwrap();
    let packed = get(&mesh, "/openapi.json", &[("accept-encoding", "gzip")]).await;
    assert_eq!(header(&packed, "content-encoding"), "gzip");
    let packed = packed.bytes().await.unwrap();
    assert!(packed.len() * 4 < plain.len(), "{} of {}", packed.len(), plain.len());
    let mut whole = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut whole).unwrap();
    assert_eq!(whole, plain);
    let head = send(&mesh, Method::HEAD, "/openapi.json", &[("accept-encoding", "gzip")]).await;
    assert_eq!(head.status(), 200);
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

#[tokio::test]
async fn compressed_requests_are_read_and_bombs_are_not() {
    let mesh = mesh(|_| {}).await;
    let post = async |body: Vec<u8>, encoding: &str| {
        let url = format!("{}/api/v1/agents", mesh.0.rest("gateway"));
        let request = mesh.1.post(url).header("content-type", "application/json");
        request.header("content-encoding", encoding).body(body).send().await.unwrap()
    };
    // The agents service is not there: to be told so, the body must have been understood.
    let understood = post(gzip(br#"{"name":"a","agent_type":"custom"}"#), "gzip").await;
    assert_eq!(understood.status(), 503, "{}", understood.text().await.unwrap());
    let wrong = post(gzip(br#"{"nothing":1}"#), "gzip").await;
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().await.unwrap().contains("nothing"));
    let damaged = post(b"not gzip".to_vec(), "gzip").await;
    assert_eq!(damaged.status(), 400);
    let unknown = post(b"x".to_vec(), "deflate").await;
    assert_eq!(unknown.status(), 415);
    assert_eq!(header(&unknown, "accept-encoding"), "gzip, br, zstd");
    let bomb = post(gzip(&vec![b' '; 8 << 20]), "gzip").await;
    assert_eq!(bomb.status(), 413);
    let nested = post(gzip(&gzip(b"{}")), "gzip, gzip").await;
    assert_eq!(nested.status(), 415);
}

#[tokio::test]
async fn a_request_keeps_its_id_or_gets_one() {
    let mesh = mesh(|_| {}).await;
    let answer = get(&mesh, HEALTH, &[("x-request-id", "order-7:3")]).await;
    assert_eq!(header(&answer, "x-request-id"), "order-7:3");
    for odd in ["a b", "", "x\"y", &"a".repeat(129)] {
        let answer = get(&mesh, HEALTH, &[("x-request-id", odd)]).await;
        assert_eq!(header(&answer, "x-request-id").len(), 36, "{odd:?}");
    }
    let failed = get(&mesh, "/nothing", &[]).await;
    assert_eq!((failed.status().as_u16(), header(&failed, "x-request-id").len()), (404, 36));
}

#[tokio::test]
async fn browsers_are_told_what_not_to_do() {
    let mesh = mesh(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    for path in [HEALTH, "/dashboard", "/docs", "/openapi.json", "/nothing"] {
        let answer = get(&mesh, path, &[]).await;
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&answer, "x-frame-options"), "DENY", "{path}");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer", "{path}");
        assert!(
            header(&answer, "content-security-policy").contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(header(&answer, "strict-transport-security"), "", "{path}");
    }
    let answer = get(&mesh, HEALTH, &[("x-forwarded-proto", "https")]).await;
    assert_eq!(header(&answer, "strict-transport-security"), "max-age=31536000");
}

#[tokio::test]
async fn every_path_answers_head_and_options() {
    let mesh = mesh(|_| {}).await;
    for path in [HEALTH, "/health", "/metrics", "/docs", "/openapi.json", "/dashboard"] {
        let whole = get(&mesh, path, &[]).await;
        let head = send(&mesh, Method::HEAD, path, &[]).await;
        assert_eq!(head.status(), whole.status(), "{path}");
        assert_eq!(header(&head, "content-type"), header(&whole, "content-type"), "{path}");
        assert_eq!(head.text().await.unwrap(), "", "{path}");
        let options = send(&mesh, Method::OPTIONS, path, &[]).await;
        assert_eq!(options.status(), 204, "{path}");
        assert!(header(&options, "allow").contains("GET"), "{path}: {}", header(&options, "allow"));
    }
    assert_eq!(send(&mesh, Method::DELETE, "/health", &[]).await.status(), 405);
}

#[tokio::test]
async fn a_page_whose_service_is_gone_is_an_error_in_the_shape_of_all() {
    let mut harness = Harness::new(&["gateway"]);
    let store = lightning_store::Settings::default();
    let context = harness.context("gateway");
    let opened = lightning_gateway::open(Config::default(), &store, context.clone()).await;
    harness.serve(opened.unwrap(), &context).await.unwrap();
    let mesh = (harness, Client::builder().no_proxy().build().unwrap());
    let answer = get(&mesh, "/dashboard", &[]).await;
    assert_eq!(answer.status(), 503);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["status"], "UNAVAILABLE");
    assert!(body["error"]["message"].as_str().unwrap().contains("monitoring"), "{body}");
}

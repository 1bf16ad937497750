//! Callbacks: who may ask for them, where they go, and what may be repeated.

use lightning_mesh::{channel::Channel, identity::Caller};
use lightning_proto::{
    google::api::HttpBody,
    integrations::v1::{
        CheckCallbackRequest, DeliverCallbackRequest,
        callback_service_client::CallbackServiceClient,
    },
};
use serde_json::{Value, json};
use tonic::Code;

use super::{
    support::{Mesh, config, refused},
    upstream::Upstream,
};

fn client(mesh: &Mesh, caller: Caller) -> CallbackServiceClient<Channel> {
    CallbackServiceClient::new(mesh.harness.channel_as("integrations", caller))
}

fn deliver(url: String) -> DeliverCallbackRequest {
    let body = HttpBody {
        content_type: "application/json".to_owned(),
        data: b"{\"a\":1}".to_vec().into(),
        ..Default::default()
    };
    DeliverCallbackRequest { url, body: Some(body), idempotency_key: "k-1".to_owned() }
}

#[tokio::test]
async fn a_callback_is_posted_once_with_its_key() {
    let upstream = Upstream::start().await;
    let mesh = Mesh::start(config(&[&upstream.allowed()])).await;
    let mut callbacks = client(&mesh, Caller::service("workflows"));
    let answer =
        callbacks.deliver_callback(deliver(upstream.url("/hook"))).await.unwrap().into_inner();
    assert_eq!(answer.http_status, 200);
    let seen = &upstream.seen()[0];
    assert_eq!((seen.method.as_str(), seen.body.as_str()), ("POST", "{\"a\":1}"));
    assert_eq!(
        (seen.headers["idempotency-key"].as_str(), seen.headers["content-type"].as_str()),
        ("k-1", "application/json")
    );
    for (status, code, reason) in [
        (400, Code::FailedPrecondition, "UPSTREAM_REJECTED"),
        (410, Code::FailedPrecondition, "UPSTREAM_REJECTED"),
        (429, Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
        (500, Code::Unavailable, "UPSTREAM_REJECTED"),
        (503, Code::Unavailable, "UPSTREAM_REJECTED"),
    ] {
        upstream.script("/hook", vec![(status, Value::Null)]);
        refused(callbacks.deliver_callback(deliver(upstream.url("/hook"))).await, code, reason);
    }
    let redirect = callbacks.deliver_callback(deliver(upstream.url("/redirect/307?/hook"))).await;
    refused(redirect, Code::FailedPrecondition, "UPSTREAM_REJECTED");
    assert_eq!(upstream.calls("/hook"), 6);
}

#[tokio::test]
async fn trouble_that_may_pass_is_unavailable_and_a_private_address_is_refused() {
    let upstream = Upstream::start().await;
    let mut settings = config(&[&upstream.allowed(), "127.0.0.1:1"]);
    settings.timeout = std::time::Duration::from_millis(200);
    let mesh = Mesh::start(settings).await;
    let mut callbacks = client(&mesh, Caller::service("workflows"));
    let mut check = async |url: String, code, reason: &str| {
        refused(callbacks.deliver_callback(deliver(url)).await, code, reason);
    };
    check(upstream.url("/slow"), Code::Unavailable, "UPSTREAM_UNAVAILABLE").await;
    check("http://127.0.0.1:1/".to_owned(), Code::Unavailable, "UPSTREAM_UNAVAILABLE").await;
    check("http://127.0.0.1:2/".to_owned(), Code::FailedPrecondition, "TARGET_REFUSED").await;
    check("nonsense".to_owned(), Code::InvalidArgument, "PAYLOAD_INVALID").await;
    let mut ask = async |url: String| callbacks.check_callback(CheckCallbackRequest { url }).await;
    assert!(ask(upstream.url("/")).await.is_ok());
    refused(
        ask("http://localhost:2/".to_owned()).await,
        Code::FailedPrecondition,
        "TARGET_REFUSED",
    );
    refused(
        ask("gopher://example.com/".to_owned()).await,
        Code::FailedPrecondition,
        "TARGET_REFUSED",
    );
    assert_eq!(json!(upstream.calls("/")), json!(0));
}

#[tokio::test]
async fn only_services_may_ask_for_callbacks() {
    let mesh = Mesh::start(config(&[])).await;
    // From outside of the mesh, which gRPC-Web over HTTP/1 is the shortest way to: an empty message.
    let url = format!(
        "{}/lightning.integrations.v1.CallbackService/CheckCallback",
        mesh.harness.rest("integrations")
    );
    let request =
        reqwest::Client::new().post(url).header("content-type", "application/grpc-web+proto");
    let response = request.body(vec![0; 5]).send().await.unwrap();
    let code =
        response.headers().get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
    let code = Code::from(code.unwrap_or(0_i32));
    assert!(matches!(code, Code::PermissionDenied | Code::Unauthenticated), "{code:?}");
}

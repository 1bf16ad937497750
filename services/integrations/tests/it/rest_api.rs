//! `rest_api` against a real server, and the guard around it.

use lightning_proto::integrations::v1::{ExecuteActionRequest, TestIntegrationRequest};
use serde_json::{Value, json};
use tonic::Code;

use super::{
    support::{Mesh, config, failure, refused},
    upstream::Upstream,
};

async fn mesh() -> (Mesh, Upstream) {
    let upstream = Upstream::start().await;
    (Mesh::start(config(&[&upstream.allowed()])).await, upstream)
}

async fn plain(mesh: &Mesh, upstream: &Upstream) -> String {
    mesh.create("rest_api", json!({"base_url": upstream.url(""), "timeout": "300ms"}), json!({}))
        .await
}

#[tokio::test]
async fn a_request_arrives_with_everything_and_its_answer_comes_back() {
    let (mesh, upstream) = mesh().await;
    let settings = json!({"base_url": upstream.url("/v1"), "headers": {"x-team": "a"}, "auth": {"type": "bearer"}});
    let id = mesh.create("rest_api", settings, json!({"token": "canary-token"})).await;
    let payload = json!({
        "method": "POST", "path": "/users?active=1", "query": {"tag": ["x y", 2]},
        "headers": {"x-trace": "t"}, "body": {"n": 1},
    });
    let request = ExecuteActionRequest {
        integration_id: id.clone(),
        action: "request".to_owned(),
        payload: Some(lightning_mesh::json::to_struct(payload)),
        idempotency_key: "key-1".to_owned(),
    };
    let response = mesh.integrations().execute_action(request).await.unwrap().into_inner();
    assert_eq!(
        (response.integration_id.as_str(), response.action.as_str()),
        (id.as_str(), "request")
    );
    assert!(response.latency.is_some());
    let result = lightning_mesh::json::from_value(&response.result.unwrap());
    assert_eq!((&result["status"], &result["body_encoding"]), (&json!(200), &json!("json")));
    let echoed = &result["body"];
    assert_eq!((&echoed["method"], &echoed["path"]), (&json!("POST"), &json!("/v1/users")));
    assert_eq!(
        (&echoed["query"], &echoed["body"]),
        (&json!("active=1&tag=x+y&tag=2"), &json!("{\"n\":1}"))
    );
    for (name, value) in [
        ("authorization", "Bearer canary-token"),
        ("x-team", "a"),
        ("x-trace", "t"),
        ("content-type", "application/json"),
        ("idempotency-key", "key-1"),
    ] {
        assert_eq!(echoed["headers"][name], json!(value), "{name}");
    }
    let bytes = mesh.execute(&id, "request", json!({"path": "../bytes"})).await;
    refused(bytes, Code::InvalidArgument, "PAYLOAD_INVALID");
    let id = plain(&mesh, &upstream).await;
    let bytes = mesh.execute(&id, "request", json!({"path": "bytes"})).await.unwrap();
    assert_eq!((&bytes["body"], &bytes["body_encoding"]), (&json!("/wA="), &json!("base64")));
}

#[tokio::test]
async fn each_way_of_proving_oneself_sends_its_header() {
    let (mesh, upstream) = mesh().await;
    let check = async |auth: Value, credentials: Value, name: &str, value: &str| {
        let id = mesh
            .create("rest_api", json!({"base_url": upstream.url(""), "auth": auth}), credentials)
            .await;
        let result = mesh.execute(&id, "request", json!({})).await.unwrap();
        assert_eq!(result["body"]["headers"][name], json!(value));
        let own = mesh.execute(&id, "request", json!({"headers": {name: "mine"}})).await;
        refused(own, Code::InvalidArgument, "PAYLOAD_INVALID");
    };
    check(
        json!({"type": "basic"}),
        json!({"username": "u", "password": "p"}),
        "authorization",
        "Basic dTpw",
    )
    .await;
    check(json!({"type": "api_key"}), json!({"api_key": "k"}), "x-api-key", "k").await;
    check(json!({"type": "api_key", "header": "X-Token"}), json!({"api_key": "k"}), "x-token", "k")
        .await;
}

#[tokio::test]
async fn a_refusal_says_what_the_other_side_did() {
    let (mesh, upstream) = mesh().await;
    let id = plain(&mesh, &upstream).await;
    for (status, code) in [(404, Code::FailedPrecondition), (500, Code::Unavailable)] {
        upstream.script("/s", vec![(status, json!({"why": "nope"}))]);
        let payload = json!({"method": "POST", "path": "s"});
        let found = refused(mesh.execute(&id, "request", payload).await, code, "UPSTREAM_REJECTED");
        assert_eq!(failure(&found).2["status"], json!(status.to_string()));
        assert!(found.message().contains("nope"), "{found:?}");
    }
    let any = mesh
        .execute(&id, "request", json!({"path": "s", "accept_any_status": true}))
        .await
        .unwrap();
    assert_eq!((&any["status"], &any["body"]), (&json!(500), &json!({"why": "nope"})));
    upstream.script("/s", vec![(429, Value::Null)]);
    let limited = mesh.execute(&id, "request", json!({"path": "s"})).await;
    refused(limited, Code::ResourceExhausted, "UPSTREAM_RATE_LIMITED");
    let slow = mesh.execute(&id, "request", json!({"path": "slow"})).await;
    refused(slow, Code::DeadlineExceeded, "UPSTREAM_TIMEOUT");
    let id = mesh.create("rest_api", json!({"base_url": upstream.url("")}), json!({})).await;
    let big = mesh.execute(&id, "request", json!({"path": "big"})).await;
    refused(big, Code::ResourceExhausted, "RESULT_TOO_LARGE");
}

#[tokio::test]
async fn only_what_may_be_repeated_is_repeated() {
    let (mesh, upstream) = mesh().await;
    let id = mesh.create("rest_api", json!({"base_url": upstream.url("")}), json!({})).await;
    let busy = || vec![(503, Value::Null), (200, json!({"ok": true}))];
    upstream.script("/get", busy());
    assert_eq!(
        mesh.execute(&id, "request", json!({"path": "get"})).await.unwrap()["status"],
        json!(200)
    );
    upstream.script("/post", busy());
    let post = mesh.execute(&id, "request", json!({"path": "post", "method": "POST"})).await;
    refused(post, Code::Unavailable, "UPSTREAM_REJECTED");
    upstream.script("/safe", busy());
    let payload = json!({"path": "safe", "method": "POST", "idempotent": true});
    assert_eq!(mesh.execute(&id, "request", payload).await.unwrap()["status"], json!(200));
    assert_eq!(
        (upstream.calls("/get"), upstream.calls("/post"), upstream.calls("/safe")),
        (2, 1, 2)
    );
}

#[tokio::test]
async fn a_redirect_is_judged_like_a_call_and_loses_the_credentials_on_the_way() {
    let (inside, open) = (Upstream::start().await, Upstream::start().await);
    let upstream = Upstream::start().await;
    let mesh = Mesh::start(config(&[&upstream.allowed(), &open.allowed()])).await;
    let settings = json!({"base_url": upstream.url(""), "auth": {"type": "api_key"}});
    let id = mesh.create("rest_api", settings, json!({"api_key": "canary"})).await;
    let follow = async |to: String| {
        mesh.execute(&id, "request", json!({"path": format!("redirect/302?{to}")})).await
    };
    for to in [
        inside.url("/"),
        format!("http://localhost:{}/", inside.port),
        format!("http://2130706433:{}/", inside.port),
        format!("http://[::ffff:127.0.0.1]:{}/", inside.port),
        "http://169.254.169.254/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://[::1]:1/".to_owned(),
    ] {
        refused(follow(to).await, Code::FailedPrecondition, "TARGET_REFUSED");
    }
    assert!(inside.seen().is_empty());
    let same = follow("/echo".to_owned()).await.unwrap();
    assert_eq!(same["body"]["headers"]["x-api-key"], json!("canary"));
    let other = follow(open.url("/echo")).await.unwrap();
    assert_eq!(other["body"]["headers"]["x-api-key"], Value::Null);
    assert_eq!(open.seen().len(), 1);
    let endless = follow("/redirect/302?/redirect/302".to_owned()).await;
    refused(endless, Code::FailedPrecondition, "UPSTREAM_REJECTED");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_before_it_is_called() {
    let upstream = Upstream::start().await;
    let mesh = Mesh::start(config(&["127.0.0.1:1"])).await;
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]"] {
        let base = format!("http://{host}:{}", upstream.port);
        let id = mesh.create("rest_api", json!({ "base_url": base }), json!({})).await;
        let found = mesh.execute(&id, "request", json!({})).await;
        let found = refused(found, Code::FailedPrecondition, "TARGET_REFUSED");
        assert!(found.message().contains("egress_allow"), "{found:?}");
        let test =
            mesh.integrations().test_integration(TestIntegrationRequest { id }).await.unwrap();
        let test = test.into_inner();
        assert!(!test.ok && test.message.contains("egress_allow"), "{test:?}");
    }
    assert!(upstream.seen().is_empty());
    let id = mesh.create("rest_api", json!({"base_url": "http://127.0.0.1:1"}), json!({})).await;
    let closed = mesh.execute(&id, "request", json!({"method": "POST"})).await;
    refused(closed, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
async fn a_test_tells_whether_the_api_lets_us_in() {
    let (mesh, upstream) = mesh().await;
    let check = async |settings: Value, expected: bool| {
        let id = mesh.create("rest_api", settings, json!({})).await;
        let test =
            mesh.integrations().test_integration(TestIntegrationRequest { id }).await.unwrap();
        assert_eq!(test.into_inner().ok, expected);
    };
    upstream.script("/closed", vec![(401, Value::Null)]);
    upstream.script("/none", vec![(404, Value::Null)]);
    check(json!({"base_url": upstream.url("")}), true).await;
    check(json!({"base_url": upstream.url("/closed")}), false).await;
    check(json!({"base_url": upstream.url("/none")}), true).await;
    check(json!({"base_url": upstream.url(""), "test_path": "none"}), false).await;
}

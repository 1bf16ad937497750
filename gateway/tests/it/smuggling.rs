//! Paths and headers that only look like those of a call.

use http_body_util::Full;
use lightning_proto::agents::v1::GetAgentRequest;

use crate::{
    hostile::{AGENT, peaceful, request, status},
    odd::framed,
    raw::{Plain, http1},
};

#[tokio::test]
async fn only_the_path_of_a_method_is_one() {
    let (harness, seen) = peaceful().await;
    let base = harness.rest("gateway");
    let mut plain = Plain::connect(&base).await;
    for path in [
        "//lightning.agents.v1.AgentService/GetAgent",
        "/lightning.agents.v1.AgentService//GetAgent",
        "/lightning.agents.v1.AgentService%2fGetAgent",
        "/lightning.agents.v1.AgentService/GetAgent/",
        "/lightning.agents.v1.AgentService/getagent",
        "/LIGHTNING.agents.v1.AgentService/GetAgent",
        "/lightning.agents.v1.AgentService/GetAgent%00",
        "/lightning.agents.v1.AgentService/",
        "/lightning.auth.v1.AccessService/WatchAccess",
        "/lightning.auth.v1.AccessService/VerifyApiKey",
    ] {
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(tonic::body::Body::new(Full::from(framed(&GetAgentRequest { id: "a1".into() }))))
            .unwrap();
        let answer = tower::Service::call(&mut plain, request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "12", "{path}");
    }
    for path in [
        "/x/../lightning.agents.v1.AgentService/GetAgent",
        "/./lightning.agents.v1.AgentService/GetAgent",
    ] {
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::empty())
            .unwrap();
        let answer = tower::Service::call(&mut plain, request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "3", "{path}");
    }
    assert_eq!(seen.lock().unwrap().len(), 0, "nothing of this reached a service");
}

#[tokio::test]
async fn metadata_cannot_be_smuggled_through_headers() {
    let (harness, seen) = peaceful().await;
    let base = harness.rest("gateway");
    let get =
        |headers: &str| request(&format!("GET {AGENT}"), &format!("host: localhost\r\n{headers}"));
    for (headers, expected) in [
        ("authorization: Bearer local\r\nauthorization: Bearer local\r\n", 401),
        ("authorization: Bearer local\r\nx-api-key: lk_x\r\n", 401),
        ("authorization: Bearer x.y.z\r\n", 401),
        ("x-a: b\rx-user-id: root\r\n", 400),
        ("x-a: b\0\r\n", 400),
        ("x-a\t: b\r\n", 400),
        ("x a: b\r\n", 400),
    ] {
        let answer = http1(&base, &get(headers)).await;
        assert_eq!(status(&answer), expected, "{headers:?}: {answer}");
    }
    assert_eq!(seen.lock().unwrap().len(), 0, "nothing of this reached a service");
    // A credential ends here: what goes on is a token of the mesh.
    let answer = http1(&base, &get("authorization: Bearer local\r\ndpop: x\r\n")).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let seen = seen.lock().unwrap();
    let headers = &seen[0].headers;
    assert!(headers["authorization"].to_str().unwrap().starts_with("Bearer eyJ"));
    assert!(!headers.contains_key("dpop") && !headers.contains_key("x-api-key"));
}

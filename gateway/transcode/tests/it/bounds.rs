//! Limits, admission and what happens when the service is not there.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http::request::Parts;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use lightning_transcode::{
    Admit, Body, BoxError, JsonStyle, Options, Status, Transcoder, bare_error_response,
    error_response,
};
use serde_json::json;
use tower::{ServiceExt, service_fn};

use super::support::{Reply, World, options, request};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn a_body_above_the_limit_is_refused_with_and_without_a_declared_length() {
    let world = World::new(Options { max_body_bytes: 10, ..options() });
    let answer = world.call(request("POST /all", &JSON, "          {}")).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (413, Some("BODY_TOO_LARGE")));
    let headers = [("content-length", "99")];
    let answer = world.call(request("POST /all", &headers, "{}")).await;
    assert_eq!(answer.status, 413);
    let answer = world.call(request("POST /all", &JSON, "{}        ")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together_and_counted() {
    let send = async |pieces: &[&'static str], limit: usize| {
        let world = World::new(Options { max_body_bytes: limit, ..options() });
        let frames =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        let body = StreamBody::new(stream::iter(frames.collect::<Vec<Result<_, BoxError>>>()));
        let request = request("POST /all", &JSON, "").map(|_| BodyExt::boxed_unsync(body));
        let answer = world.call(request).await;
        (answer.status, world.sent().map(|sent| sent.message.to_string()))
    };
    let pieces = ["", "{\"name\"", "", ":", "\"ab", "c\"}"];
    assert_eq!(send(&pieces, 14).await, (200, Some("name:\"abc\"".to_owned())));
    assert_eq!(send(&pieces, 13).await, (413, None));
}

#[tokio::test]
async fn an_answer_above_the_limit_is_an_internal_error() {
    let world = World::new(Options { max_response_bytes: 10, ..options() });
    world.reply(Reply { message: Some(json!({"name": "longer than ten"})), ..Reply::default() });
    let answer = world.call(request("GET /all", &[], "")).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (500, Some("RESPONSE_TOO_LARGE")));
}

#[tokio::test]
async fn nesting_is_bounded() {
    let world = World::new(options());
    let nested = |levels: usize| {
        format!("{{\"value\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
    };
    let answer = world.call(request("POST /all", &JSON, nested(51))).await;
    assert_eq!(answer.status, 200);
    // Fifty lists are a hundred messages, the most that a decoder takes.
    let answer = world.call(request("POST /all", &JSON, nested(52))).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (400, Some("INVALID_VALUE")));
    let any = "{\"any\":{\"@type\":\"type.googleapis.com/google.protobuf.Value\",\"value\":";
    let deep = format!("{any}{}{}}}}}", "[".repeat(99), "]".repeat(99));
    let answer = world.call(request("POST /all", &JSON, deep)).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (400, Some("MALFORMED_JSON")));
    let answer = world.call(request("POST /all", &JSON, "[".repeat(500_000))).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn ten_thousand_segments_are_no_trouble() {
    let world = World::new(options());
    let deep = "/a".repeat(10_000);
    let answer = world.call(request(&format!("GET {deep}"), &[], "")).await;
    assert_eq!(answer.status, 404);
    let answer = world.call(request(&format!("GET /v3{deep}"), &[], "")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn queries_are_bounded() {
    let world = World::new(options());
    let long = format!("GET /all?name={}", "x".repeat(33_000));
    assert_eq!(world.call(request(&long, &[], "")).await.status, 414);
    let many = format!("GET /all?{}", "tags=x&".repeat(1_001));
    assert_eq!(world.call(request(&many, &[], "")).await.status, 400);
    let deep = |levels: usize| format!("GET /all?sub.{}city_name=x", "inner.".repeat(levels - 2));
    assert_eq!(world.call(request(&deep(64), &[], "")).await.status, 200);
    assert_eq!(world.call(request(&deep(65), &[], "")).await.status, 400);
}

#[tokio::test]
async fn system_parameters_are_neither_bound_nor_refused() {
    let world = World::new(Options { system_parameters: vec!["token".to_owned()], ..options() });
    assert_eq!(world.call(request("GET /all?token=x&name=y", &[], "")).await.status, 200);
    assert_eq!(world.call(request("GET /all?tokens=x", &[], "")).await.status, 400);
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_unavailable() {
    let world = World::new(options());
    let absent = service_fn(|_: http::Request<Body>| async {
        Err::<http::Response<Body>, BoxError>("connection refused by 10.0.0.7".into())
    });
    let transcoder = Transcoder::new(world.routes.clone(), absent);
    let response = transcoder.oneshot(request("GET /all", &[], "")).await.unwrap();
    assert_eq!(response.status(), 503);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("UPSTREAM_UNAVAILABLE") && !text.contains("10.0.0.7"), "{text}");
}

struct Guard;

impl Admit for Guard {
    fn admit<'a>(
        &'a self,
        grpc_path: &'a str,
        parts: &'a mut Parts,
    ) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send + 'a>> {
        Box::pin(async move {
            assert_eq!(grpc_path, "/test.v1.Paths/All");
            if parts.headers.contains_key("authorization") {
                return Ok(());
            }
            Err(Status::new(16, "who are you?\r\nX-Evil: 1"))
        })
    }
}

#[tokio::test]
async fn admission_comes_before_the_body() {
    let world = World::new(options());
    let reached = service_fn(|_: http::Request<Body>| async {
        Err::<http::Response<Body>, BoxError>("reached".into())
    });
    let transcoder = Transcoder::new(world.routes.clone(), reached).with_admit(Arc::new(Guard));
    let response =
        transcoder.clone().oneshot(request("POST /all", &JSON, "{broken")).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert!(response.extensions().get::<lightning_transcode::MatchedRoute>().is_some());
    let headers = [("authorization", "Bearer x")];
    let response = transcoder.oneshot(request("POST /all", &headers, "{broken")).await.unwrap();
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn errors_can_be_made_without_a_request() {
    let world = World::new(options());
    let status = Status::new(8, "slow down");
    for response in [error_response(&status, &world.routes), bare_error_response(&status)] {
        assert_eq!(response.status(), 429);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = json!({"error": {
            "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow down", "details": [],
        }});
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn the_canonical_style_holds_on_the_whole_path() {
    let world = World::new(Options { json: JsonStyle::Canonical, ..options() });
    let message = Some(json!({"i64": "5", "kind": "KIND_A"}));
    world.reply(Reply { message, ..Reply::default() });
    let answer = world.call(request("GET /all?kind=KIND_A", &[], "")).await;
    assert_eq!(answer.text(), r#"{"i64":"5","kind":"KIND_A"}"#);
    assert_eq!(world.call(request("GET /all?kind=a", &[], "")).await.status, 400);
}

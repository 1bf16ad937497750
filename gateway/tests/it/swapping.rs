//! What comes, goes and changes while the gateway runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lightning_mesh::{identity::Caller, task};
use serde_json::Value;
use tokio::time::Instant;
use tonic::Code;

use crate::{
    library::{Library, PROTO},
    support::{Edge, upstream},
};

/// The library with one more route for its books.
fn with_route(route: &str) -> String {
    let rule = "{get: \"/library/v1/books/{id}\"}";
    let more =
        format!("{{get: \"/library/v1/books/{{id}}\" additional_bindings {{get: \"{route}\"}}}}");
    let changed = PROTO.replacen(rule, &more, 1);
    assert_ne!(changed, PROTO);
    changed
}

#[tokio::test]
async fn routes_change_without_a_failed_call() {
    let library = Library::start();
    let edge = Arc::new(Edge::mounted(vec![upstream("library", &library.url())]).await);
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|number| {
            let (edge, done) = (edge.clone(), done.clone());
            task::spawn("caller", async move {
                let mut calls = 0_u32;
                while !done.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        let (status, body) = edge.json("/library/v1/books/7").await;
                        assert_eq!(status, 200, "{body}");
                    } else {
                        edge.get_book(Caller::local(), "7").await.unwrap();
                    }
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for round in 0..5 {
        library.describe(&with_route(&format!("/library/{round}/books/{{id}}")));
        let mounted = |upstream: &Value| {
            upstream.to_string().contains(&format!("GET /library/{round}/books/{{id}}"))
        };
        edge.until("library", mounted).await;
        assert_eq!(edge.get(&format!("/library/{round}/books/7")).await.status(), 200);
        if round > 0 {
            let gone = edge.get(&format!("/library/{}/books/7", round - 1)).await;
            assert_eq!(gone.status(), 404);
        }
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 5);
    }
}

#[tokio::test]
async fn a_dead_upstream_is_unavailable_at_once_and_served_when_it_is_back() {
    let mut library = Library::start();
    let edge = Edge::mounted(vec![upstream("library", &library.url())]).await;
    assert_eq!(edge.get("/library/v1/books/7").await.status(), 200);
    library.kill().await;
    for _ in 0..20 {
        let asked = Instant::now();
        let (status, body) = edge.json("/library/v1/books/7").await;
        assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
        assert_eq!(status, 503, "{body}");
        assert!(body["error"]["message"].as_str().unwrap().len() > 10, "{body}");
    }
    let refused = edge.get_book(Caller::local(), "7").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(lightning_mesh::fault::error_info(&refused).unwrap().metadata["service"], "library");
    let gone = edge.until("library", |upstream| upstream["state"] == "unreachable").await;
    assert_eq!(gone["methods"].as_array().unwrap().len(), 4, "the last good is kept: {gone}");

    library.describe(&with_route("/library/back/books/{id}"));
    library.revive();
    edge.until("library", |it| it["state"] == "mounted" && it.to_string().contains("/back/")).await;
    assert_eq!(edge.get("/library/v1/books/7").await.status(), 200);
    assert_eq!(edge.get("/library/back/books/7").await.status(), 200);
}

#[tokio::test]
async fn the_start_does_not_wait_for_an_upstream_that_is_not_there() {
    let mut library = Library::start();
    library.kill().await;
    let edge = Edge::start(vec![upstream("library", &library.url())]).await;
    assert_eq!(edge.get("/library/v1/books/7").await.status(), 404);
    assert_eq!(edge.get("/health").await.status(), 200);
    let waiting = edge.until("library", |upstream| upstream["state"] == "unreachable").await;
    assert!(waiting["state_message"].as_str().unwrap().contains("cannot be reached"), "{waiting}");
    library.revive();
    edge.until("library", |upstream| upstream["state"] == "mounted").await;
    assert_eq!(edge.get("/library/v1/books/7").await.status(), 200);
}

#[tokio::test]
async fn whoever_claims_what_another_owns_is_refused_and_told() {
    #[track_caller]
    fn shows(upstream: &Value, claim: &str, held: &str, owner: &str) {
        let conflicts = upstream["conflicts"].as_array().unwrap();
        let found = conflicts.iter().any(|conflict| {
            conflict["claim"] == claim && conflict["held"] == held && conflict["owner"] == owner
        });
        assert!(found, "{upstream:#}");
        assert_eq!(upstream["methods"], serde_json::json!([]));
    }
    let refused = async |route: &str| {
        let library = Library::start_with(&with_route(route));
        let edge = Edge::start(vec![upstream("library", &library.url())]).await;
        let upstream = edge.until("library", |upstream| upstream["state"] == "refused").await;
        // All or nothing.
        assert_eq!(edge.get("/library/v1/books/7").await.status(), 404);
        let figures = edge.get("/metrics").await.text().await.unwrap();
        assert!(figures.contains("gateway_upstream_mounted{upstream=\"library\"} 0"), "{figures}");
        assert!(!figures.contains("gateway_upstream_conflicts{upstream=\"library\"} 0"));
        upstream
    };
    let it = refused("/api/v1/agents/{id}").await;
    shows(&it, "GET /api/v1/agents/{id}", "GET /api/v1/agents/{id}", "agents");
    let it = refused("/api/v1/{id}/7").await;
    shows(&it, "GET /api/v1/{id}/7", "GET /api/v1/agents/{id}", "agents");
    let it = refused("/dashboard/{id}").await;
    shows(&it, "GET /dashboard/{id}", "everything below /dashboard", "monitoring");
    let it = refused("/metrics/{id}").await;
    shows(&it, "GET /metrics/{id}", "everything below /metrics", "gateway");
    let it = refused("/lightning.agents.v1.AgentService/{id}").await;
    let claim = "GET /lightning.agents.v1.AgentService/{id}";
    shows(&it, claim, "gRPC service lightning.agents.v1.AgentService", "agents");
}

#[tokio::test]
async fn of_two_upstreams_with_the_same_the_one_that_is_mounted_stays() {
    let first = Library::start();
    let mut away = Library::start_with(&with_route("/away/{id}"));
    away.kill().await;
    let upstreams = vec![upstream("away", &away.url()), upstream("first", &first.url())];
    let edge = Edge::start(upstreams).await;
    edge.until("first", |upstream| upstream["state"] == "mounted").await;
    away.revive();
    let refused = edge.until("away", |upstream| upstream["state"] == "refused").await;
    let text = refused.to_string();
    assert!(text.contains("gRPC service library.v1.Books"), "{text}");
    assert!(text.contains("\"owner\":\"first\""), "{text}");
    assert_eq!(edge.get("/library/v1/books/7").await.status(), 200);
    assert_eq!(edge.get("/away/7").await.status(), 404);

    // Its own newer version is refused in favour of the one that is mounted.
    first.describe(&with_route("/api/v1/agents/{id}"));
    edge.until("first", |upstream| upstream["state"] == "refused").await;
    assert_eq!(edge.get("/library/v1/books/7").await.status(), 200);
    first.describe(&with_route("/fine/{id}"));
    edge.until("first", |upstream| upstream["state"] == "mounted").await;
    assert_eq!(edge.get("/fine/7").await.status(), 200);
}

#[tokio::test]
async fn names_of_the_mesh_cannot_be_taken() {
    let proto = PROTO
        .replace("package library.v1;", "package lightning.agents.v1;")
        .replace("service Books", "service AgentService");
    let library = Library::start_with(&proto);
    let edge = Edge::start(vec![upstream("library", &library.url())]).await;
    let refused = edge.until("library", |upstream| upstream["state"] == "refused").await;
    assert!(refused.to_string().contains("packages below lightning."), "{refused}");
    // Calls go where they went before.
    assert!(edge.get("/api/v1/agents").await.text().await.unwrap().contains("agents"));
}

#[tokio::test]
async fn nonsense_for_descriptors_is_survived() {
    let library = Library::start();
    let edge = Edge::mounted(vec![upstream("library", &library.url())]).await;
    library.turn_hostile();
    edge.until("library", |upstream| upstream["state"] == "unreachable").await;
    assert_eq!(edge.get("/library/v1/books/7").await.status(), 200, "the last good is kept");

    // Not even HTTP/2.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = task::spawn("not-http", async move {
        loop {
            use tokio::io::AsyncWriteExt as _;
            let (mut stream, _) = listener.accept().await.unwrap();
            // Whoever connects may be gone already.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    let edge = Edge::start(vec![upstream("other", &address)]).await;
    edge.until("other", |upstream| upstream["state"] == "unreachable").await;
    serving.abort();
}

//! Calling peers: pipes, addresses, and what happens when nobody is there.

use lightning_mesh::{identity::Caller, testing::Harness};
use tonic::Code;

use crate::support::{client, echo, get, reason, start};

#[tokio::test]
async fn a_call_over_a_pipe_carries_the_caller() {
    let harness = echo().await;
    let user = Caller::new("user:1", "ada", ["monitoring.*"]);
    let mut client = client(harness.channel_as("monitoring", user));
    let answer = client.get_service(get("who")).await.unwrap().into_inner();
    assert_eq!((answer.id.as_str(), answer.health_message.as_str()), ("user:1", "testing"));
    assert_eq!(answer.version, "monitoring.*");
}

#[tokio::test]
async fn authority_never_grows_on_the_way() {
    let harness = echo().await;
    let user = Caller::new("user:1", "ada", ["monitoring.read"]);
    let mut client = client(harness.channel_as("monitoring", user));
    let answer = client.get_service(get("relay:relay:who")).await.unwrap().into_inner();
    assert_eq!((answer.id.as_str(), answer.health_message.as_str()), ("user:1", "monitoring"));
    assert_eq!(answer.version, "monitoring.read");
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_named() {
    let harness = echo().await;
    let status = client(harness.channel("agents")).get_service(get("x")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "PEER_UNAVAILABLE"));
    assert!(status.message().contains("the service agents cannot be reached"), "{status}");
}

#[tokio::test]
async fn an_address_reaches_a_peer_over_tcp() {
    let far = echo().await;
    let address = far.rest("monitoring");
    // The two meshes have different keys, so the far one does not believe the near one.
    let builder = Harness::builder(&[]).mesh(|mesh| {
        mesh.peers.insert("monitoring".into(), address);
        mesh.peers.insert("agents".into(), "http://127.0.0.1:1".into());
        mesh.peers.insert("models".into(), "ftp://nowhere".into());
    });
    let near = builder.start();
    let status = client(near.channel("monitoring")).get_service(get("who")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "TOKEN_INVALID"));
    for peer in ["agents", "models"] {
        let status = client(near.channel(peer)).get_service(get("who")).await.unwrap_err();
        assert_eq!(reason(&status), "PEER_UNAVAILABLE", "{status}");
    }
}

#[tokio::test]
async fn the_trace_goes_along() {
    let harness = echo().await;
    let mut client = client(harness.channel("monitoring"));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut request = tonic::Request::new(get("relay:trace"));
    // The channel tells its own trace: outside of a request that is a new one.
    let parent = format!("00-{trace}-00f067aa0ba902b7-01").parse().unwrap();
    request.metadata_mut().insert("traceparent", parent);
    let own = client.get_service(request).await.unwrap().into_inner().id;
    assert!(own.starts_with("00-") && !own.contains(trace), "{own}");
    let base = harness.rest("monitoring");
    let header = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let path = "/api/v1/monitoring/services/relay:trace";
    let answer = crate::support::rest_get(&base, path, &header).await;
    assert!(answer.contains(trace) && !answer.contains("00f067aa0ba902b7"), "{answer}");
}

#[tokio::test]
async fn a_panicking_handler_answers_internal_and_the_service_lives() {
    let harness = echo().await;
    let mut client = client(harness.channel("monitoring"));
    let status = client.get_service(get("panic")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "INTERNAL"));
    assert!(!status.message().contains("purpose"));
    let mut request = tonic::Request::new(Default::default());
    request.metadata_mut().insert("x-panic", "1".parse().unwrap());
    let mut stream = client.watch_services(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Internal);
    assert_eq!(client.get_service(get("fine")).await.unwrap().into_inner().id, "fine");
}

#[tokio::test]
async fn a_peer_that_restarts_is_reached_again() {
    let first = echo().await;
    let port = first.rest("monitoring").rsplit(':').next().unwrap().to_owned();
    let key = tempfile::tempdir().unwrap();
    drop((port, key));
    let mut client = client(first.channel("monitoring"));
    client.get_service(get("x")).await.unwrap();
    first.stop().await;
    let status = client.get_service(get("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let second = start(Harness::builder(&["monitoring"])).await;
    second.stop().await;
}

//! `slack` against a server that answers as Slack does.

use lightning_proto::integrations::v1::TestIntegrationRequest;
use serde_json::json;
use tonic::Code;

use super::{
    support::{Mesh, config, refused},
    upstream::Upstream,
};

#[tokio::test]
async fn messages_are_posted_and_conversations_listed() {
    let upstream = Upstream::start().await;
    let mesh = Mesh::start(config(&[&upstream.allowed()])).await;
    let settings = json!({"base_url": upstream.url("/api")});
    let id = mesh.create("slack", settings, json!({"bot_token": "xoxb-canary"})).await;
    let posted =
        json!({"ok": true, "channel": "C1", "ts": "1.2", "message": {"text": "hi"}, "extra": 1});
    upstream.script("/api/chat.postMessage", vec![(200, posted)]);
    let result =
        mesh.execute(&id, "post_message", json!({"channel": "C1", "text": "hi"})).await.unwrap();
    assert_eq!(result, json!({"channel": "C1", "ts": "1.2", "message": {"text": "hi"}}));
    let page =
        json!({"ok": true, "channels": [{"id": "C1"}], "response_metadata": {"next_cursor": "n"}});
    upstream.script("/api/conversations.list", vec![(200, page)]);
    let result =
        mesh.execute(&id, "list_conversations", json!({"limit": 1, "cursor": "c"})).await.unwrap();
    assert_eq!(result, json!({"channels": [{"id": "C1"}], "next_cursor": "n"}));
    let seen = upstream.seen();
    assert_eq!((seen[0].method.as_str(), seen[1].method.as_str()), ("POST", "GET"));
    assert_eq!(
        (seen[0].body.as_str(), seen[1].query.as_str()),
        (r#"{"channel":"C1","text":"hi"}"#, "cursor=c&limit=1")
    );
    assert!(seen.iter().all(|seen| seen.headers["authorization"] == "Bearer xoxb-canary"));
    upstream.script("/api/auth.test", vec![(200, json!({"ok": true, "team": "T", "user": "bot"}))]);
    let test = mesh
        .integrations()
        .test_integration(TestIntegrationRequest { id: id.clone() })
        .await
        .unwrap();
    assert_eq!(test.into_inner().message, "signed in to T as bot");
    upstream.script(
        "/api/chat.postMessage",
        vec![(200, json!({"ok": false, "error": "channel_not_found"}))],
    );
    let payload = || json!({"channel": "C1", "text": "hi"});
    let status = refused(
        mesh.execute(&id, "post_message", payload()).await,
        Code::FailedPrecondition,
        "UPSTREAM_REJECTED",
    );
    assert!(status.message().contains("channel_not_found"), "{status:?}");
    upstream
        .script("/api/chat.postMessage", vec![(429, json!({"ok": false, "error": "ratelimited"}))]);
    refused(
        mesh.execute(&id, "post_message", payload()).await,
        Code::ResourceExhausted,
        "UPSTREAM_RATE_LIMITED",
    );
    refused(
        mesh.execute(&id, "post_message", json!({"channel": "C1"})).await,
        Code::InvalidArgument,
        "PAYLOAD_INVALID",
    );
    refused(mesh.execute(&id, "shout", payload()).await, Code::NotFound, "ACTION_NOT_FOUND");
}

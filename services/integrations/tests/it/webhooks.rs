//! Webhooks: who is believed, what is kept, and how events become executions.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lightning_mesh::{clock::Clock, identity::Caller, json, testing::Harness};
use lightning_proto::integrations::v1::{
    DeleteWebhookRequest, ListWebhookEventsRequest, ListWebhooksRequest, RegisterWebhookRequest,
    Webhook, WebhookEvent, webhook_event::Status as EventStatus,
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{
    support::{Mesh, Webhooks, config, refused},
    workflows::Workflows,
};

async fn mesh(workflows: &Workflows) -> Mesh {
    let folder = tempfile::tempdir().unwrap().keep();
    let mut mesh = Mesh::open(builder(), config(&[]), folder).await.unwrap();
    workflows.serve(&mut mesh.harness).await;
    mesh
}

fn builder() -> lightning_mesh::testing::Builder {
    Harness::builder(&["integrations", "workflows"])
}

fn registration(scheme: &str, workflow: &str) -> RegisterWebhookRequest {
    RegisterWebhookRequest {
        name: "hook".to_owned(),
        signature_scheme: scheme.to_owned(),
        workflow_id: workflow.to_owned(),
        ..Default::default()
    }
}

async fn register(mesh: &Mesh, scheme: &str, workflow: &str) -> Webhook {
    mesh.webhooks().register_webhook(registration(scheme, workflow)).await.unwrap().into_inner()
}

/// Sends an event as Standard Webhooks does; answers the status and the body.
async fn send(mesh: &Mesh, webhook: &Webhook, id: &str, body: &[u8]) -> (u16, Value) {
    let time = Clock::system().now().as_seconds().to_string();
    let key = STANDARD.decode(webhook.secret.strip_prefix("whsec_").unwrap()).unwrap();
    let signed = [format!("{id}.{time}.").as_bytes(), body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
    let signature = format!("v1,{}", STANDARD.encode(tag));
    let headers =
        [("webhook-id", id), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
    post(mesh, &webhook.path, &headers, body).await
}

async fn post(mesh: &Mesh, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let url = format!("{}{path}", mesh.harness.rest("integrations"));
    let request = reqwest::Client::new().post(url).header("content-type", "application/json");
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.body(body.to_vec()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

async fn events(client: &mut Webhooks, webhook: &Webhook) -> Vec<WebhookEvent> {
    let request = ListWebhookEventsRequest { webhook_id: webhook.id.clone(), ..Default::default() };
    client.list_webhook_events(request).await.unwrap().into_inner().events
}

/// Waits until the only event has left the state pending.
async fn settled(mesh: &Mesh, webhook: &Webhook) -> WebhookEvent {
    settled_as(&mut mesh.webhooks(), webhook).await
}

async fn settled_as(client: &mut Webhooks, webhook: &Webhook) -> WebhookEvent {
    loop {
        let found = events(client, webhook).await;
        if let Some(event) = found.into_iter().find(|event| event.status() != EventStatus::Pending)
        {
            return event;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_event_starts_its_workflow_once_as_whoever_registered_it() {
    let workflows = Workflows::default();
    let mesh = mesh(&workflows).await;
    let owner = Caller::new("user:a", "a", ["integrations.write", "workflows.*"]);
    let owner = owner.member_of("default");
    let mut client = Webhooks::new(mesh.harness.channel_as("integrations", owner));
    let webhook = client.register_webhook(registration("", "w")).await.unwrap().into_inner();
    assert!(webhook.secret.starts_with("whsec_"));
    assert_eq!(webhook.path, format!("/api/v1/webhooks/{}", webhook.id));
    for _ in 0..3 {
        let (status, answer) = send(&mesh, &webhook, "msg_1", br#"{"n": 1}"#).await;
        assert_eq!((status, answer), (202, json!({"event_id": "msg_1"})));
    }
    let event = settled(&mesh, &webhook).await;
    assert_eq!(
        (event.status(), event.execution_id.as_str()),
        (EventStatus::Delivered, "execution-1")
    );
    assert_eq!(json::from_value(&event.payload.unwrap()), json!({"n": 1}));
    let started = workflows.started();
    assert_eq!(started.len(), 1);
    let (caller, request) = &started[0];
    assert_eq!((caller.subject.as_str(), request.workflow_id.as_str()), ("user:a", "w"));
    let input = json::from_struct(request.input_data.as_ref().unwrap());
    assert_eq!(
        (&input["event"]["id"], &input["event"]["payload"]),
        (&json!("msg_1"), &json!({"n": 1}))
    );
    assert_eq!(events(&mut mesh.webhooks(), &webhook).await.len(), 1);
}

#[tokio::test]
async fn an_event_acts_in_the_organization_of_its_webhook() {
    let workflows = Workflows::default();
    let mesh = mesh(&workflows).await;
    let owner = Caller::new("user:a", "a", ["integrations.*", "workflows.*"]).member_of("other");
    let mut client = mesh.webhooks_as(owner);
    let webhook = client.register_webhook(registration("", "w")).await.unwrap().into_inner();
    assert_eq!(send(&mesh, &webhook, "msg_1", b"{}").await.0, 202);
    let event = settled_as(&mut client, &webhook).await;
    assert_eq!(event.status(), EventStatus::Delivered);
    let (caller, _) = &workflows.started()[0];
    assert_eq!((caller.subject.as_str(), caller.organization_id.as_str()), ("user:a", "other"));
}

#[tokio::test]
async fn what_is_not_signed_is_not_believed_and_not_kept() {
    let workflows = Workflows::default();
    let mesh = mesh(&workflows).await;
    let webhook = register(&mesh, "standard", "w").await;
    let time = Clock::system().now().as_seconds().to_string();
    let check = async |headers: &[(&str, &str)], expected: u16, reason: &str| {
        let (status, answer) = post(&mesh, &webhook.path, headers, b"{}").await;
        assert_eq!(
            (status, &answer["error"]["details"][0]["reason"]),
            (expected, &json!(reason)),
            "{headers:?}"
        );
    };
    check(&[], 401, "SIGNATURE_INVALID").await;
    let wrong = [
        ("webhook-id", "m"),
        ("webhook-timestamp", time.as_str()),
        ("webhook-signature", "v1,AAAA"),
    ];
    check(&wrong, 401, "SIGNATURE_INVALID").await;
    let other = Webhook { path: webhook.path.clone(), ..register(&mesh, "standard", "w").await };
    assert_eq!(send(&mesh, &other, "m", b"{}").await.0, 401);
    let (status, answer) = post(&mesh, "/api/v1/webhooks/absent", &[], b"{}").await;
    assert_eq!(
        (status, &answer["error"]["details"][0]["reason"]),
        (404, &json!("WEBHOOK_NOT_FOUND"))
    );
    assert!(
        events(&mut mesh.webhooks(), &webhook).await.is_empty() && workflows.started().is_empty()
    );
    let (status, answer) = send(&mesh, &webhook, &"x".repeat(300), b"{}").await;
    assert_eq!(
        (status, &answer["error"]["details"][0]["reason"]),
        (400, &json!("WEBHOOK_INVALID")),
        "{answer}"
    );
    let (status, _) = send(&mesh, &webhook, "big", &vec![b' '; (1 << 20) + 1]).await;
    assert!(matches!(status, 400 | 413), "{status}");
}

#[tokio::test]
async fn github_and_slack_sign_in_their_own_ways() {
    let mesh = mesh(&Workflows::default()).await;
    let sign = |secret: &str, signed: &str| {
        let tag =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let github = register(&mesh, "github", "").await;
    let body = "payload=%7B%7D";
    let signature = format!("sha256={}", sign(&github.secret, body));
    let headers = [("x-hub-signature-256", signature.as_str()), ("x-github-delivery", "d-1")];
    for _ in 0..2 {
        let answer = post(&mesh, &github.path, &headers, body.as_bytes()).await;
        assert_eq!(answer, (202, json!({"event_id": "d-1"})));
    }
    let found = events(&mut mesh.webhooks(), &github).await;
    assert_eq!(
        (found.len(), found[0].status(), &found[0].payload),
        (1, EventStatus::Delivered, &None)
    );
    let slack = register(&mesh, "slack", "").await;
    let (time, body) = (Clock::system().now().as_seconds().to_string(), r#"{"event_id":"Ev1"}"#);
    let signature = format!("v0={}", sign(&slack.secret, &format!("v0:{time}:{body}")));
    let headers = [("x-slack-signature", signature.as_str()), ("x-slack-request-timestamp", &time)];
    let answer = post(&mesh, &slack.path, &headers, body.as_bytes()).await;
    assert_eq!(answer, (202, json!({"event_id": "Ev1"})));
    assert_eq!(post(&mesh, &slack.path, &headers, b"{}").await.0, 401);
}

#[tokio::test]
async fn a_start_that_fails_for_now_is_repeated_and_one_that_fails_for_good_is_told() {
    let workflows = Workflows::default();
    let mesh = mesh(&workflows).await;
    let webhook = register(&mesh, "", "w").await;
    workflows.fail_next(vec![Status::unavailable("not yet")]);
    assert_eq!(send(&mesh, &webhook, "later", b"{}").await.0, 202);
    let event = settled(&mesh, &webhook).await;
    assert_eq!((event.status(), event.error.as_str()), (EventStatus::Delivered, ""));
    let keys: Vec<String> =
        workflows.started().into_iter().map(|(_, request)| request.request_id).collect();
    assert_eq!((keys.len(), keys[0] == keys[1]), (2, true));
    let webhook = register(&mesh, "", "w").await;
    workflows.fail_next(vec![Status::not_found("the workflow is gone")]);
    assert_eq!(send(&mesh, &webhook, "never", b"{}").await.0, 202);
    let event = settled(&mesh, &webhook).await;
    assert_eq!(event.status(), EventStatus::Failed);
    assert!(event.error.contains("the workflow is gone"), "{event:?}");
}

#[tokio::test]
async fn an_acknowledged_event_survives_a_restart() {
    let workflows = Workflows::default();
    let first = mesh(&workflows).await;
    let webhook = register(&first, "", "w").await;
    workflows.fail_next(vec![Status::unavailable("down"); 100]);
    assert_eq!(send(&first, &webhook, "kept", b"{}").await.0, 202);
    let folder = first.stop().await;
    assert_eq!(workflows.executions(), 0);
    let workflows = Workflows::default();
    let mut second = reopen(folder).await;
    workflows.serve(&mut second.harness).await;
    let event = settled(&second, &webhook).await;
    assert_eq!((event.id.as_str(), event.status()), ("kept", EventStatus::Delivered));
    assert_eq!(send(&second, &webhook, "kept", b"{}").await.0, 202);
    assert_eq!(workflows.executions(), 1);
}

/// Opens the database again, once its former owner has let go of it.
async fn reopen(folder: std::path::PathBuf) -> Mesh {
    loop {
        match Mesh::open(builder(), config(&[]), folder.clone()).await {
            Ok(mesh) => return mesh,
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                assert!(cause.contains("in use"), "{error:?}");
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn a_webhook_needs_a_workflow_that_exists_and_may_be_started() {
    let mesh = mesh(&Workflows::default()).await;
    let absent = mesh.webhooks().register_webhook(registration("", "absent")).await;
    refused(absent, Code::FailedPrecondition, "WORKFLOW_NOT_FOUND");
    let writer = Caller::new("user:w", "w", ["integrations.write"]).member_of("default");
    let mut client = Webhooks::new(mesh.harness.channel_as("integrations", writer));
    refused(
        client.register_webhook(registration("", "w")).await,
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );
    let weak = RegisterWebhookRequest { secret: "!".repeat(20), ..registration("standard", "") };
    refused(mesh.webhooks().register_webhook(weak).await, Code::InvalidArgument, "WEBHOOK_INVALID");
}

#[tokio::test]
async fn webhooks_are_listed_repeated_and_deleted_with_their_events() {
    let mesh = mesh(&Workflows::default()).await;
    let mut client = mesh.webhooks();
    let request = RegisterWebhookRequest { request_id: "key".to_owned(), ..registration("", "") };
    let first = client.register_webhook(request.clone()).await.unwrap().into_inner();
    assert_eq!(client.register_webhook(request.clone()).await.unwrap().into_inner(), first);
    let other = RegisterWebhookRequest { name: "other".to_owned(), ..request };
    refused(client.register_webhook(other).await, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED");
    for number in 0..3 {
        assert_eq!(send(&mesh, &first, &format!("m{number}"), b"{}").await.0, 202);
    }
    let mut page = async |size, token: String| {
        let request = ListWebhookEventsRequest {
            webhook_id: first.id.clone(),
            page_size: size,
            page_token: token,
        };
        let page = client.list_webhook_events(request).await.unwrap().into_inner();
        let ids: Vec<String> = page.events.into_iter().map(|event| event.id).collect();
        (ids, page.next_page_token)
    };
    let (newest, token) = page(2, String::new()).await;
    assert_eq!(newest, ["m2", "m1"]);
    assert_eq!(page(2, token).await, (vec!["m0".to_owned()], String::new()));
    let filter = ListWebhooksRequest { filter: "name = \"hook\"".to_owned(), ..Default::default() };
    let list = client.list_webhooks(filter).await.unwrap().into_inner().webhooks;
    assert_eq!(list, [Webhook { secret: String::new(), ..first.clone() }]);
    let delete = || DeleteWebhookRequest { id: first.id.clone() };
    client.delete_webhook(delete()).await.unwrap();
    refused(client.delete_webhook(delete()).await, Code::NotFound, "WEBHOOK_NOT_FOUND");
    assert_eq!(send(&mesh, &first, "m9", b"{}").await.0, 404);
    let gone = ListWebhookEventsRequest { webhook_id: first.id.clone(), ..Default::default() };
    refused(client.list_webhook_events(gone).await, Code::NotFound, "WEBHOOK_NOT_FOUND");
}

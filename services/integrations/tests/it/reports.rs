//! Uses of credentials are told to the audit trail, without the credentials.

use std::time::Duration;

use futures_util::stream;
use lightning_mesh::{Service, identity::Caller, testing::Harness};
use lightning_proto::{
    auth::v1::{
        AuditEvent, ExportAuditEventsRequest, ListAuditEventsRequest, ListAuditEventsResponse,
        ReportEventsRequest, ReportEventsResponse, VerifyAuditEventsRequest,
        VerifyAuditEventsResponse,
        audit_event::Outcome,
        audit_service_server::{AuditService, AuditServiceServer},
    },
    google::api::HttpBody,
    integrations::v1 as pb,
};
use serde_json::json;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::{
    support::{Mesh, config, draft},
    upstream::Upstream,
};

const CANARY: &str = "canary-77aa01";

/// An audit trail that hands a test what it is told.
struct Trail(mpsc::UnboundedSender<ReportEventsRequest>);

#[tonic::async_trait]
impl AuditService for Trail {
    async fn report_events(
        &self,
        request: Request<ReportEventsRequest>,
    ) -> Result<Response<ReportEventsResponse>, Status> {
        // A test that has seen enough listens no more.
        let _ = self.0.send(request.into_inner());
        Ok(Response::new(ReportEventsResponse::default()))
    }

    async fn list_audit_events(
        &self,
        _: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        Err(Status::unimplemented("the tests do not call it"))
    }

    type ExportAuditEventsStream = stream::Empty<Result<HttpBody, Status>>;

    async fn export_audit_events(
        &self,
        _: Request<ExportAuditEventsRequest>,
    ) -> Result<Response<Self::ExportAuditEventsStream>, Status> {
        Err(Status::unimplemented("the tests do not call it"))
    }

    async fn verify_audit_events(
        &self,
        _: Request<VerifyAuditEventsRequest>,
    ) -> Result<Response<VerifyAuditEventsResponse>, Status> {
        Err(Status::unimplemented("the tests do not call it"))
    }
}

async fn mesh(upstream: &Upstream) -> (Mesh, mpsc::UnboundedReceiver<ReportEventsRequest>) {
    let folder = tempfile::tempdir().unwrap().keep();
    let builder = Harness::builder(&["integrations", "auth"]);
    let mut mesh = Mesh::open(builder, config(&[&upstream.allowed()]), folder).await.unwrap();
    let (told, received) = mpsc::unbounded_channel();
    let context = mesh.harness.context("auth");
    let service = Service::new("auth").grpc(AuditServiceServer::new(Trail(told)));
    mesh.harness.serve(service, &context).await.unwrap();
    (mesh, received)
}

/// Everything that was told until there were `count` events, those alike counted one by one.
async fn events(
    told: &mut mpsc::UnboundedReceiver<ReportEventsRequest>,
    count: u64,
) -> Vec<AuditEvent> {
    let (mut events, mut seen) = (Vec::new(), 0);
    while seen < count {
        let next = tokio::time::timeout(Duration::from_secs(20), told.recv()).await;
        let report = next.expect("a report in time").unwrap();
        for event in report.audit_events {
            seen += event.details.get("count").map_or(1, |count| count.parse::<u64>().unwrap());
            events.push(event);
        }
    }
    assert_eq!(seen, count, "{events:?}");
    events
}

#[tokio::test]
async fn the_use_of_credentials_is_told_with_the_caller_and_without_the_secret() {
    let upstream = Upstream::start().await;
    let (mesh, mut told) = mesh(&upstream).await;
    let ada = Caller::new("user:7", "ada", ["integrations.*"]).member_of("acme");
    let ada = ada.acted_for_by("agent:a1", &["*".to_owned()]);
    let mut integrations = mesh.integrations_as(ada);
    let settings = json!({"base_url": upstream.url("/api"), "auth": {"type": "bearer"}});
    let request = pb::CreateIntegrationRequest {
        integration: Some(draft("rest_api", settings, json!({"token": CANARY}))),
        integration_id: "crm".to_owned(),
        ..Default::default()
    };
    integrations.create_integration(request).await.unwrap();
    // Without credentials nothing is used.
    let open = json!({"base_url": upstream.url("/api")});
    let open = pb::CreateIntegrationRequest {
        integration: Some(draft("rest_api", open, json!({}))),
        integration_id: "open".to_owned(),
        ..Default::default()
    };
    integrations.create_integration(open).await.unwrap();
    for id in ["open", "crm"] {
        upstream.script("/api/ok", vec![(200, json!({}))]);
        let action = pb::ExecuteActionRequest {
            integration_id: id.to_owned(),
            action: "request".to_owned(),
            payload: Some(lightning_mesh::json::to_struct(json!({"path": "ok"}))),
            ..Default::default()
        };
        integrations.execute_action(action).await.unwrap();
    }
    integrations.test_integration(pb::TestIntegrationRequest { id: "crm".into() }).await.unwrap();
    assert!(upstream.seen().iter().any(|seen| seen.headers.contains_key("authorization")));

    let events = events(&mut told, 2).await;
    assert!(!format!("{events:?}").contains(CANARY));
    for event in events {
        assert_eq!((event.action.as_str(), event.outcome()), ("secret.used", Outcome::Success));
        let thing = (event.resource_type.as_str(), event.resource_id.as_str());
        assert_eq!(thing, ("integration", "crm"));
        assert_eq!((event.subject.as_str(), event.organization_id.as_str()), ("user:7", "acme"));
        assert_eq!(event.actors, ["agent:a1"]);
        assert!(event.event_time.is_some());
    }
}

#[tokio::test]
async fn showing_the_secret_of_a_webhook_again_is_told() {
    let upstream = Upstream::start().await;
    let (mesh, mut told) = mesh(&upstream).await;
    let registration = pb::RegisterWebhookRequest {
        name: "hook".to_owned(),
        signature_scheme: "github".to_owned(),
        secret: format!("{CANARY}-github"),
        request_id: "key".to_owned(),
        ..Default::default()
    };
    let mut webhooks = mesh.webhooks();
    let first = webhooks.register_webhook(registration.clone()).await.unwrap().into_inner();
    let again = webhooks.register_webhook(registration).await.unwrap().into_inner();
    assert_eq!(again, first);
    let events = events(&mut told, 1).await;
    assert_eq!((events[0].action.as_str(), events[0].subject.as_str()), ("secret.used", "local"));
    let thing = (events[0].resource_type.as_str(), events[0].resource_id.as_str());
    assert_eq!(thing, ("webhook", first.id.as_str()));
    assert!(!format!("{events:?}").contains(CANARY));
}

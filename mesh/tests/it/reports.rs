//! What gates and handlers refuse reaches the audit trail of auth, gathered and without holding up a call.

use std::sync::{Arc, Mutex};

use lightning_mesh::{Service, fault::Fault, identity::Caller, testing::Harness};
use lightning_proto::{
    auth::v1::{
        AccessState, AuditEvent, ExportAuditEventsRequest, ListAuditEventsRequest,
        ListAuditEventsResponse, PolicySet, ReportEventsRequest, ReportEventsResponse,
        VerifyAuditEventsRequest, VerifyAuditEventsResponse,
        audit_event::Outcome,
        audit_service_server::{AuditService, AuditServiceServer},
    },
    google::api::HttpBody,
    mesh::v1::ErrorReason,
};
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status};

use crate::support::{client, get, start};

/// An audit trail that hands a test what it is told, and refuses as many reports as it says.
struct Trail {
    told: mpsc::UnboundedSender<(Caller, ReportEventsRequest)>,
    refusals: Arc<Mutex<usize>>,
}

#[tonic::async_trait]
impl AuditService for Trail {
    async fn report_events(
        &self,
        request: Request<ReportEventsRequest>,
    ) -> Result<Response<ReportEventsResponse>, Status> {
        let told = Caller::split(request)?;
        // A test that has seen enough listens no more.
        let _ = self.told.send(told);
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(Fault::unavailable(ErrorReason::StorageUnavailable).into());
        }
        Ok(Response::new(ReportEventsResponse::default()))
    }

    async fn list_audit_events(
        &self,
        _: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type ExportAuditEventsStream = tokio_stream::Empty<Result<HttpBody, Status>>;

    async fn export_audit_events(
        &self,
        _: Request<ExportAuditEventsRequest>,
    ) -> Result<Response<Self::ExportAuditEventsStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn verify_audit_events(
        &self,
        _: Request<VerifyAuditEventsRequest>,
    ) -> Result<Response<VerifyAuditEventsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// What the trail is told.
struct Told(mpsc::UnboundedReceiver<(Caller, ReportEventsRequest)>);

impl Told {
    async fn next(&mut self) -> (Caller, ReportEventsRequest) {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), self.0.recv());
        next.await.expect("a report in time").unwrap()
    }

    /// The next event, how often it was seen until `count` were, and who told.
    async fn event(&mut self, count: u64) -> (Caller, AuditEvent) {
        let mut seen = 0;
        loop {
            let (teller, request) = self.next().await;
            let [event] = &request.audit_events[..] else { panic!("one kind: {request:?}") };
            seen += times(event);
            if seen == count {
                return (teller, event.clone());
            }
        }
    }
}

fn times(event: &AuditEvent) -> u64 {
    event.details.get("count").map_or(1, |count| count.parse().unwrap())
}

/// A mesh of the echo and a trail that refuses so many reports.
async fn mesh(policies: &str, refusals: usize) -> (Harness, Told) {
    let set = PolicySet { organization_id: "acme".into(), version: 1, text: policies.to_owned() };
    let access = AccessState { revision: 1, policy_sets: vec![set], ..AccessState::default() };
    let builder = Harness::builder(&["auth", "monitoring"]).access(Some(access));
    let mut harness = start(builder).await;
    let (told, received) = mpsc::unbounded_channel();
    let trail = Trail { told, refusals: Arc::new(Mutex::new(refusals)) };
    let context = harness.context("auth");
    let service = Service::new("auth").grpc(AuditServiceServer::new(trail));
    harness.serve(service, &context).await.unwrap();
    (harness, Told(received))
}

fn ada(permissions: &[&str]) -> Caller {
    let mut caller = Caller::new("user:u1", "Ada", permissions.iter().copied()).member_of("acme");
    caller.actors = vec!["agent:a1".to_owned()];
    caller.client_id = Some("app".to_owned());
    caller
}

async fn refused(harness: &Harness, caller: Caller, id: &str) {
    let mut monitoring = client(harness.channel_as("monitoring", caller));
    let refusal = monitoring.get_service(get(id)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal:?}");
}

#[tokio::test]
async fn refusals_at_a_gate_are_told_to_auth_and_those_alike_as_one() {
    let (harness, mut told) = mesh("", 0).await;
    for _ in 0..3 {
        refused(&harness, ada(&["agents.read"]), "secret-argument").await;
    }
    let (teller, event) = told.event(3).await;
    assert!(teller.via.is_some(), "a service tells: {teller:?}");
    assert_eq!((event.action.as_str(), event.outcome()), ("call.denied", Outcome::Denied));
    assert_eq!((event.subject.as_str(), event.organization_id.as_str()), ("user:u1", "acme"));
    assert_eq!(
        (&event.actors[..], event.client_id.as_str()),
        (&["agent:a1".to_owned()][..], "app")
    );
    let method = "lightning.monitoring.v1.MonitoringService/GetService";
    assert_eq!((event.resource_type.as_str(), event.resource_id.as_str()), ("method", method));
    assert_eq!(event.details["permission"], "monitoring.read");
    assert!(event.event_time.is_some());
    assert!(!format!("{event:?}").contains("secret-argument"));
}

#[tokio::test]
async fn refusals_of_one_resource_are_told_with_the_resource() {
    let forbid = r#"@id("not-theirs") forbid(principal, action, resource)
        when { resource.kind == "service" && resource.id == "vault" };"#;
    let (harness, mut told) = mesh(forbid, 0).await;
    refused(&harness, ada(&["monitoring.read"]), "resource:vault").await;
    let (_, event) = told.event(1).await;
    assert_eq!((event.action.as_str(), event.outcome()), ("call.denied", Outcome::Denied));
    assert_eq!((event.resource_type.as_str(), event.resource_id.as_str()), ("service", "vault"));
    assert_eq!(event.details["permission"], "monitoring.read");
    assert_eq!(event.details["method"], "lightning.monitoring.v1.MonitoringService/GetService");
    assert_eq!(event.subject, "user:u1");
}

#[tokio::test]
async fn what_auth_did_not_take_is_counted_in_the_next_report() {
    let (harness, mut told) = mesh("", 1).await;
    refused(&harness, ada(&[]), "x").await;
    let (_, lost) = told.next().await;
    assert_eq!((lost.audit_events.len(), lost.dropped_count), (1, 0));
    refused(&harness, ada(&[]), "x").await;
    let (_, next) = told.next().await;
    assert_eq!((next.audit_events.len(), next.dropped_count), (1, 1));
    refused(&harness, ada(&[]), "x").await;
    let (_, last) = told.next().await;
    assert_eq!((last.audit_events.len(), last.dropped_count), (1, 0));
}

#[tokio::test]
async fn that_auth_cannot_be_reached_holds_up_no_call() {
    let access = AccessState { revision: 1, ..AccessState::default() };
    let harness = start(Harness::builder(&["monitoring"]).access(Some(access))).await;
    for _ in 0..2_000 {
        refused(&harness, ada(&[]), "x").await;
    }
    let mut monitoring = client(harness.channel_as("monitoring", ada(&["monitoring.read"])));
    monitoring.get_service(get("who")).await.unwrap();
}

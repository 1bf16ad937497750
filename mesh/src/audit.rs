//! What services report to the audit trail: calls that were not allowed, and uses of secrets.
//!
//! Reporting never holds up a call. Events go into a bounded queue; one task per process gathers them for
//! a second, counts those that are alike as one, and hands them to auth. What does not fit or cannot be
//! handed over is dropped and counted, and the count is part of the next report: somebody who is refused a
//! thousand times a second must be able to fill neither the memory nor the trail.
//!
//! It decides nothing and keeps nothing; the chain of events is auth's.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lightning_proto::auth::v1::{
    AuditEvent, ReportEventsRequest, audit_event::Outcome, audit_service_client::AuditServiceClient,
};
use prometheus_client::metrics::counter::ConstCounter;
use tokio::sync::mpsc;

use crate::{
    authorization::Resource, channel::Channel, clock::Clock, identity::Caller, shutdown::Shutdown,
    task, telemetry::Metrics,
};

/// How many events wait to be gathered.
const QUEUE: usize = 1_024;
/// How long events are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// The most different events of one report.
const MAX_DIFFERENT: usize = 500;
/// How long auth may take to keep a report.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is not reported when it is refused: the reporting itself.
const OWN: &str = "/lightning.auth.v1.AuditService/ReportEvents";

/// The way to the audit trail. Clones share it.
#[derive(Clone)]
pub struct Reports(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<AuditEvent>,
    clock: Clock,
    dropped: AtomicU64,
    /// Of those, how many auth was told of.
    told: AtomicU64,
}

/// Organisation, action, subject, the kind and the id of the resource, and what was asked for: events
/// that agree in these are alike.
type Key = ([String; 5], Option<String>);

// === impl Reports ===

impl Reports {
    /// Starts the task that hands events to auth until the last listener is quiet. Inside the runtime.
    pub(crate) fn start(auth: Channel, clock: Clock, shutdown: Shutdown) -> Self {
        let (queue, mut events) = mpsc::channel(QUEUE);
        let (dropped, told) = (AtomicU64::new(0), AtomicU64::new(0));
        let reports = Self(Arc::new(Inner { queue, clock, dropped, told }));
        let inner = reports.0.clone();
        task::spawn("audit-reports", async move {
            let end = async move {
                shutdown.requested().await;
                shutdown.quiet().await;
            };
            let mut end = std::pin::pin!(end);
            loop {
                let first = tokio::select! {
                    event = events.recv() => event,
                    () = &mut end => return,
                };
                let Some(first) = first else { return };
                let mut gathered = HashMap::new();
                inner.gather(&mut gathered, first);
                let pause = tokio::time::sleep(GATHER);
                let mut pause = std::pin::pin!(pause);
                while gathered.len() < MAX_DIFFERENT {
                    tokio::select! {
                        event = events.recv() => match event {
                            Some(event) => inner.gather(&mut gathered, event),
                            None => break,
                        },
                        () = &mut pause => break,
                        () = &mut end => break,
                    }
                }
                inner.hand_over(&auth, gathered).await;
            }
        });
        reports
    }

    /// Reports that a caller was refused a method (`/package.Service/Method`) for want of a permission.
    pub(crate) fn denied(&self, caller: &Caller, path: &str, permission: &str) {
        if path == OWN {
            return;
        }
        let mut event = self.event(caller, "call.denied", Outcome::Denied);
        event.resource_type = "method".to_owned();
        event.resource_id = path.trim_start_matches('/').to_owned();
        event.details = HashMap::from([("permission".to_owned(), permission.to_owned())]);
        self.push(event);
    }

    /// Reports that a handler refused a caller one resource, because of a policy.
    pub(crate) fn denied_resource(
        &self,
        caller: &Caller,
        path: &str,
        permission: &str,
        resource: &Resource,
    ) {
        let mut event = self.event(caller, "call.denied", Outcome::Denied);
        event.resource_type.clone_from(&resource.kind);
        event.resource_id.clone_from(&resource.id);
        event.details = HashMap::from([
            ("permission".to_owned(), permission.to_owned()),
            ("method".to_owned(), path.trim_start_matches('/').to_owned()),
        ]);
        self.push(event);
    }

    /// Reports that the secret of a thing (a kind and an id, such as `integration` and its id) was used
    /// in the name of a caller. The secret itself is nobody's to tell.
    pub fn secret_used(&self, caller: &Caller, kind: &str, id: &str) {
        let mut event = self.event(caller, "secret.used", Outcome::Success);
        event.resource_type = kind.to_owned();
        event.resource_id = id.to_owned();
        self.push(event);
    }

    /// Shows how many events were dropped.
    pub(crate) fn register(&self, metrics: &Metrics) {
        let inner = self.0.clone();
        metrics.registry(|registry| {
            registry.register_collector(Box::new(Dropped(inner)));
        });
    }

    fn event(&self, caller: &Caller, action: &str, outcome: Outcome) -> AuditEvent {
        AuditEvent {
            event_time: Some(self.0.clock.now().to_proto()),
            action: action.to_owned(),
            outcome: outcome.into(),
            subject: caller.subject.clone(),
            organization_id: caller.organization_id.clone(),
            actors: caller.actors.clone(),
            client_id: caller.client_id.clone().unwrap_or_default(),
            address: caller.address.map(|address| address.to_string()).unwrap_or_default(),
            ..AuditEvent::default()
        }
    }

    fn push(&self, event: AuditEvent) {
        if self.0.queue.try_send(event).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// === impl Inner ===

impl Inner {
    fn gather(&self, gathered: &mut HashMap<Key, (AuditEvent, u64)>, event: AuditEvent) {
        let AuditEvent { organization_id, action, subject, resource_type, resource_id, .. } =
            &event;
        let key = [organization_id, action, subject, resource_type, resource_id].map(String::clone);
        let key = (key, event.details.get("method").cloned());
        gathered.entry(key).or_insert((event, 0)).1 += 1;
    }

    /// Hands events to auth, once: a report that may have arrived is not repeated.
    async fn hand_over(&self, auth: &Channel, gathered: HashMap<Key, (AuditEvent, u64)>) {
        let total: u64 = gathered.values().map(|(_, count)| count).sum();
        let counted = |(mut event, count): (AuditEvent, u64)| {
            if count > 1 {
                event.details.insert("count".to_owned(), count.to_string());
            }
            event
        };
        let audit_events = gathered.into_values().map(counted).collect();
        let (dropped, told) =
            (self.dropped.load(Ordering::Relaxed), self.told.load(Ordering::Relaxed));
        let dropped_count = i64::try_from(dropped.saturating_sub(told)).unwrap_or(i64::MAX);
        let request = ReportEventsRequest { audit_events, dropped_count };
        let mut client = AuditServiceClient::new(auth.clone());
        let answer = tokio::time::timeout(PATIENCE, client.report_events(request)).await;
        match answer {
            Ok(Ok(_)) => self.told.store(dropped, Ordering::Relaxed),
            Ok(Err(status)) => {
                self.dropped.fetch_add(total, Ordering::Relaxed);
                tracing::warn!(events = total, code = ?status.code(), "audit events were not taken");
            }
            Err(_) => {
                self.dropped.fetch_add(total, Ordering::Relaxed);
                tracing::warn!(events = total, "audit events were not taken in time");
            }
        }
    }
}

/// The figure of dropped events, read when somebody looks.
struct Dropped(Arc<Inner>);

impl std::fmt::Debug for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dropped")
    }
}

impl prometheus_client::collector::Collector for Dropped {
    fn encode(
        &self,
        mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeMetric as _;
        let counter = ConstCounter::new(self.0.dropped.load(Ordering::Relaxed));
        let metric = encoder.encode_descriptor(
            "audit_reports_dropped",
            "Audit events that were lost before auth had them",
            None,
            counter.metric_type(),
        )?;
        counter.encode(metric)
    }
}

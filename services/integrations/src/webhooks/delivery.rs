//! Delivery: starts the workflow of each event, until it is done or has failed too often.
//!
//! What is to be done stands in the database and nowhere else, so a restart goes on where it was. The
//! request id follows from the event, so that a start that is repeated after a crash starts nothing
//! twice; several processes may therefore do this at once.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{TryStreamExt as _, stream};
use lightning_mesh::{channel::Peers, clock::Clock, json, shutdown::Shutdown};
use lightning_proto::workflows::v1::{
    ExecuteWorkflowRequest, Execution, execution_service_client::ExecutionServiceClient,
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tonic::{Code, Status};

use crate::{
    Error,
    domain::{Event, Webhook, cut, is_too_deep},
    store::Store,
};

/// How many events are read at a time.
const BATCH: i64 = 32;
/// How many workflows are started at a time.
const CONCURRENCY: usize = 8;
/// How long one start may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The first wait before a repetition; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait before a repetition.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How often the database is looked at while events wait.
const POLL: Duration = Duration::from_secs(5);
/// How often it is looked at while none does: another process may have stored one and died.
const IDLE: Duration = Duration::from_secs(60);
/// The longest reason that is kept, in characters.
const MAX_REASON: usize = 500;

/// Starts workflows for events.
pub(crate) struct Deliverer {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) peers: Peers,
    pub(crate) wake: Arc<Notify>,
    /// How often the start of one event is tried.
    pub(crate) attempts: u32,
}

// === impl Deliverer ===

impl Deliverer {
    /// Delivers until the shutdown.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        loop {
            let wait = tokio::select! {
                () = shutdown.requested() => return,
                round = self.round() => round.unwrap_or_else(|error| {
                    tracing::warn!(error = %lightning_mesh::fault::Chain(&error), "events wait for the store");
                    POLL
                }),
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Hands on everything that is due; answers how long to wait for what is not.
    async fn round(&self) -> Result<Duration, Error> {
        loop {
            let due = self.store.due_events(self.clock.now(), BATCH).await?;
            if due.is_empty() {
                break;
            }
            stream::iter(due.iter().map(Ok))
                .try_for_each_concurrent(CONCURRENCY, |event| self.hand_on(event))
                .await?;
        }
        let next = self.store.next_due().await?;
        Ok(next.map_or(IDLE, |next| next.since(self.clock.now()).min(POLL)))
    }

    async fn hand_on(&self, event: &Event) -> Result<(), Error> {
        let webhook = match self.store.webhook(&event.organization_id, &event.webhook_id).await {
            // Deleted just now, and its events with it.
            Err(Error::WebhookNotFound { .. }) => return Ok(()),
            other => other?,
        };
        match self.start(&webhook, event).await {
            Ok(execution) => {
                tracing::debug!(webhook_id = %webhook.id, execution_id = execution.id, "event delivered");
                self.store.event_delivered(event, &execution.id).await
            }
            Err(status) => {
                let why = cut(&format!("{:?}: {}", status.code(), status.message()), MAX_REASON);
                let attempt = u32::try_from(event.attempts).unwrap_or(u32::MAX).saturating_add(1);
                if is_final(status.code()) || attempt >= self.attempts {
                    tracing::warn!(webhook_id = %webhook.id, attempt, error = why, "event failed");
                    return self.store.event_failed(event, &why).await;
                }
                let due = self.clock.now() + wait_after(attempt);
                self.store.event_later(event, &why, due).await
            }
        }
    }

    async fn start(&self, webhook: &Webhook, event: &Event) -> Result<Execution, Status> {
        let request = ExecuteWorkflowRequest {
            workflow_id: webhook.workflow_id.clone().unwrap_or_default(),
            input_data: Some(json::to_struct(json!({ "event": input(event) }))),
            async_execution: Some(true),
            labels: [("webhook_id".to_owned(), webhook.id.to_string())].into(),
            request_id: request_id(event),
            ..ExecuteWorkflowRequest::default()
        };
        let deadline = tokio::time::Instant::now() + START_TIMEOUT;
        let caller = webhook.owner.detached().with_deadline(Some(deadline));
        let mut executions = ExecutionServiceClient::new(self.peers.channel("workflows"));
        let starting = executions.execute_workflow(caller.request(request));
        match tokio::time::timeout_at(deadline, starting).await {
            Ok(started) => started.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("the workflow did not start in time")),
        }
    }
}

/// What the workflow sees of an event.
fn input(event: &Event) -> Value {
    let mut seen = json!({
        "id": event.id,
        "webhook_id": event.webhook_id.as_str(),
        "content_type": event.content_type,
        "create_time": event.created_at.to_string(),
    });
    let (name, value) = match (payload(event), std::str::from_utf8(&event.body)) {
        (Some(payload), _) => ("payload", payload),
        (None, Ok(text)) => ("text", Value::String(text.to_owned())),
        (None, Err(_)) => ("base64", Value::String(STANDARD.encode(&event.body))),
    };
    seen[name] = value;
    seen
}

/// The body of an event as JSON, if it is JSON that can be carried as a value.
pub(crate) fn payload(event: &Event) -> Option<Value> {
    serde_json::from_slice(&event.body).ok().filter(|value| !is_too_deep(value))
}

/// A UUID that follows from the event (version 8: made by our own rule).
fn request_id(event: &Event) -> String {
    let name = format!("webhook-event\n{}\n{}", event.webhook_id, event.id);
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes.iter().enumerate().fold(String::with_capacity(36), |mut text, (position, byte)| {
        let dash = if matches!(position, 4 | 6 | 8 | 10) { "-" } else { "" };
        write!(text, "{dash}{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// Whether a repetition would be answered the same.
fn is_final(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => true,
        // Unauthenticated passes: keys may still be on their way after a start.
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

fn wait_after(attempt: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use lightning_mesh::clock::Timestamp;

    use super::*;
    use crate::domain::{EventStatus, WebhookId};

    fn event(id: &str, body: &[u8]) -> Event {
        Event {
            organization_id: "default".to_owned(),
            id: id.to_owned(),
            webhook_id: WebhookId::parse("w").unwrap(),
            status: EventStatus::Pending,
            content_type: "text/plain".to_owned(),
            body: body.to_vec(),
            execution_id: None,
            error: None,
            attempts: 0,
            created_at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn the_request_id_follows_from_the_event_and_is_a_uuid() {
        let id = request_id(&event("a", b""));
        assert_eq!(id, request_id(&event("a", b"other")));
        assert_ne!(id, request_id(&event("b", b"")));
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
    }

    #[test]
    fn the_workflow_sees_json_text_or_bytes() {
        let check = |body: &[u8], name: &str, expected: Value| {
            assert_eq!(input(&event("a", body))[name], expected);
        };
        check(br#"{"a": 1}"#, "payload", json!({"a": 1}));
        check(b"a=1", "text", json!("a=1"));
        check(&[0xff], "base64", json!("/w=="));
        check("[".repeat(99).as_bytes(), "text", json!("[".repeat(99)));
    }

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<u64> =
            [1, 2, 3, 9, 10, 99].into_iter().map(|n| wait_after(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    }
}

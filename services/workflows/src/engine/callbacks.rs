//! Reports the ends of executions to the addresses that their callers gave.
//!
//! A callback is a row that is written together with the end, so it survives a restart. It is
//! delivered through the integrations service, which alone may talk to the outside, and tried again
//! with growing pauses until it is taken or has been tried often enough.

use std::{sync::Arc, time::Duration};

use lightning_mesh::{clock::Timestamp, fault::Chain, identity::Caller, task};
use lightning_proto::{
    google::api::HttpBody,
    integrations::v1::{DeliverCallbackRequest, callback_service_client::CallbackServiceClient},
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tonic::{Code, Status};

use super::Engine;
use crate::{
    Error,
    domain::{Execution, Problem},
    store::Callback,
};

/// Callbacks that are delivered at once.
const CHUNK: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);
/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long the table is not looked at if nothing seems due.
const IDLE: Duration = Duration::from_secs(60);

/// Wakes the deliveries.
#[derive(Default)]
pub(super) struct Callbacks(Arc<Notify>);

// === impl Callbacks ===

impl Callbacks {
    /// There is a new one.
    pub(super) fn wake(&self) {
        self.0.notify_one();
    }
}

/// Starts the task; it ends with the shutdown.
pub(super) fn start(engine: &Arc<Engine>) {
    let wake = engine.callbacks.0.clone();
    let engine = Arc::downgrade(engine);
    task::spawn("workflow callbacks", async move {
        loop {
            let Some(engine) = engine.upgrade() else { return };
            let pause = match deliver_due(&engine).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "callbacks will be tried again");
                    FIRST_PAUSE
                }
            };
            let shutdown = engine.shutdown.clone();
            drop(engine);
            tokio::select! {
                () = shutdown.requested() => return,
                () = wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
}

/// Delivers what is due; tells when to look again.
async fn deliver_due(engine: &Arc<Engine>) -> Result<Duration, Error> {
    loop {
        let now = engine.clock.now();
        let due = engine.store.due_callbacks(now, CHUNK).await?;
        if due.is_empty() || engine.shutdown.is_requested() {
            let next = engine.store.next_callback().await?;
            return Ok(
                next.map_or(IDLE, |next| next.since(now).clamp(Duration::from_millis(10), IDLE))
            );
        }
        let deliveries = due.iter().map(|callback| deliver(engine, callback));
        futures_util::future::try_join_all(deliveries).await?;
    }
}

async fn deliver(engine: &Engine, callback: &Callback) -> Result<(), Error> {
    let id = &callback.execution_id;
    let execution = match engine.store.execution(&callback.organization_id, id).await {
        Ok(execution) => execution,
        Err(Error::ExecutionNotFound { .. }) => return engine.store.remove_callback(id).await,
        Err(error) => return Err(error),
    };
    let Some(url) = execution.callback_url.clone() else {
        return engine.store.remove_callback(id).await;
    };
    let request = DeliverCallbackRequest {
        url,
        body: Some(HttpBody {
            content_type: "application/json".to_owned(),
            data: body(&execution).to_string().into(),
            extensions: Vec::new(),
        }),
        idempotency_key: id.to_string(),
    };
    let caller = Caller::service("workflows")
        .member_of(&callback.organization_id)
        .with_deadline(Some(tokio::time::Instant::now() + TIMEOUT));
    let mut client = CallbackServiceClient::new(engine.peers.channel("integrations"));
    match client.deliver_callback(caller.request(request)).await {
        Ok(_) => {
            tracing::info!(execution_id = %id, "callback delivered");
            engine.store.remove_callback(id).await
        }
        Err(status) => postpone(engine, callback, &status).await,
    }
}

async fn postpone(engine: &Engine, callback: &Callback, status: &Status) -> Result<(), Error> {
    let (id, attempts) = (&callback.execution_id, callback.attempts + 1);
    let last =
        u32::try_from(attempts).is_ok_and(|attempts| attempts >= engine.config.callback_attempts);
    if last || hopeless(status) {
        tracing::warn!(execution_id = %id, attempts, code = ?status.code(), "callback given up");
        return engine.store.remove_callback(id).await;
    }
    tracing::debug!(execution_id = %id, attempts, code = ?status.code(), "callback will be tried again");
    let due = next_due(engine.clock.now(), attempts);
    engine.store.postpone_callback(id, attempts, due).await
}

/// Whether the same delivery cannot succeed later.
fn hopeless(status: &Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::Unimplemented)
}

fn next_due(now: Timestamp, attempts: i32) -> Timestamp {
    let doubled = u32::try_from(attempts - 1).ok().and_then(|shift| 1u32.checked_shl(shift));
    now + FIRST_PAUSE.saturating_mul(doubled.unwrap_or(u32::MAX)).min(LONGEST_PAUSE)
}

/// The execution as the callback tells of it: the words of the REST answer, without steps.
fn body(execution: &Execution) -> Value {
    let mut body = json!({
        "id": execution.id.as_str(),
        "workflow_id": execution.workflow_id.as_str(),
        "workflow_version": execution.version,
        "status": execution.status.word(),
        "input_data": execution.input,
        "callback_url": execution.callback_url,
        "labels": execution.labels,
        "caller": execution.subject,
        "create_time": execution.created_at.to_string(),
    });
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[key] = value;
        }
    };
    put("output", execution.output.clone());
    put("error", execution.problem.as_ref().map(Problem::to_value));
    put("start_time", execution.started_at.map(|time| Value::from(time.to_string())));
    put("end_time", execution.ended_at.map(|time| Value::from(time.to_string())));
    body
}

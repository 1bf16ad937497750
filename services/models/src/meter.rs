//! The meter of one call: what it used, what that costs, and a durable record of it.
//!
//! A call is recorded whatever becomes of it. The record is on disk before the last piece of an answer
//! leaves, because an answer that was given and not charged cannot be found again. When the caller goes
//! away the meter is dropped, and a task of its own records what was used until then.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use lightning_mesh::{
    clock::Clock,
    fault::Chain,
    id,
    identity::Caller,
    shutdown::{Guard, Shutdown},
    task,
};
use tokio::time::Instant;

use crate::{
    domain::{CallRecord, ChatAnswer, ChatRequest, Kind, Model, Outcome, Prices, Usage, dollars},
    error::Error,
    provider::scripted::tokens,
    store::Store,
};

/// Makes meters and adds up what they count.
#[derive(Clone)]
pub(crate) struct Meters(Arc<Shared>);

struct Shared {
    store: Store,
    clock: Clock,
    shutdown: Shutdown,
    calls: AtomicU64,
    failures: AtomicU64,
    input_tokens: AtomicI64,
    output_tokens: AtomicI64,
    cost: AtomicI64,
}

/// Counts one call.
pub(crate) struct Meter {
    shared: Arc<Shared>,
    prices: Prices,
    started: Instant,
    /// Taken when it is written.
    record: Option<CallRecord>,
    /// The question, for counting tokens when the provider does not.
    request: Option<Arc<ChatRequest>>,
    /// The answer as far as it came.
    pub(crate) answer: ChatAnswer,
    /// The end of the process waits for a call that runs, within its bound.
    _guard: Guard,
}

/// What a call used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) usage: Usage,
    /// In nano-dollars.
    pub(crate) cost: i64,
}

// === impl Meters ===

impl Meters {
    pub(crate) fn new(store: Store, clock: Clock, shutdown: Shutdown) -> Self {
        Self(Arc::new(Shared {
            store,
            clock,
            shutdown,
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            input_tokens: AtomicI64::new(0),
            output_tokens: AtomicI64::new(0),
            cost: AtomicI64::new(0),
        }))
    }

    /// Begins to count a call. `request` is the question of a chat.
    pub(crate) fn begin(
        &self,
        caller: &Caller,
        model: &Model,
        kind: Kind,
        request: Option<Arc<ChatRequest>>,
    ) -> Meter {
        let record = CallRecord {
            id: id::generate(),
            create_time: self.0.clock.now(),
            model: model.id.to_string(),
            provider: model.provider.clone(),
            organization_id: caller.organization_id.clone(),
            caller: caller.subject.clone(),
            kind,
            outcome: Outcome::Ok,
            usage: Usage::default(),
            estimated: false,
            cost: 0,
            latency_micros: 0,
        };
        Meter {
            shared: Arc::clone(&self.0),
            prices: model.prices,
            started: Instant::now(),
            record: Some(record),
            request,
            answer: ChatAnswer::default(),
            _guard: self.0.shutdown.guard(),
        }
    }

    /// The sums since the process started, for the figures of the service.
    pub(crate) fn figures(&self) -> Vec<(String, f64)> {
        let Shared { calls, failures, input_tokens, output_tokens, cost, .. } = &*self.0;
        let count = |figure: &AtomicU64| figure.load(Ordering::Relaxed) as f64;
        let sum = |figure: &AtomicI64| figure.load(Ordering::Relaxed) as f64;
        vec![
            ("inferences_total".to_owned(), count(calls)),
            ("inferences_failed_total".to_owned(), count(failures)),
            ("input_tokens_total".to_owned(), sum(input_tokens)),
            ("output_tokens_total".to_owned(), sum(output_tokens)),
            ("cost_usd_total".to_owned(), dollars(cost.load(Ordering::Relaxed))),
        ]
    }
}

// === impl Meter ===

impl Meter {
    /// Records an answered call. `usage` is what the provider says, or nothing.
    pub(crate) async fn answered(mut self, usage: Option<Usage>) -> Result<Used, Error> {
        let Some(record) = self.settle(Outcome::Ok, usage) else {
            return Err(Error::Damaged("a call was recorded twice"));
        };
        self.shared.store.insert_call(&record).await?;
        Ok(Used { usage: record.usage, cost: record.cost })
    }

    /// Records a call that failed, at no cost. The caller reads why the call failed, not that the
    /// record did.
    pub(crate) async fn failed(mut self) {
        if let Some(record) = self.settle(Outcome::Failed, Some(Usage::default())) {
            write(&self.shared.store, &record).await;
        }
    }

    /// Completes the record, once, and adds to the figures.
    fn settle(&mut self, outcome: Outcome, usage: Option<Usage>) -> Option<CallRecord> {
        let mut record = self.record.take()?;
        record.outcome = outcome;
        record.estimated = usage.is_none();
        record.usage = usage.unwrap_or_else(|| self.estimate());
        record.cost = match outcome {
            Outcome::Ok | Outcome::Cancelled => {
                self.prices.cost(record.usage.input_tokens, record.usage.output_tokens)
            }
            Outcome::Failed => 0,
        };
        record.latency_micros =
            i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.shared.count(&record);
        Some(record)
    }

    /// The tokens of what was asked and answered, by the documented rule of the scripted models.
    fn estimate(&self) -> Usage {
        let input_tokens = self.request.as_ref().map_or(0, |request| tokens::of_request(request));
        Usage { input_tokens, output_tokens: tokens::of_answer(&self.answer) }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // Without a runtime the process is gone anyway.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        if let Some(record) = self.settle(Outcome::Cancelled, None) {
            let store = self.shared.store.clone();
            let guard = self.shared.shutdown.guard();
            task::spawn("record-cancelled-call", async move {
                write(&store, &record).await;
                drop(guard);
            });
        }
    }
}

// === impl Shared ===

impl Shared {
    fn count(&self, record: &CallRecord) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if record.outcome == Outcome::Failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        self.input_tokens.fetch_add(record.usage.input_tokens, Ordering::Relaxed);
        self.output_tokens.fetch_add(record.usage.output_tokens, Ordering::Relaxed);
        self.cost.fetch_add(record.cost, Ordering::Relaxed);
    }
}

async fn write(store: &Store, record: &CallRecord) {
    if let Err(error) = store.insert_call(record).await {
        tracing::error!(model = %record.model, error = %Chain(&error), "call not recorded");
    }
}

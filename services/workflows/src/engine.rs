//! The engine: runs executions so that a crash at any moment loses nothing that was told to anybody.
//!
//! Each execution is one task that interprets its definition and writes a journal. The rule is output
//! commit: before anything leaves the process (a call, an answer, a wait), everything it depends on is
//! on disk; between, steps cost no flush. At the start every open execution is run again from its
//! journal: recorded steps give their recorded results, and the first one without a result is where
//! work goes on. A call that was under way is made again with the same idempotency key.
//!
//! Waiting takes neither a place among the running nor the processor. The definitions are data, so
//! replay needs no promise of determinism from anybody.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use lightning_mesh::{
    Context, channel::Peers, clock::Clock, fault::Chain, idempotency::Key, identity::Caller,
    shutdown::Shutdown, task,
};
use lightning_proto::workflows::v1 as pb;
use tokio::sync::Semaphore;

use crate::{
    Config, Error,
    definition::{self, Definition, Finding},
    domain::{Execution, ExecutionId, StepRun},
    repeat,
    store::{Store, Written},
};

mod callbacks;
mod calls;
mod drive;
mod interpreter;
mod journal;
mod kinds;
mod run;
mod scope;
mod timers;
mod tried;

pub(crate) use run::{Event, Run};

use timers::Timers;

/// Definitions that are kept compiled.
const MAX_PLANS: usize = 256;
/// How long a cancellation waits for the execution's end before it answers anyway.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// Largest value that goes into or comes out of a step: 1 MiB.
pub(crate) const MAX_DATA: usize = 1 << 20;

/// What all executions of this process share.
pub(crate) struct Engine {
    store: Store,
    clock: Clock,
    peers: Peers,
    shutdown: Shutdown,
    config: Config,
    timers: Timers,
    turns: Arc<Semaphore>,
    runs: Mutex<HashMap<ExecutionId, Arc<Run>>>,
    plans: Mutex<HashMap<String, Arc<Definition>>>,
    lsn: AtomicI64,
    callbacks: callbacks::Callbacks,
    tally: Tally,
}

/// Counts since the start of the process.
#[derive(Default)]
struct Tally {
    completed: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    steps: AtomicU64,
}

// === impl Engine ===

impl Engine {
    /// Starts the engine and resumes what was open.
    pub(crate) async fn start(
        store: Store,
        config: Config,
        context: &Context,
    ) -> Result<Arc<Self>, Error> {
        let lsn = store.last_lsn().await?;
        let engine = Arc::new(Self {
            timers: Timers::start(context.clock().clone(), context.shutdown().clone()),
            turns: Arc::new(Semaphore::new(config.max_running_executions.max(1))),
            clock: context.clock().clone(),
            peers: context.peers().clone(),
            shutdown: context.shutdown().clone(),
            runs: Mutex::default(),
            plans: Mutex::default(),
            lsn: AtomicI64::new(lsn + 1),
            callbacks: callbacks::Callbacks::default(),
            tally: Tally::default(),
            store,
            config,
        });
        callbacks::start(&engine);
        engine.recover().await?;
        Ok(engine)
    }

    async fn recover(self: &Arc<Self>) -> Result<(), Error> {
        let open = self.store.open_executions().await?;
        if !open.is_empty() {
            tracing::info!(executions = open.len(), "resuming open executions");
        }
        for open in open {
            let caller: Caller = serde_json::from_str(&open.caller)
                .map_err(|_| Error::Damaged { what: "a caller" })?;
            // A caller who was kept before there were organisations has none.
            let run = Arc::new(Run::new(open.id, caller.member_of(open.organization_id)));
            self.runs().insert(run.id().clone(), run.clone());
            self.launch(run, true);
        }
        Ok(())
    }

    /// Accepts an execution: durable when it returns, and under way.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        execution: &Execution,
        caller: &Caller,
        key: Option<Key>,
    ) -> Result<Written, Error> {
        if self.shutdown.is_requested() {
            return Err(Error::Draining);
        }
        let caller = caller.detached();
        let stored =
            serde_json::to_string(&caller).map_err(|_| Error::Damaged { what: "a caller" })?;
        let run = Arc::new(Run::new(execution.id.clone(), caller));
        self.admit(run.clone())?;
        let once = key.map(|key| repeat::once(key, &pb::Execution::from(execution.clone())));
        // If the caller goes away while this is written, the task still ends what it began.
        let (engine, execution) = (self.clone(), execution.clone());
        task::spawn("submit execution", async move {
            let written = engine.store.insert_execution(&execution, &stored, once).await;
            match &written {
                Ok(Written::Now) => {
                    tracing::info!(
                        execution_id = %execution.id,
                        workflow_id = %execution.workflow_id,
                        version = execution.version,
                        "execution accepted"
                    );
                    engine.launch(run, false);
                }
                Ok(Written::Before(_)) | Err(_) => {
                    engine.runs().remove(&execution.id);
                }
            }
            written
        })
        .await?
    }

    fn admit(&self, run: Arc<Run>) -> Result<(), Error> {
        let mut runs = self.runs();
        let limit = self.config.max_open_executions;
        if runs.len() >= limit {
            return Err(Error::TooManyExecutions { limit });
        }
        runs.insert(run.id().clone(), run);
        Ok(())
    }

    fn launch(self: &Arc<Self>, run: Arc<Run>, recovered: bool) {
        let engine = self.clone();
        task::spawn("execution", async move { drive::drive(&engine, &run, recovered).await });
    }

    /// Stops an execution; returns when it has ended.
    pub(crate) async fn cancel(
        self: &Arc<Self>,
        organization: &str,
        id: &ExecutionId,
        reason: &str,
    ) -> Result<Execution, Error> {
        let Some(run) = self.run(organization, id) else {
            let execution = self.store.execution(organization, id).await?;
            // An open execution that nobody runs is one that is being written at this moment.
            return Err(if execution.status.ended() {
                Error::ExecutionEnded { id: id.clone() }
            } else {
                Error::Contended
            });
        };
        if !run.request_cancel(self, reason).await? {
            return Err(Error::ExecutionEnded { id: id.clone() });
        }
        // Beyond the patience the answer shows where it is.
        let _ended = tokio::time::timeout(CANCEL_PATIENCE, run.ended()).await;
        self.store.execution(organization, id).await
    }

    /// Waits for the end of an execution, at once if it is over.
    pub(crate) async fn ended(
        &self,
        organization: &str,
        id: &ExecutionId,
    ) -> Result<Execution, Error> {
        if let Some(run) = self.run(organization, id) {
            tokio::select! {
                () = run.ended() => {}
                () = self.shutdown.requested() => {
                    // What runs may still end during the drain; what waits goes on after the restart.
                    tokio::select! {
                        () = run.ended() => {}
                        () = run.suspended() => return Err(Error::Interrupted { id: id.clone() }),
                    }
                }
            }
        }
        self.store.execution(organization, id).await
    }

    /// An execution with its steps, as far as they are durable.
    pub(crate) async fn look(
        &self,
        organization: &str,
        id: &ExecutionId,
    ) -> Result<(Execution, Vec<StepRun>, i64), Error> {
        // The journal first: whatever is added in between is then in the row or in later events.
        let journal = self.store.journal(organization, id).await?;
        let mut execution = self.store.execution(organization, id).await?;
        let journal = if execution.status.ended() {
            let journal = self.store.journal(organization, id).await?;
            execution = self.store.execution(organization, id).await?;
            journal
        } else {
            journal
        };
        let last = journal.last().map_or(0, |row| row.lsn);
        Ok((execution, journal::steps(&journal)?, last))
    }

    /// An execution without its steps.
    pub(crate) async fn glance(
        &self,
        organization: &str,
        id: &ExecutionId,
    ) -> Result<Execution, Error> {
        self.store.execution(organization, id).await
    }

    /// An execution of an organisation that is under way in this process.
    pub(crate) fn run(&self, organization: &str, id: &ExecutionId) -> Option<Arc<Run>> {
        self.runs().get(id).filter(|run| run.organization() == organization).cloned()
    }

    /// The compiled definition of a version.
    pub(crate) async fn plan(
        &self,
        version: &crate::domain::Version,
    ) -> Result<Arc<Definition>, Error> {
        if let Some(plan) = self.plans().get(&version.hash) {
            return Ok(plan.clone());
        }
        let value = version.definition.clone();
        let read = tokio::task::spawn_blocking(move || definition::read(&value)).await?;
        // One that was taken once may break a rule that is younger.
        let plan = Arc::new(read.map_err(|findings| {
            let fault = |finding: &Finding| {
                (format!("definition{}", finding.pointer), finding.message.clone())
            };
            Error::DefinitionInvalid { faults: findings.iter().map(fault).collect() }
        })?);
        let mut plans = self.plans();
        if plans.len() >= MAX_PLANS {
            plans.clear();
        }
        plans.insert(version.hash.clone(), plan.clone());
        Ok(plan)
    }

    /// Named figures for `GET /api/v1/metrics`.
    pub(crate) fn figures(&self) -> Vec<(String, f64)> {
        let open = self.runs().len();
        let running =
            self.config.max_running_executions.saturating_sub(self.turns.available_permits());
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "figures are doubles on the wire")]
        let figure = |name: &str, value: u64| (name.to_owned(), value as f64);
        vec![
            figure("executions_open", open as u64),
            figure("executions_running", running as u64),
            figure("executions_completed_total", count(&self.tally.completed)),
            figure("executions_failed_total", count(&self.tally.failed)),
            figure("executions_cancelled_total", count(&self.tally.cancelled)),
            figure("steps_total", count(&self.tally.steps)),
        ]
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<ExecutionId, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<String, Arc<Definition>>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs what could not be done and is done again.
fn again(what: &'static str, id: &ExecutionId, error: &Error) {
    tracing::warn!(execution_id = %id, what, error = %Chain(error), "will be tried again");
}

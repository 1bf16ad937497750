//! One execution while it is open: its journal on the way to the disk, its state, who watches it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use lightning_mesh::{clock::Timestamp, identity::Caller, task};
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, broadcast, watch};

use super::{
    Engine, again,
    journal::{Began, Ended, Entry, History, Past},
};
use crate::{
    Error,
    domain::{ExecutionId, Problem, Status, StepRun, StepStatus},
    pages::weight,
    store::{JournalRow, Progress},
};

/// Events that a slow watcher may lag behind before it is shown everything anew.
const EVENTS: usize = 256;
/// Entries and bytes that are written even if nothing asks for it.
const MAX_PENDING: usize = 256;
const MAX_PENDING_BYTES: usize = 4 << 20;
/// Pauses between tries to write the journal.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The service stops before the execution has ended; it goes on at the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspended;

/// A change that watchers hear of, with its place in the journal.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A step began or ended.
    Step(i64, Box<StepRun>),
    /// The status changed.
    Moved,
    /// It has ended.
    Ended,
}

/// An open execution.
pub(crate) struct Run {
    id: ExecutionId,
    pub(super) caller: Caller,
    state: Mutex<State>,
    /// Held while entries are written, so that they are written in order.
    order: Arc<AsyncMutex<()>>,
    /// The place among the running, given up while everything in it waits.
    turn: AsyncMutex<Option<OwnedSemaphorePermit>>,
    events: broadcast::Sender<Event>,
    cancel: watch::Sender<bool>,
    life: watch::Sender<Life>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    Suspended,
    Ended,
}

struct State {
    pending: Vec<(Entry, Option<StepRun>)>,
    bytes: usize,
    history: History,
    running: BTreeMap<String, StepRun>,
    status: Status,
    moved: bool,
    started_at: Option<Timestamp>,
    /// Parts that run side by side, and how many of them wait.
    parts: usize,
    waiting: usize,
    steps: u32,
    cancelled: bool,
    ending: bool,
}

// === impl Run ===

impl Run {
    pub(super) fn new(id: ExecutionId, caller: Caller) -> Self {
        let state = State {
            pending: Vec::new(),
            bytes: 0,
            history: History::default(),
            running: BTreeMap::new(),
            status: Status::Pending,
            moved: false,
            started_at: None,
            parts: 1,
            waiting: 0,
            steps: 0,
            cancelled: false,
            ending: false,
        };
        Self {
            id,
            caller,
            state: Mutex::new(state),
            order: Arc::default(),
            turn: AsyncMutex::default(),
            events: broadcast::channel(EVENTS).0,
            cancel: watch::channel(false).0,
            life: watch::channel(Life::Open).0,
        }
    }

    /// The organisation that the execution belongs to: that of whoever started it.
    pub(crate) fn organization(&self) -> &str {
        &self.caller.organization_id
    }

    pub(crate) fn id(&self) -> &ExecutionId {
        &self.id
    }

    /// Hears of every change from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Returns when it has ended.
    pub(crate) async fn ended(&self) {
        self.reaches(Life::Ended).await;
    }

    /// Returns when it was left for the next start.
    pub(crate) async fn suspended(&self) {
        self.reaches(Life::Suspended).await;
    }

    async fn reaches(&self, life: Life) {
        let mut watched = self.life.subscribe();
        // The sender is ours, so it cannot be gone.
        let _ = watched.wait_for(|now| *now == life).await;
    }

    pub(super) fn suspend(&self) {
        self.life.send_replace(Life::Suspended);
    }

    /// Notes durably that it is to be stopped, and stops it. False if it has ended or is just ending.
    pub(super) async fn request_cancel(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        reason: &str,
    ) -> Result<bool, Error> {
        let time = engine.clock.now().as_micros();
        {
            let mut state = self.state();
            if state.ending {
                return Ok(false);
            }
            state.cancelled = true;
            state.push(Entry::Cancel { reason: reason.to_owned(), time }, None);
        }
        self.flush(engine).await.map_err(|Suspended| Error::Draining)?;
        self.cancel.send_replace(true);
        Ok(true)
    }

    /// Returns when somebody asked for it to be stopped.
    pub(super) async fn cancelled(&self) {
        let mut watched = self.cancel.subscribe();
        let _ = watched.wait_for(|cancelled| *cancelled).await;
    }

    /// Begins its end; from here on it cannot be cancelled. True if it was cancelled before.
    pub(super) fn begin_end(&self) -> bool {
        let mut state = self.state();
        state.ending = true;
        state.cancelled
    }

    /// Takes what the journal says of an earlier life. True if that ended with a cancellation.
    pub(super) fn remember(
        &self,
        history: History,
        started_at: Option<Timestamp>,
        status: Status,
    ) -> bool {
        let mut state = self.state();
        state.started_at = started_at;
        state.status = status;
        state.cancelled |= history.cancelled;
        state.history = history;
        state.cancelled
    }

    pub(super) fn past(&self, id: &str) -> Option<Past> {
        self.state().history.steps.get(id).cloned()
    }

    pub(super) fn past_retry(&self, id: &str, attempt: u32) -> Option<Timestamp> {
        self.state().history.retries.get(&(id.to_owned(), attempt)).copied()
    }

    /// When it began; the first call makes it begin.
    pub(super) fn begin(&self, now: Timestamp) -> Timestamp {
        let mut state = self.state();
        let started = *state.started_at.get_or_insert(now);
        if state.status != Status::Running {
            state.status = Status::Running;
            state.moved = true;
        }
        started
    }

    pub(super) fn started_at(&self) -> Option<Timestamp> {
        self.state().started_at
    }

    /// Counts a step; tells how many there were.
    pub(super) fn count_step(&self) -> u32 {
        let mut state = self.state();
        state.steps += 1;
        state.steps
    }

    /// Notes that a step began.
    pub(super) fn step_began(&self, began: Began) {
        let step = began.step();
        let mut state = self.state();
        state.running.insert(step.id.clone(), step.clone());
        state.push(Entry::Began(began), Some(step));
    }

    /// Notes that a step is under way that began in an earlier life.
    pub(super) fn step_resumed(&self, began: &Began) {
        let step = began.step();
        self.state().running.insert(step.id.clone(), step);
    }

    /// Notes that a step ended.
    pub(super) fn step_ended(&self, engine: &Engine, ended: Ended) {
        engine.tally.steps.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        let step = state.running.remove(&ended.id).and_then(|mut step| {
            ended.complete(&mut step).ok()?;
            Some(step)
        });
        state.push(Entry::Ended(ended), step);
    }

    /// Notes that the steps under this path are stopped; all of them for the empty path.
    pub(super) fn stop_steps(&self, engine: &Engine, path: &str) {
        let under = format!("{path}/");
        let stopped: Vec<String> = {
            let state = self.state();
            let under = state.running.values().filter(|step| step.path.starts_with(&under));
            under.map(|step| step.id.clone()).collect()
        };
        let time = engine.clock.now().as_micros();
        for id in stopped {
            let status = StepStatus::Cancelled.word().to_owned();
            let then = "continue".to_owned();
            self.step_ended(
                engine,
                Ended { id, status, output: None, problem: None, context: None, then, time },
            );
        }
    }

    pub(super) fn retry(&self, id: &str, attempt: u32, due: Timestamp) {
        let entry = Entry::Retry { id: id.to_owned(), attempt, due: due.as_micros() };
        self.state().push(entry, None);
    }

    /// Whether so much is pending that it should be written.
    pub(super) fn is_full(&self) -> bool {
        let state = self.state();
        state.pending.len() >= MAX_PENDING || state.bytes >= MAX_PENDING_BYTES
    }

    /// Takes a place among the running.
    pub(super) async fn take_turn(&self, engine: &Engine) -> Result<(), Suspended> {
        let mut turn = self.turn.lock().await;
        if turn.is_none() {
            let permit = tokio::select! {
                permit = engine.turns.clone().acquire_owned() => permit.map_err(|_| Suspended)?,
                () = engine.shutdown.requested() => return Err(Suspended),
            };
            *turn = Some(permit);
        }
        Ok(())
    }

    /// Waits until the clock shows `due`. If every part waits, others may run meanwhile.
    pub(super) async fn wait(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        due: Timestamp,
    ) -> Result<(), Suspended> {
        let waits = Waits::begin(self);
        self.rest(engine).await?;
        tokio::select! {
            () = engine.timers.until(due) => {}
            () = engine.shutdown.requested() => return Err(Suspended),
        }
        drop(waits);
        self.take_turn(engine).await?;
        self.flush(engine).await
    }

    /// Writes what is pending and, if every part waits, lets others run meanwhile.
    pub(super) async fn rest(self: &Arc<Self>, engine: &Arc<Engine>) -> Result<(), Suspended> {
        self.flush(engine).await?;
        if self.state().status == Status::Waiting {
            self.turn.lock().await.take();
        }
        Ok(())
    }

    /// Counts one further part that runs beside the others, until the guard is dropped.
    pub(super) fn split(self: &Arc<Self>) -> Part {
        self.state().parts += 1;
        Part(self.clone())
    }

    /// Writes what is pending; durable when it returns.
    pub(super) async fn flush(self: &Arc<Self>, engine: &Arc<Engine>) -> Result<(), Suspended> {
        self.write(engine, None).await
    }

    /// Writes what is pending and the end, and tells everybody.
    pub(super) async fn end(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        status: Status,
        output: Option<Value>,
        problem: Option<Problem>,
        callback: bool,
    ) -> Result<(), Suspended> {
        let ended_at = engine.clock.now();
        let started_at = self.started_at();
        let end = Progress::Ended { status, started_at, output, problem, ended_at, callback };
        self.write(engine, Some(end)).await?;
        Ok(())
    }

    pub(super) fn announce_end(&self) {
        self.life.send_replace(Life::Ended);
        // Nobody need be watching.
        let _ = self.events.send(Event::Ended);
    }

    /// The writing is a task of its own: whoever asked for it may be stopped at any moment, and
    /// entries that were taken must reach the disk all the same.
    async fn write(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        end: Option<Progress>,
    ) -> Result<(), Suspended> {
        if end.is_none() && !self.state().is_dirty() {
            // What was taken by a writer before us must still be durable when we return.
            drop(self.order.lock().await);
            return Ok(());
        }
        let (run, engine) = (self.clone(), engine.clone());
        let writing = task::spawn("journal", async move {
            let _order = run.order.clone().lock_owned().await;
            run.write_in_order(&engine, end).await
        });
        writing.await.unwrap_or(Err(Suspended))
    }

    async fn write_in_order(
        &self,
        engine: &Engine,
        end: Option<Progress>,
    ) -> Result<(), Suspended> {
        let (pending, moved) = {
            let mut state = self.state();
            state.bytes = 0;
            let moved = std::mem::take(&mut state.moved);
            let moved = moved
                .then_some(Progress::Moved { status: state.status, started_at: state.started_at });
            (std::mem::take(&mut state.pending), moved)
        };
        let announce = moved.is_some();
        let progress = end.or(moved);
        if pending.is_empty() && progress.is_none() {
            return Ok(());
        }
        let count = i64::try_from(pending.len()).unwrap_or(i64::MAX);
        let first = engine.lsn.fetch_add(count, Ordering::Relaxed);
        let rows: Vec<JournalRow> = (first..)
            .zip(&pending)
            .map(|(lsn, (entry, _))| JournalRow { lsn, entry: entry.text() })
            .collect();
        self.insist(engine, &rows, progress.as_ref()).await?;
        for (lsn, (_, step)) in (first..).zip(pending) {
            if let Some(step) = step {
                let _ = self.events.send(Event::Step(lsn, Box::new(step)));
            }
        }
        if announce {
            let _ = self.events.send(Event::Moved);
        }
        Ok(())
    }

    /// Writes until it is written or the service stops. A full disk or a lost database stops the
    /// execution for as long as it lasts, not for good.
    async fn insist(
        &self,
        engine: &Engine,
        rows: &[JournalRow],
        progress: Option<&Progress>,
    ) -> Result<(), Suspended> {
        let mut pause = FIRST_PAUSE;
        let mut repeated = false;
        loop {
            match engine.store.append(self.organization(), &self.id, rows, progress).await {
                Ok(()) => return Ok(()),
                // The try before was written after all.
                Err(Error::Store(error)) if repeated && error.is_conflict() => return Ok(()),
                Err(error) => again("journal", &self.id, &error),
            }
            repeated = true;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = engine.shutdown.requested() => return Err(Suspended),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn push(&mut self, entry: Entry, step: Option<StepRun>) {
        self.bytes += step
            .as_ref()
            .map_or(0, |step| weight(&step.input) + step.output.as_ref().map_or(0, weight));
        self.pending.push((entry, step));
    }

    fn is_dirty(&self) -> bool {
        self.moved || !self.pending.is_empty()
    }

    fn settle(&mut self) {
        let status = if self.waiting >= self.parts { Status::Waiting } else { Status::Running };
        if self.status != status && !self.ending {
            self.status = status;
            self.moved = true;
        }
    }
}

/// Says that a part waits, until it is dropped.
struct Waits(Arc<Run>);

// === impl Waits ===

impl Waits {
    fn begin(run: &Arc<Run>) -> Self {
        let mut state = run.state();
        state.waiting += 1;
        state.settle();
        drop(state);
        Self(run.clone())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting -= 1;
        state.settle();
    }
}

/// A part that runs beside others, until it is dropped.
pub(super) struct Part(Arc<Run>);

impl Drop for Part {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.parts -= 1;
        state.settle();
    }
}

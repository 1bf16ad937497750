//! The one thread that writes.
//!
//! A flush of the disk costs more than the work it makes durable, so the thread takes whatever has
//! queued while the previous flush ran, runs each batch in a savepoint of one common transaction
//! and
//! flushes once for all. No delay is added: under light load a group is one batch. A batch that
//! fails
//! is undone alone. When the transaction itself is lost nobody of the group is told "done"; after a
//! failing disk the connection is given up and no batch is accepted until a new one opens.

use std::{fs::File, mem, path::PathBuf, sync::Arc, thread};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::{Batch, Done, Error};

use super::{Counters, connection, fault};

/// The most batches of one group.
const GROUP_BATCHES: usize = 1_000;

/// A group stops growing at 1 MiB of values.
const GROUP_BYTES: usize = 1 << 20;

/// The most batches that wait; further callers wait for room.
const QUEUE: usize = 4_096;

/// The most KiB of values that wait: 64 MiB, twice the largest batch.
const QUEUE_KIB: usize = 64 << 10;

/// The way to the writing thread. Clones share it.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
}

enum Message {
    Write(Job),
    Close(oneshot::Sender<()>),
}

struct Job {
    batch: Batch,
    reply: oneshot::Sender<Result<Vec<Done>, Error>>,
    _room: OwnedSemaphorePermit,
}

/// What the thread owns.
struct Thread {
    path: PathBuf,
    /// Absent after the disk failed, until a new one opens.
    connection: Option<Connection>,
    counters: Arc<Counters>,
    /// Released when the thread ends, after the connection is closed.
    _lock: File,
}

/// What became of one batch of a group.
enum Fate {
    Open,
    Kept(Vec<Done>),
    Refused(Error),
}

// === impl Writer ===

impl Writer {
    pub(super) fn start(
        service: &str,
        path: PathBuf,
        lock: File,
        connection: Connection,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = Thread { path, connection: Some(connection), counters, _lock: lock };
        thread::Builder::new()
            .name(format!("{service}-writer"))
            .spawn(move || thread.run(jobs))
            .map_err(fault::from_io)?;
        Ok(Self { queue, room: Arc::new(Semaphore::new(QUEUE_KIB)) })
    }

    pub(super) async fn write(&self, batch: Batch) -> Result<Vec<Done>, Error> {
        let kib = u32::try_from(batch.bytes() / 1024 + 1).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(|_| Error::Closed)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { batch, reply, _room: room };
        self.queue.send(Message::Write(job)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    pub(super) async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            // An error means that the thread has ended, which is what is waited for.
            let _ = answer.await;
        }
    }
}

// === impl Thread ===

impl Thread {
    fn run(mut self, mut jobs: mpsc::Receiver<Message>) {
        let mut closing = None;
        while closing.is_none() {
            let Some(first) = jobs.blocking_recv() else { break };
            let group = collect(first, &mut jobs, &mut closing);
            if !group.is_empty() {
                self.commit(group);
            }
        }
        // Connection and lock go before the closer is told, so that it can open the file again at
        // once.
        drop(self);
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    fn commit(&mut self, group: Vec<Job>) {
        let mut fates: Vec<Fate> = group.iter().map(|_| Fate::Open).collect();
        let outcome = self.attempt(&group, &mut fates);
        if let Err(error) = &outcome {
            tracing::error!(error = %Chain(error), path = %self.path.display(), "group of writes failed");
        }
        for (job, fate) in group.into_iter().zip(fates) {
            let answer = match (fate, &outcome) {
                (Fate::Refused(error), _) => Err(error),
                (Fate::Kept(done), Ok(())) => Ok(done),
                (Fate::Kept(_) | Fate::Open, Err(error)) => Err(error.clone()),
                // Every batch is decided before a commit.
                (Fate::Open, Ok(())) => Err(Error::Closed),
            };
            let counter =
                if answer.is_ok() { &self.counters.batches } else { &self.counters.refused };
            Counters::count(counter, 1);
            // A caller that no longer waits was told so by its own doing.
            let _ = job.reply.send(answer);
        }
    }

    /// Runs and commits a group. An error is the answer to every batch that was not refused by
    /// itself.
    fn attempt(&mut self, group: &[Job], fates: &mut [Fate]) -> Result<(), Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connection::open_writer(&self.path)?,
        };
        let outcome = run_group(&connection, group, fates);
        let rolled_back = outcome.is_ok() || end(&connection);
        let usable = match &outcome {
            Ok(()) | Err(Error::Full) => rolled_back,
            Err(error) => rolled_back && !fault::is_storage(error),
        };
        if usable {
            self.connection = Some(connection);
        }
        if outcome.is_ok() {
            Counters::count(&self.counters.commits, 1);
        }
        outcome
    }
}

/// Takes what has queued, up to the limits of a group.
fn collect(
    first: Message,
    jobs: &mut mpsc::Receiver<Message>,
    closing: &mut Option<oneshot::Sender<()>>,
) -> Vec<Job> {
    let mut group = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Write(job) => {
                bytes += job.batch.bytes();
                group.push(job);
            }
            Message::Close(reply) => {
                *closing = Some(reply);
                break;
            }
        }
        let more = group.len() < GROUP_BATCHES && bytes < GROUP_BYTES;
        next = if more { jobs.try_recv().ok() } else { None };
    }
    group
}

/// Runs every batch that is not refused yet, then commits.
fn run_group(connection: &Connection, group: &[Job], fates: &mut [Fate]) -> Result<(), Error> {
    'transaction: loop {
        command(connection, "BEGIN IMMEDIATE")?;
        for (job, fate) in group.iter().zip(fates.iter_mut()) {
            if matches!(fate, Fate::Refused(_)) {
                continue;
            }
            if job.reply.is_closed() {
                *fate = Fate::Refused(Error::Closed);
                continue;
            }
            match run_batch(connection, &job.batch) {
                Ok(done) => *fate = Fate::Kept(done),
                Err(error) if fault::is_storage(&error) => return Err(error),
                Err(error) => {
                    *fate = Fate::Refused(error);
                    // Some errors end the whole transaction: the others are run again without this
                    // one.
                    if connection.is_autocommit() {
                        continue 'transaction;
                    }
                }
            }
        }
        return command(connection, "COMMIT");
    }
}

/// Runs one batch in a savepoint of its own.
fn run_batch(connection: &Connection, batch: &Batch) -> Result<Vec<Done>, Error> {
    command(connection, "SAVEPOINT batch")?;
    let outcome = run_statements(connection, batch);
    if outcome.is_ok() {
        command(connection, "RELEASE batch")?;
    } else if !connection.is_autocommit() {
        command(connection, "ROLLBACK TO batch")?;
        command(connection, "RELEASE batch")?;
    }
    outcome
}

fn run_statements(connection: &Connection, batch: &Batch) -> Result<Vec<Done>, Error> {
    let mut all = Vec::with_capacity(batch.len());
    for (number, statement) in batch.statements().iter().enumerate() {
        let done = connection::run(connection, number, statement.sql, &statement.params)?;
        statement.verify(number, &done)?;
        all.push(done);
    }
    Ok(all)
}

/// Ends a transaction that failed; answers whether the connection is clean.
fn end(connection: &Connection) -> bool {
    connection.is_autocommit() || command(connection, "ROLLBACK").is_ok()
}

fn command(connection: &Connection, sql: &'static str) -> Result<(), Error> {
    connection::run(connection, 0, sql, &Vec::new()).map(mem::drop)
}

/// An error with everything under it, on one line.
struct Chain<'a>(&'a Error);

// === impl Chain ===

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = std::error::Error::source(self.0);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

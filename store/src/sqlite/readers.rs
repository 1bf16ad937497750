//! The connections that read.
//!
//! A read takes a permit, borrows an idle connection and runs on the runtime's blocking threads.
//! Permit
//! and connection travel with the work, not with the caller: a caller that gives up leaves a
//! running
//! statement behind, which notices within a few thousand steps that nobody waits and stops.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::{Error, Params, Row};

use super::{Counters, connection, fault};

/// How long one read may run.
const LIMIT: Duration = Duration::from_secs(30);

/// How many steps of SQLite's machine lie between two looks at the clock: about a millisecond.
const STEPS: i32 = 10_000;

/// The readers of one file. Clones share them.
#[derive(Clone)]
pub(super) struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    size: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    counters: Arc<Counters>,
}

/// Tells a running statement that its caller is gone.
struct Waiting(Arc<AtomicBool>);

// === impl Readers ===

impl Readers {
    /// Connections are opened when they are first needed.
    pub(super) fn new(path: PathBuf, size: usize, counters: Arc<Counters>) -> Self {
        let shared = Shared {
            path,
            size: u32::try_from(size).unwrap_or(1),
            permits: Arc::new(Semaphore::new(size)),
            idle: Mutex::new(Vec::with_capacity(size)),
            counters,
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) async fn query(&self, sql: &'static str, params: Params) -> Result<Vec<Row>, Error> {
        let permit =
            self.shared.permits.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let gone = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(gone.clone());
        let shared = self.shared.clone();
        let work = tokio::task::spawn_blocking(move || {
            // Given back last, after the connection.
            let _permit = permit;
            shared.read(gone, sql, &params)
        });
        let answer = work.await.map_err(|_| Error::Closed)?;
        drop(waiting);
        answer
    }

    /// Waits for the reads that run, then closes their connections.
    pub(super) async fn close(&self) {
        if let Ok(all) = self.shared.permits.acquire_many(self.shared.size).await {
            self.shared.permits.close();
            drop(all);
        }
        self.shared.idle().clear();
    }
}

// === impl Shared ===

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, gone: Arc<AtomicBool>, sql: &str, params: &Params) -> Result<Vec<Row>, Error> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connection::open_reader(&self.path)?,
        };
        let deadline = Instant::now() + LIMIT;
        let stop = move || gone.load(Relaxed) || Instant::now() > deadline;
        connection
            .progress_handler(STEPS, Some(stop))
            .map_err(|error| fault::from_sqlite(0, error))?;
        let answer = connection::run(&connection, 0, sql, params);
        let cleared = connection.progress_handler(0, None::<fn() -> bool>);
        match &answer {
            // A connection that met a failing disk is replaced by a new one.
            Err(error) if fault::is_storage(error) => drop(connection),
            Ok(_) | Err(_) if cleared.is_ok() => self.idle().push(connection),
            Ok(_) | Err(_) => drop(connection),
        }
        Counters::count(&self.counters.reads, 1);
        answer.map(|done| done.rows)
    }
}

// === impl Waiting ===

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

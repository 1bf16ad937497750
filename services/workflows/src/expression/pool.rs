//! Threads on which expressions are read and evaluated.
//!
//! They are not the runtime's: an evaluation may take seconds of processor time and recurses as deep
//! as its value, so it gets a stack for that and cannot hold up anybody's network traffic. There are
//! few threads and a bounded queue; whoever finds it full waits.

use std::{
    sync::{Arc, LazyLock, Mutex, mpsc},
    thread,
};

use tokio::sync::oneshot;

/// Room for the deepest value that can be built before the sampling sees it. Only what is used is
/// taken from the machine.
const STACK: usize = 256 << 20;
/// Jobs that may wait before senders do.
const QUEUE: usize = 10_000;

type Job = Box<dyn FnOnce() + Send>;

/// A set of threads.
pub(super) struct Pool {
    jobs: mpsc::SyncSender<Job>,
}

static SHARED: LazyLock<Pool> = LazyLock::new(Pool::new);

/// The one pool of the process.
pub(super) fn shared() -> &'static Pool {
    &SHARED
}

// === impl Pool ===

impl Pool {
    fn new() -> Self {
        let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        for _ in 0..threads {
            let queue = queue.clone();
            let started = thread::Builder::new()
                .name("expressions".to_owned())
                .stack_size(STACK)
                .spawn(move || work(&queue));
            if let Err(error) = started {
                tracing::error!(%error, "cannot start a thread for expressions");
            }
        }
        Self { jobs }
    }

    /// Runs `job` and waits on this thread.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let job: Job = Box::new(move || drop(sender.send(job())));
        self.jobs.send(job).map_err(|_| lost())?;
        receiver.recv().map_err(|_| lost())
    }

    /// Runs `job`; the caller's task waits.
    pub(super) async fn spawn<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (sender, receiver) = oneshot::channel();
        let mut job: Job = Box::new(move || drop(sender.send(job())));
        // A full queue is met with patience, not by blocking a thread of the runtime.
        while let Err(refused) = self.jobs.try_send(job) {
            match refused {
                mpsc::TrySendError::Full(back) => job = back,
                mpsc::TrySendError::Disconnected(_) => return Err(lost()),
            }
            tokio::task::yield_now().await;
        }
        receiver.await.map_err(|_| lost())
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        // A panic of one evaluation is that evaluation's error (its sender is dropped), no thread's end.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("an expression panicked");
        }
    }
}

fn lost() -> String {
    "it ended unexpectedly".to_owned()
}

//! What the benchmarks share: a look at a process from outside, and counted, timed load.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How many connections every row is measured with.
pub(crate) const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);

/// CPU time of a process so far: user and system ticks of `/proc/<pid>/stat`, 100 a second on Linux.
pub(crate) fn cpu(process: u32) -> Duration {
    let text = read(process, "stat");
    let after = text.rsplit(')').next().expect("stat has a name in parentheses");
    let field =
        |at: usize| after.split_whitespace().nth(at).and_then(|word| word.parse::<u64>().ok());
    let ticks = field(11).unwrap_or_default() + field(12).unwrap_or_default();
    Duration::from_millis(ticks * 10)
}

/// Resident memory in MiB.
pub(crate) fn resident(process: u32) -> f64 {
    let text = read(process, "status");
    let line = text.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS is there");
    let kib: f64 =
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    kib / 1024.0
}

fn read(process: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{process}/{file}")).expect("the process is alive")
}

/// What the callers of one row report to.
#[derive(Clone)]
pub(crate) struct Tally {
    done: Arc<AtomicU64>,
    /// Latencies of the calls that ended after the warm-up.
    latencies: Arc<Mutex<Vec<Duration>>>,
    from: Instant,
    end: Instant,
    /// The pause from one call of a caller to its next; none for as fast as it goes.
    pace: Option<Duration>,
}

/// One row.
pub(crate) struct Row {
    /// Requests per second.
    pub(crate) rate: f64,
    /// CPU time of the measured process, microseconds per request.
    pub(crate) cpu: f64,
    /// Latency: median and 99th percentile.
    pub(crate) p50: Duration,
    /// See `p50`.
    pub(crate) p99: Duration,
}

impl Tally {
    /// Whether another call is to be made.
    pub(crate) fn runs(&self) -> bool {
        Instant::now() < self.end
    }

    /// Times one call. A paced call counts from the moment it was due, so that a slow answer cannot hide
    /// the calls that it delayed (coordinated omission).
    pub(crate) async fn time<F: Future<Output = ()>>(&self, due: &mut Instant, call: F) {
        let mut start = Instant::now();
        if let Some(pace) = self.pace {
            tokio::time::sleep_until((*due).into()).await;
            start = *due;
            *due += pace;
        }
        call.await;
        let latency = start.elapsed();
        self.done.fetch_add(1, Ordering::Relaxed);
        if Instant::now() > self.from {
            self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
        }
    }
}

/// Runs one caller per connection; `pace` is the requests per second of all callers together, none for
/// as many as go.
pub(crate) async fn measure<F, W>(process: u32, pace: Option<f64>, caller: F) -> Row
where
    F: Fn(Tally, Instant) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    let tally = Tally {
        done: Arc::default(),
        latencies: Arc::default(),
        from: start + WARM_UP,
        end: start + WARM_UP + MEASURED,
        pace: pace.map(|rate| Duration::from_secs_f64(CONNECTIONS as f64 / rate)),
    };
    let step = tally.pace.unwrap_or_default() / CONNECTIONS as u32;
    let callers: Vec<_> = (0..CONNECTIONS as u32)
        .map(|at| lightning_mesh::task::spawn("bench", caller(tally.clone(), start + step * at)))
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let done = || tally.done.load(Ordering::Relaxed);
    let (from, cpu_from, start) = (done(), cpu(process), Instant::now());
    tokio::time::sleep(MEASURED - Duration::from_millis(50)).await;
    let (count, seconds) = (done() - from, start.elapsed().as_secs_f64());
    let spent = cpu(process) - cpu_from;
    for caller in callers {
        caller.await.expect("a caller does not panic");
    }
    let mut latencies =
        std::mem::take(&mut *tally.latencies.lock().unwrap_or_else(PoisonError::into_inner));
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index).copied().unwrap_or_default()
    };
    let micros = spent.as_secs_f64() * 1e6 / count.max(1) as f64;
    Row { rate: count as f64 / seconds, cpu: micros, p50: at(0.5), p99: at(0.99) }
}

/// Prints a row.
pub(crate) fn print(name: &str, row: &Row) {
    println!(
        "{name:<44} {:>8.0} requests/s {:>7.1} us CPU/request   p50 {:>6.2} ms   p99 {:>6.2} ms",
        row.rate,
        row.cpu,
        row.p50.as_secs_f64() * 1e3,
        row.p99.as_secs_f64() * 1e3
    );
}

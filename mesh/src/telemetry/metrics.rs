//! The figures of one service: Prometheus text, and the numbers behind `MetricsService`.
//!
//! The labels are bounded: methods come from the contract or from what the gateway mounted, everything
//! else counts as `other`; codes are the seventeen of gRPC. A caller cannot make a new series.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lightning_proto::telemetry::v1::{self as pb, MethodMetrics};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tonic::Code;

use super::histogram::{BOUNDS, Latencies};
use crate::clock::{Clock, Timestamp};

/// What methods outside the contract are counted as.
const OTHER: &str = "other";
/// How many methods outside the contract are counted by their names; further ones are `other`.
const MAX_LEARNED: usize = 4_096;
/// How many codes gRPC has.
const CODES: usize = 17;

/// The figures of one service. Clones are cheap and count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    service: &'static str,
    clock: Clock,
    started: Timestamp,
    registry: Mutex<Registry>,
    requests: Family<CallLabels, Counter>,
    durations: Family<MethodLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    memory: Gauge,
    tasks: Gauge,
    methods: HashMap<String, MethodFigures>,
    /// Methods outside the contract that [`Metrics::learn`] was told of. They stay when they are gone,
    /// as counters should.
    learned: RwLock<HashMap<String, Arc<MethodFigures>>>,
}

/// What is counted of one method. Its series are looked up by their labels once; after that, counting
/// a call allocates nothing and takes no lock of the registry.
#[derive(Default)]
struct MethodFigures {
    codes: [AtomicU64; CODES],
    latencies: Latencies,
    requests: [OnceLock<Counter>; CODES],
    duration: OnceLock<Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    service: &'static str,
    method: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    service: &'static str,
    method: String,
}

/// Counts something as present until it is dropped.
pub(crate) struct Presence(Gauge);

impl Metrics {
    pub(crate) fn new(service: &'static str, clock: Clock) -> Self {
        let mut registry = Registry::default();
        let requests = Family::<CallLabels, Counter>::default();
        registry.register("rpc_server_requests", "Calls answered", requests.clone());
        let new_histogram: fn() -> Histogram = || Histogram::new(BOUNDS);
        let durations = Family::new_with_constructor(new_histogram);
        registry.register(
            "rpc_server_duration_seconds",
            "Time to the end of the answer",
            durations.clone(),
        );
        let in_flight = gauge(&mut registry, "rpc_server_in_flight", "Calls under way");
        let connections = gauge(&mut registry, "server_connections", "Open connections");
        let memory = gauge(&mut registry, "process_resident_memory_bytes", "Resident memory");
        let tasks = gauge(&mut registry, "process_tasks", "Tasks of the runtime that are alive");
        let methods = lightning_proto::pool()
            .services()
            .flat_map(|service| {
                let name = service.full_name().to_owned();
                let methods: Vec<_> =
                    service.methods().map(|method| format!("{name}/{}", method.name())).collect();
                methods
            })
            .chain([OTHER.to_owned()])
            .map(|method| (method, MethodFigures::default()))
            .collect();
        let started = clock.now();
        Self(Arc::new(Inner {
            service,
            clock,
            started,
            registry: Mutex::new(registry),
            requests,
            durations,
            in_flight,
            connections,
            memory,
            tasks,
            methods,
            learned: RwLock::default(),
        }))
    }

    /// Counts methods outside the contract by their names from now on, written `package.Service/Method`.
    pub fn learn(&self, methods: impl IntoIterator<Item = String>) {
        let mut learned = self.0.learned.write().unwrap_or_else(PoisonError::into_inner);
        for method in methods {
            if learned.len() < MAX_LEARNED && !self.0.methods.contains_key(&method) {
                learned.entry(method).or_default();
            }
        }
    }

    /// Adds figures of the service's own trade: `metrics.registry(|registry| registry.register(…))`.
    /// Labels must be bounded.
    pub fn registry<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        change(&mut self.0.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Prometheus text (the OpenMetrics form).
    pub fn text(&self) -> String {
        self.0.memory.set(resident_memory());
        self.0.tasks.set(alive_tasks());
        let mut out = String::new();
        let written = self.registry(|registry| text::encode(&mut out, registry));
        written.expect("writing to a string cannot fail");
        out
    }

    /// Counts a call that was answered. `path` is `/package.Service/Method`.
    pub(crate) fn record(&self, path: &str, code: Code, elapsed: Duration) {
        let inner = &*self.0;
        let method = path.strip_prefix('/').unwrap_or(path);
        let learned;
        let (method, figures) = match inner.methods.get(method) {
            Some(known) => (method, known),
            None => {
                let all = inner.learned.read().unwrap_or_else(PoisonError::into_inner);
                learned = all.get(method).cloned();
                match &learned {
                    Some(learned) => (method, &**learned),
                    None => (OTHER, inner.methods.get(OTHER).expect("inserted at the start")),
                }
            }
        };
        let requests = figures.requests[code as usize].get_or_init(|| {
            let code = code_name(code);
            let labels = CallLabels { service: inner.service, method: method.to_owned(), code };
            inner.requests.get_or_create(&labels).clone()
        });
        requests.inc();
        let duration = figures.duration.get_or_init(|| {
            let labels = MethodLabels { service: inner.service, method: method.to_owned() };
            inner.durations.get_or_create(&labels).clone()
        });
        duration.observe(elapsed.as_secs_f64());
        figures.codes[code as usize].fetch_add(1, Ordering::Relaxed);
        figures.latencies.observe(elapsed);
    }

    pub(crate) fn call_started(&self) -> Presence {
        Presence::new(&self.0.in_flight)
    }

    pub(crate) fn connection_opened(&self) -> Presence {
        Presence::new(&self.0.connections)
    }

    /// The figures as the contract tells them.
    pub(crate) fn snapshot(&self, serving: bool, figures: HashMap<String, f64>) -> pb::Metrics {
        let inner = &*self.0;
        let learned = inner.learned.read().unwrap_or_else(PoisonError::into_inner);
        let learned = learned.iter().filter_map(|(name, figures)| figures.snapshot(name));
        let known = inner.methods.iter().filter_map(|(name, figures)| figures.snapshot(name));
        let mut methods: Vec<_> = known.chain(learned).collect();
        methods.sort_by(|a, b| a.method.cmp(&b.method));
        let sum = |wanted: fn(&str) -> bool| {
            let counts = methods.iter().flat_map(|method| &method.codes);
            counts.filter(|(code, _)| wanted(code)).map(|(_, count)| count).sum()
        };
        pb::Metrics {
            service: inner.service.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(inner.started.to_proto()),
            uptime: prost_types::Duration::try_from(inner.clock.now().since(inner.started)).ok(),
            serving,
            request_count: sum(|_| true),
            error_count: sum(is_server_error),
            in_flight_count: inner.in_flight.get(),
            connection_count: inner.connections.get(),
            resident_memory_bytes: resident_memory(),
            methods,
            figures,
        }
    }
}

impl MethodFigures {
    /// Nothing for a method that was never called.
    fn snapshot(&self, name: &str) -> Option<MethodMetrics> {
        let mut codes = HashMap::new();
        for (code, count) in self.codes.iter().enumerate() {
            let count = i64::try_from(count.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            if count > 0 {
                let code = Code::from_i32(i32::try_from(code).unwrap_or_default());
                codes.insert(code_name(code).to_owned(), count);
            }
        }
        if codes.is_empty() {
            return None;
        }
        let quantile = |share| prost_types::Duration::try_from(self.latencies.quantile(share)).ok();
        Some(MethodMetrics {
            method: name.to_owned(),
            codes,
            latency_p50: quantile(0.50),
            latency_p95: quantile(0.95),
            latency_p99: quantile(0.99),
        })
    }
}

impl Presence {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn is_server_error(code: &str) -> bool {
    matches!(code, "UNKNOWN" | "DEADLINE_EXCEEDED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS")
}

/// Resident memory of the process in bytes, as Linux tells it; zero elsewhere.
fn resident_memory() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok());
    kibibytes.unwrap_or_default() * 1_024
}

/// How many tasks of this runtime have not ended; zero outside of one.
fn alive_tasks() -> i64 {
    let runtime = tokio::runtime::Handle::try_current();
    let alive = runtime.map_or(0, |runtime| runtime.metrics().num_alive_tasks());
    i64::try_from(alive).unwrap_or(i64::MAX)
}

/// The name of a code as gRPC writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

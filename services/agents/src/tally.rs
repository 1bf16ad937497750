//! The named figures of this service, for `GET /api/v1/metrics`.
//!
//! Counting rows at each look would cost a scan, so the numbers are counted once at start, moved by
//! each write of this process, and counted again now and then, because other processes write too.

use std::sync::atomic::{AtomicI64, Ordering};

/// What there is, and what goes on.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    agents: AtomicI64,
    deployments_active: AtomicI64,
    invocations_in_flight: AtomicI64,
    invocations_total: AtomicI64,
}

/// Rows that were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) agents: i64,
    pub(crate) deployments_active: i64,
}

// === impl Tally ===

impl Tally {
    /// Takes over what was counted.
    pub(crate) fn recount(&self, counts: Counts) {
        self.agents.store(counts.agents, Ordering::Relaxed);
        self.deployments_active.store(counts.deployments_active, Ordering::Relaxed);
    }

    pub(crate) fn agents(&self, change: i64) {
        self.agents.fetch_add(change, Ordering::Relaxed);
    }

    pub(crate) fn deployments_active(&self, change: i64) {
        self.deployments_active.fetch_add(change, Ordering::Relaxed);
    }

    pub(crate) fn invocation_began(&self) {
        self.invocations_in_flight.fetch_add(1, Ordering::Relaxed);
        self.invocations_total.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn invocation_ended(&self) {
        self.invocations_in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The figures by name.
    pub(crate) fn figures(&self) -> Vec<(String, f64)> {
        let read = |name: &str, figure: &AtomicI64| {
            // Doubles hold every count below 2^53.
            (name.to_owned(), figure.load(Ordering::Relaxed) as f64)
        };
        vec![
            read("agents", &self.agents),
            read("deployments_active", &self.deployments_active),
            read("invocations_in_flight", &self.invocations_in_flight),
            read("invocations_total", &self.invocations_total),
        ]
    }
}

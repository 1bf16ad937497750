//! The named figures of this service, for `GET /api/v1/metrics`. They count since the process began.

use std::sync::atomic::{AtomicI64, Ordering};

/// What goes on and what went on.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    running: AtomicI64,
    completed: AtomicI64,
    failed: AtomicI64,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn began(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, well: bool) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        let figure = if well { &self.completed } else { &self.failed };
        figure.fetch_add(1, Ordering::Relaxed);
    }

    /// The figures by name.
    pub(crate) fn figures(&self) -> Vec<(String, f64)> {
        let read = |name: &str, figure: &AtomicI64| {
            // Doubles hold every count below 2^53.
            (name.to_owned(), figure.load(Ordering::Relaxed) as f64)
        };
        vec![
            read("tasks_running", &self.running),
            read("tasks_completed_total", &self.completed),
            read("tasks_failed_total", &self.failed),
        ]
    }
}

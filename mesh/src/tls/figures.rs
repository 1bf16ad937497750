//! The figures of TLS: handshakes, looks at new files, and when the certificate ends.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use tokio::time::Instant;

use crate::{clock::Timestamp, telemetry::Metrics};

/// At most one line of the log in that time about handshakes that fail: anybody can make them fail.
const QUIET: Duration = Duration::from_secs(1);

/// Which end we are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Client,
    Server,
}

/// How it went.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Ok,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    side: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    outcome: &'static str,
}

/// See the module.
pub(super) struct Figures {
    not_after: Gauge,
    handshakes: Family<HandshakeLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    spoke: Mutex<Option<Instant>>,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

impl Figures {
    pub(super) fn new(not_after: Timestamp) -> Self {
        let figures = Self {
            not_after: Gauge::default(),
            handshakes: Family::default(),
            reloads: Family::default(),
            spoke: Mutex::new(None),
        };
        figures.ends(not_after);
        figures
    }

    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.registry(|registry| {
            registry.register(
                "tls_certificate_not_after_seconds",
                "When the service's certificate ends, in seconds since 1970",
                self.not_after.clone(),
            );
            registry.register("tls_handshakes", "TLS handshakes", self.handshakes.clone());
            registry.register(
                "tls_reloads",
                "Certificate files that changed and were read again",
                self.reloads.clone(),
            );
        });
    }

    pub(super) fn ends(&self, at: Timestamp) {
        self.not_after.set(at.as_seconds());
    }

    pub(super) fn handshake(&self, side: Side, outcome: Outcome) {
        let side = match side {
            Side::Client => "client",
            Side::Server => "server",
        };
        let labels = HandshakeLabels { side, outcome: outcome.label() };
        self.handshakes.get_or_create(&labels).inc();
    }

    pub(super) fn reload(&self, outcome: Outcome) {
        self.reloads.get_or_create(&ReloadLabels { outcome: outcome.label() }).inc();
    }

    /// Whether a failed handshake may be told of in the log now.
    pub(super) fn may_speak(&self) -> bool {
        let mut spoke = self.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = spoke.is_none_or(|last| now.duration_since(last) >= QUIET);
        if may {
            *spoke = Some(now);
        }
        may
    }
}

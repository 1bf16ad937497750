//! What a service counts about its outgoing calls: retries, refused retries, waiting and shed calls.
//!
//! Labels are the peer (from the configuration and the contract) and a handful of fixed words, so a
//! caller cannot make a new series.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::balance::EndpointFigures;
use crate::telemetry::Metrics;

/// The figures of all channels of a service. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    retries: Family<Outcome, Counter>,
    refused: Family<Reason, Counter>,
    waiting: Family<Peer, Gauge>,
    shed: Family<Reason, Counter>,
    pub(super) endpoints: EndpointFigures,
}

/// The figures of the retries of one channel.
pub(super) struct RetryFigures {
    /// Retries that were answered, and be it with an error that is the caller's.
    pub(super) answered: Counter,
    /// Retries that failed as the attempt before them.
    pub(super) failed: Counter,
    /// Requests that were sent again because the first had never left.
    pub(super) transparent: Counter,
    /// Failures that were not repeated: the attempts were used up.
    pub(super) attempts: Counter,
    /// The budget was.
    pub(super) budget: Counter,
    /// The deadline would have passed.
    pub(super) deadline: Counter,
    /// The peer did not want it.
    pub(super) pushback: Counter,
}

/// The figures of the queue of one channel.
pub(super) struct QueueFigures {
    /// Calls that wait.
    pub(super) waiting: Gauge,
    /// Calls refused because too many waited.
    pub(super) full: Counter,
    /// Because too many were under way for too long.
    pub(super) busy: Counter,
    /// Because the peer was not ready.
    pub(super) not_ready: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    peer: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    peer: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Peer {
    peer: String,
}

impl Figures {
    /// Figures that are shown among those of a service.
    pub(crate) fn shown_by(metrics: &Metrics) -> Self {
        let figures = Self::default();
        metrics.registry(|registry| {
            let retries = figures.retries.clone();
            registry.register("rpc_client_retries", "Attempts after the first", retries);
            let refused = figures.refused.clone();
            registry.register("rpc_client_retries_refused", "Failures not repeated", refused);
            let waiting = figures.waiting.clone();
            registry.register("rpc_client_queue_depth", "Calls that wait for a peer", waiting);
            let shed = figures.shed.clone();
            registry.register("rpc_client_shed", "Calls refused before they were sent", shed);
            figures.endpoints.register(registry);
        });
        figures
    }

    pub(super) fn retries(&self, peer: &str) -> RetryFigures {
        let retries = |outcome| {
            self.retries.get_or_create(&Outcome { peer: peer.to_owned(), outcome }).clone()
        };
        let refused =
            |reason| self.refused.get_or_create(&Reason { peer: peer.to_owned(), reason }).clone();
        RetryFigures {
            answered: retries("answered"),
            failed: retries("failed"),
            transparent: retries("transparent"),
            attempts: refused("attempts"),
            budget: refused("budget"),
            deadline: refused("deadline"),
            pushback: refused("pushback"),
        }
    }

    pub(super) fn queue(&self, peer: &str) -> QueueFigures {
        let shed =
            |reason| self.shed.get_or_create(&Reason { peer: peer.to_owned(), reason }).clone();
        QueueFigures {
            waiting: self.waiting.get_or_create(&Peer { peer: peer.to_owned() }).clone(),
            full: shed("full"),
            busy: shed("busy"),
            not_ready: shed("not_ready"),
        }
    }
}

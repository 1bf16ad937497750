//! The figures of the door: who was refused by which rule, and how full the services are.
//!
//! Labels are the names of rules and services, so there are as many as the configuration has.

use lightning_mesh::telemetry::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// All of them. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    limited: Family<RuleLabel, Counter>,
    full: Family<ServiceLabel, Counter>,
    limit: Family<ServiceLabel, Gauge>,
    under_way: Family<ServiceLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    upstream: &'static str,
}

/// Those of one service.
pub(crate) struct ServiceFigures {
    pub(crate) full: Counter,
    pub(crate) limit: Gauge,
    pub(crate) under_way: Gauge,
}

impl Figures {
    /// Registers them.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let all = Self::default();
        metrics.registry(|registry| {
            let help = "Calls refused by a rate limit";
            registry.register("gateway_rate_limited", help, all.limited.clone());
            let help = "Calls refused because the service had all it can do";
            registry.register("gateway_concurrency_refused", help, all.full.clone());
            let help = "How many quick calls may be under way to the service at once";
            registry.register("gateway_concurrency_limit", help, all.limit.clone());
            let help = "Calls under way to the service, streams among them";
            registry.register("gateway_concurrency_under_way", help, all.under_way.clone());
        });
        all
    }

    /// The count of a rule.
    pub(crate) fn rule(&self, name: &str) -> Counter {
        self.limited.get_or_create(&RuleLabel { rule: name.to_owned() }).clone()
    }

    /// Those of a service.
    pub(crate) fn service(&self, upstream: &'static str) -> ServiceFigures {
        let label = ServiceLabel { upstream };
        ServiceFigures {
            full: self.full.get_or_create(&label).clone(),
            limit: self.limit.get_or_create(&label).clone(),
            under_way: self.under_way.get_or_create(&label).clone(),
        }
    }
}

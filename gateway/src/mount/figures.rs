//! The figures of upstreams, with their names as labels, which are as many as the configuration has.

use lightning_mesh::telemetry::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
};

/// What is told of each upstream.
pub(super) struct Figures {
    mounted: Family<Labels, Gauge>,
    routes: Family<Labels, Gauge>,
    conflicts: Family<Labels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    upstream: String,
}

impl Figures {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let family = |name: &str, help: &str| {
            let family = Family::<Labels, Gauge>::default();
            metrics.registry(|registry| registry.register(name, help, family.clone()));
            family
        };
        Self {
            mounted: family(
                "gateway_upstream_mounted",
                "Whether the upstream is there and the newest that it offers is mounted",
            ),
            routes: family("gateway_upstream_routes", "REST routes that are mounted of it"),
            conflicts: family(
                "gateway_upstream_conflicts",
                "What the newest that it offers claims and others own",
            ),
        }
    }

    pub(super) fn tell(&self, upstream: &str, mounted: bool, routes: usize, conflicts: usize) {
        let labels = Labels { upstream: upstream.to_owned() };
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.mounted.get_or_create(&labels).set(i64::from(mounted));
        self.routes.get_or_create(&labels).set(count(routes));
        self.conflicts.get_or_create(&labels).set(count(conflicts));
    }
}

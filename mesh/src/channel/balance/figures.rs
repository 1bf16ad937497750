//! The figures of endpoints, read when somebody asks for them.
//!
//! Nothing is counted twice and nothing is left behind: the living endpoints tell what they are at that
//! moment, and one that vanished from its name vanishes from the figures. The labels are bounded by
//! configuration and DNS: the word of the peer, the endpoint's socket address or `pipe`, and one of six
//! states.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::time::Instant;

use super::Shared;
use crate::channel::endpoint::{Endpoint, STATES};

/// The figures of the channels of one service. Clones follow the same.
#[derive(Clone, Default)]
pub(in crate::channel) struct EndpointFigures(Arc<Mutex<Vec<Weak<Shared>>>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    peer: String,
    endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    peer: String,
    endpoint: String,
    state: &'static str,
}

type Known = (Labels, Arc<Endpoint>);

impl EndpointFigures {
    /// Adds them to those of a service.
    pub(in crate::channel) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    /// Follows the endpoints of a peer until it is dropped.
    pub(super) fn follow(&self, peer: &Arc<Shared>) {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|known| known.strong_count() > 0);
        peers.push(Arc::downgrade(peer));
    }

    fn endpoints(&self) -> Vec<Known> {
        let peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = Vec::new();
        for peer in peers.iter().filter_map(Weak::upgrade) {
            for endpoint in peer.endpoints().iter() {
                let labels = Labels { peer: peer.name.clone(), endpoint: endpoint.name.clone() };
                // Two ways to one peer would be one series twice.
                if !known.iter().any(|(other, _): &Known| *other == labels) {
                    known.push((labels, endpoint.clone()));
                }
            }
        }
        known
    }
}

impl fmt::Debug for EndpointFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointFigures")
    }
}

impl Collector for EndpointFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = self.endpoints();
        if known.is_empty() {
            return Ok(());
        }
        states(&mut encoder, &known)?;
        let mut gauge = |name, help, read: &dyn Fn(&Endpoint) -> f64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            each(&mut family, &known, |endpoint, metric| {
                ConstGauge::new(read(endpoint)).encode(metric)
            })
        };
        let now = Instant::now();
        #[expect(clippy::cast_precision_loss, reason = "calls under way stay far below 2^53")]
        gauge("channel_endpoint_in_flight", "Calls under way on an endpoint", &|endpoint| {
            endpoint.load.pending() as f64
        })?;
        gauge(
            "channel_endpoint_round_trip_seconds",
            "Peak estimate of the round trip of an endpoint among several",
            &|endpoint| endpoint.load.round_trip(now).as_secs_f64(),
        )?;
        let mut counter = |name, help, read: &dyn Fn(&Endpoint) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            each(&mut family, &known, |endpoint, metric| {
                ConstCounter::new(read(endpoint)).encode(metric)
            })
        };
        counter("channel_endpoint_connects", "Connections made", &|endpoint| {
            endpoint.connects().0
        })?;
        counter("channel_endpoint_connect_failures", "Connections that failed", &|endpoint| {
            endpoint.connects().1
        })?;
        counter(
            "channel_endpoint_ejections",
            "How often a class of methods was left out",
            &|endpoint| endpoint.breakers.ejections(),
        )
    }
}

fn states(encoder: &mut DescriptorEncoder<'_>, known: &[Known]) -> fmt::Result {
    let help = "1 for the state an endpoint is in, 0 for the others";
    let name = "channel_endpoint_state";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (Labels { peer, endpoint }, is) in known {
        let now = is.state();
        for state in STATES {
            let (peer, endpoint) = (peer.clone(), endpoint.clone());
            let labels = StateLabels { peer, endpoint, state };
            ConstGauge::new(i64::from(state == now)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn each(
    family: &mut MetricEncoder<'_>,
    known: &[Known],
    write: impl Fn(&Endpoint, MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    for (labels, endpoint) in known {
        write(endpoint, family.encode_family(labels)?)?;
    }
    Ok(())
}

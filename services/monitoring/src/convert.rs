//! Between the wire and the domain.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;
use lightning_proto::{monitoring::v1 as pb, telemetry::v1 as telemetry};

use crate::domain::{Health, Reading, Sample, Service};

/// What a service said of itself. Latency is that of its busiest unary method: percentiles of several
/// methods cannot be added, and a stream lasts as long as its caller likes.
pub(crate) fn reading(metrics: &telemetry::Metrics) -> Reading {
    let calls = |method: &&telemetry::MethodMetrics| method.codes.values().sum::<i64>();
    let unary = metrics.methods.iter().filter(|method| !is_stream(&method.method));
    let busiest = unary.max_by_key(calls);
    let latency = busiest.map_or([Duration::ZERO; 3], |method| {
        [&method.latency_p50, &method.latency_p95, &method.latency_p99].map(duration)
    });
    Reading {
        version: metrics.version.clone(),
        started_at: metrics.start_time.as_ref().and_then(Timestamp::from_proto),
        serving: metrics.serving,
        requests: metrics.request_count,
        errors: metrics.error_count,
        in_flight: metrics.in_flight_count,
        resident_memory: metrics.resident_memory_bytes,
        latency,
        figures: metrics.figures.iter().map(|(name, value)| (name.clone(), *value)).collect(),
    }
}

/// Whether a method, `package.Service/Method`, answers with a stream.
fn is_stream(method: &str) -> bool {
    let Some((service, name)) = method.split_once('/') else { return false };
    let service = lightning_proto::pool().get_service_by_name(service);
    let found = service.and_then(|service| service.methods().find(|method| method.name() == name));
    // What is not of our contract is health checks and reflection.
    found.is_none_or(|method| method.is_server_streaming())
}

fn duration(proto: &Option<prost_types::Duration>) -> Duration {
    proto.and_then(|proto| Duration::try_from(proto).ok()).unwrap_or_default()
}

fn to_proto(duration: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration).ok()
}

pub(crate) fn service(service: &Service) -> pb::Service {
    let (health, message) = match &service.health {
        Health::Serving => (pb::service::Health::Serving, String::new()),
        Health::NotServing => {
            (pb::service::Health::NotServing, "it says that it does not serve".to_owned())
        }
        Health::Unreachable(why) => (pb::service::Health::Unreachable, why.clone()),
    };
    let newest = service.newest();
    pb::Service {
        id: service.id.clone(),
        health: health.into(),
        health_message: message,
        version: newest.map(|sample| sample.reading.version.clone()).unwrap_or_default(),
        start_time: newest.and_then(|sample| sample.reading.started_at).map(Timestamp::to_proto),
        sample: newest.map(sample),
    }
}

pub(crate) fn sample(sample: &Sample) -> pb::Sample {
    let [p50, p95, p99] = sample.reading.latency;
    pb::Sample {
        time: Some(sample.taken_at.to_proto()),
        reachable: sample.reachable,
        request_rate: sample.request_rate,
        error_rate: sample.error_rate,
        latency_p50: to_proto(p50),
        latency_p95: to_proto(p95),
        latency_p99: to_proto(p99),
        in_flight_count: sample.reading.in_flight,
        resident_memory_bytes: sample.reading.resident_memory,
        figures: sample.reading.figures.clone().into_iter().collect(),
    }
}

pub(crate) fn mesh_health(services: &[Service]) -> pb::MeshHealth {
    let failing: Vec<String> = services
        .iter()
        .filter(|service| service.health != Health::Serving)
        .map(|service| service.id.clone())
        .collect();
    pb::MeshHealth {
        healthy: failing.is_empty(),
        serving_count: (services.len() - failing.len()) as i32,
        service_count: services.len() as i32,
        failing,
    }
}

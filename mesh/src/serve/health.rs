//! Health: one truth, told over `grpc.health.v1` and `GET /health`.
//!
//! A service takes calls when its own readiness says so and no shutdown was requested. On shutdown the
//! watchers are told NOT_SERVING and their streams end, so that they do not hold up the drain.

use http::{Response, StatusCode, header};
use tokio::sync::watch;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, health_reporter},
};

use crate::{
    body::{Body, boxed},
    context::Context,
    shutdown::Shutdown,
    task,
};

/// How a service is.
#[derive(Clone)]
pub struct Health {
    service: &'static str,
    /// Always true without readiness of the service's own.
    ready: watch::Receiver<bool>,
    shutdown: Shutdown,
}

impl Health {
    /// The health of a service, and the gRPC service that tells it for the whole port (`""`) and each of
    /// `names`.
    pub fn new(
        context: &Context,
        ready: Option<watch::Receiver<bool>>,
        names: &[&'static str],
    ) -> (Self, HealthServer<impl tonic_health::pb::health_server::Health + use<>>) {
        let ready = ready.unwrap_or_else(|| watch::channel(true).1);
        let health = Self { service: context.name(), ready, shutdown: context.shutdown().clone() };
        let (reporter, server) = health_reporter();
        let names = names.iter().copied().chain([""]).collect();
        task::spawn("health", health.clone().follow(reporter, names));
        (health, server)
    }

    /// Whether it takes calls.
    pub fn is_serving(&self) -> bool {
        *self.ready.borrow() && !self.shutdown.is_requested()
    }

    /// The answer to `GET /health`: 200 while it takes calls, else 503.
    pub fn answer(&self) -> Response<Body> {
        let (code, status) = match (self.is_serving(), self.shutdown.is_requested()) {
            (true, _) => (StatusCode::OK, "ok"),
            (false, true) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        let body = serde_json::json!({
            "status": status,
            "service": self.service,
            "version": env!("CARGO_PKG_VERSION"),
        });
        let body = http_body_util::Full::from(body.to_string());
        let mut response = Response::new(boxed(body));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        response
    }

    async fn follow(mut self, mut reporter: HealthReporter, names: Vec<&'static str>) {
        loop {
            let status = match *self.ready.borrow_and_update() {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            };
            tell(&reporter, &names, status).await;
            let changed = async {
                if self.ready.changed().await.is_err() {
                    // Nobody can change it any more.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = self.shutdown.requested() => break,
            }
        }
        tell(&reporter, &names, ServingStatus::NotServing).await;
        for name in names {
            reporter.clear_service_status(name).await;
        }
    }
}

async fn tell(reporter: &HealthReporter, names: &[&'static str], status: ServingStatus) {
    for name in names {
        reporter.set_service_status(*name, status).await;
    }
}

//! The line that each request leaves behind.

use std::{
    io,
    sync::{Arc, Mutex},
};

use lightning_mesh::identity::Caller;
use lightning_proto::telemetry::v1::{
    GetMetricsRequest, metrics_service_client::MetricsServiceClient,
};
use reqwest::Client;

use crate::door::mesh;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Waits for the line of a request.
    async fn of(&self, request_id: &str) -> String {
        let started = std::time::Instant::now();
        loop {
            assert!(started.elapsed().as_secs() < 60, "no line for {request_id}");
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            if let Some(line) = text.lines().find(|line| line.contains(request_id)) {
                return line.to_owned();
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_line_names_the_route_and_the_caller_and_no_secret() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    // For the whole process: what a thread alone listens to is lost when another thread was first to come
    // by the place that logs.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let (harness, _) = mesh(|_| {}).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let send = async |path: &str, id: &str| {
        let url = format!("{}{path}", harness.rest("gateway"));
        let request = client.get(url).header("x-request-id", id);
        request.send().await.unwrap().text().await.unwrap()
    };
    send("/api/v1/monitoring/services/secret-id", "log-first").await;
    let line = lines.of("log-first").await;
    for part in [
        "access:",
        "method=\"GET\"",
        "route=\"/api/v1/monitoring/services/{id}\"",
        "caller=\"local\"",
        "client=\"127.0.0.1\"",
        "status=404",
        "code=5",
        "upstream=\"monitoring\"",
        "micros=",
        "complete=true",
        "trace_id=",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    send("/api/v1/monitoring/services/x?token=secret-query", "log-zeroth").await;
    lines.of("log-zeroth").await;
    send("/dashboard?x=secret-query", "log-second").await;
    let line = lines.of("log-second").await;
    assert!(line.contains("route=\"/dashboard\"") && line.contains("status=200"), "{line}");
    send("/secret-path", "log-third").await;
    let line = lines.of("log-third").await;
    assert!(line.contains("route=\"-\"") && line.contains("upstream=\"-\""), "{line}");
    // A service that asks on its own.
    let service = harness.channel_as("gateway", Caller::service("monitoring"));
    MetricsServiceClient::new(service).get_metrics(GetMetricsRequest {}).await.unwrap();
    send("/secret-path", "log-fourth").await;
    lines.of("log-fourth").await;
    let all = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!all.lines().any(|line| line.contains("access:") && line.contains("secret-")), "{all}");
    assert!(
        !all.lines().any(|line| line.contains("access:") && line.contains("service:")),
        "{all}"
    );
}

//! What the mesh makes of failures: processes killed and restarted under load, callers that go away,
//! targets that hang. Real processes, real sockets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{io::AsyncReadExt as _, task::JoinHandle, time::Instant};

use crate::{
    cluster::{Cluster, sum},
    support::{Mesh, PATIENCE, answer},
};

/// One idempotent call to each service that has a list of its own.
const READS: [&str; 6] = [
    "/api/v1/templates",
    "/api/v1/workflows",
    "/api/v1/connectors",
    "/api/v1/models",
    "/api/v1/sessions",
    "/api/v1/monitoring/health",
];

/// Callers that read until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    succeeded: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// `rate` requests a second from 16 callers, over the gateways in turn. As a load balancer in front
    /// of them would, a caller goes to the next gateway when one refuses the connection or closes it
    /// before it answers.
    fn start(gateways: &[String], paths: &[&'static str], rate: u32) -> Self {
        const CALLERS: u32 = 16;
        let (stop, succeeded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let pause = Duration::from_secs(1) * CALLERS / rate;
        let callers = (0..CALLERS as usize).map(|caller| {
            let (stop, succeeded) = (Arc::clone(&stop), Arc::clone(&succeeded));
            let (gateways, paths) = (gateways.to_vec(), paths.to_vec());
            lightning_mesh::task::spawn("test", async move {
                let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
                let client = client.build().unwrap();
                let mut pace = tokio::time::interval(pause);
                let mut failures = Vec::new();
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    pace.tick().await;
                    let path = paths[(caller + turn) % paths.len()];
                    match read(&client, &gateways, caller + turn, path).await {
                        Ok(()) => drop(succeeded.fetch_add(1, Ordering::Relaxed)),
                        Err(failure) => failures.push(failure),
                    }
                }
                failures
            })
        });
        let callers = callers.collect();
        Self { stop, succeeded, callers }
    }

    /// Waits until so many more calls have succeeded.
    async fn more(&self, count: u64) {
        let wanted = self.succeeded.load(Ordering::Relaxed) + count;
        let start = Instant::now();
        while self.succeeded.load(Ordering::Relaxed) < wanted {
            assert!(start.elapsed() < PATIENCE, "the calls do not succeed");
            tokio::time::sleep(Duration::from_millis(5)).await; // between two looks at a condition
        }
    }

    /// Ends the load and tells what failed.
    async fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for caller in self.callers {
            failures.extend(caller.await.unwrap());
        }
        failures
    }
}

async fn read(
    client: &reqwest::Client,
    gateways: &[String],
    first: usize,
    path: &str,
) -> Result<(), String> {
    let mut last = String::new();
    for turn in 0..gateways.len() {
        let gateway = &gateways[(first + turn) % gateways.len()];
        match client.get(format!("{gateway}{path}")).send().await {
            Ok(response) if response.status().is_success() => {
                return response
                    .bytes()
                    .await
                    .map(drop)
                    .map_err(|error| format!("{path}: {error:?}"));
            }
            Ok(response) => {
                let status = response.status();
                return Err(format!(
                    "{path}: {status} {}",
                    response.text().await.unwrap_or_default()
                ));
            }
            Err(error) => last = format!("{path}: {error:?}"),
        }
    }
    Err(last)
}

#[tokio::test]
async fn a_killed_replica_costs_no_idempotent_call_and_comes_back() {
    let _shared = crate::MACHINE.read().await;
    let services = [("auth", 1), ("agents", 3), ("gateway", 1)];
    let mut cluster = Cluster::start(&services, "").await;
    let (agents, gateway) = (cluster.of("agents"), cluster.of("gateway")[0]);
    let load = Load::start(&[cluster.url(gateway, "")], &["/api/v1/templates"], 400);
    load.more(200).await;
    cluster.kill(agents[0]).await;
    load.more(600).await;
    cluster.launch(agents[0]).await;
    // Its own counter says when calls reach it again.
    let start = Instant::now();
    while sum(&cluster.metrics(agents[0]).await, "rpc_server_requests_total", &["ListTemplates"])
        < 1.0
    {
        assert!(start.elapsed() < PATIENCE, "the restarted replica is not used again");
        load.more(10).await;
    }
    assert_eq!(load.failures().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_rolling_restart_of_every_service_fails_no_call() {
    let _shared = crate::MACHINE.read().await;
    let services = [
        ("auth", 2),
        ("models", 2),
        ("integrations", 2),
        ("workflows", 2),
        ("agents", 2),
        ("monitoring", 2),
        ("enhanced", 2),
        ("gateway", 2),
    ];
    let mut cluster = Cluster::start(&services, "").await;
    let gateways: Vec<_> = cluster.of("gateway").iter().map(|at| cluster.url(*at, "")).collect();
    let load = Load::start(&gateways, &READS, 500);
    load.more(500).await;
    for at in 0..cluster.len() {
        assert_eq!(cluster.stop(at).await, Some(0));
        load.more(50).await;
        cluster.launch(at).await;
        load.more(50).await;
    }
    assert_eq!(load.failures().await, Vec::<String>::new());
}

/// A provider of models that accepts connections and never answers. Counts those that are open.
async fn hanging_provider() -> (String, Arc<AtomicU64>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&open);
    lightning_mesh::task::spawn("test", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let open = Arc::clone(&counted);
            open.fetch_add(1, Ordering::Relaxed);
            lightning_mesh::task::spawn("test", async move {
                // Reads until the other end closes: a request, and then nothing.
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    let config = format!(
        r#"
        [[models.provider]]
        name = "hanging"
        kind = "openai"
        base_url = "http://{address}/v1"
        key = {{ value = "sk-test" }}
        models = [{{ id = "hangs", upstream_model = "hangs" }}]
        "#
    );
    (config, open)
}

/// Waits until a counter has come to a value.
async fn until(counter: &AtomicU64, value: u64) {
    let start = Instant::now();
    while counter.load(Ordering::Relaxed) != value {
        assert!(
            start.elapsed() < PATIENCE,
            "{} instead of {value}",
            counter.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(5)).await; // between two looks at a condition
    }
}

#[tokio::test]
async fn a_deadline_ends_a_call_at_every_hop() {
    let _alone = crate::MACHINE.write().await;
    let (config, open) = hanging_provider().await;
    let mesh = Mesh::start_with(&config).await;
    let agent = json!({ "name": "Slow", "agent_type": "conversational", "model": "hangs" });
    let agent = mesh.call("POST /api/v1/agents", agent).await.is(201).id();
    mesh.call(&format!("POST /api/v1/agents/{agent}/deploy"), json!({})).await.is(202);
    let invoke = format!("POST /api/v1/agents/{agent}/invoke");
    // Client, gateway, agents, models, provider: the deadline of the first ends the last.
    let call = || {
        let request = mesh.request("gateway", &invoke).header("x-request-timeout", "0.3");
        answer(request.json(&json!({ "input": "Hello" })))
    };
    call().await.is(504); // Once, so that every connection on the way is made.
    until(&open, 0).await;
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let ended = call().await;
        assert_eq!(ended.is(504).body["error"]["status"], "DEADLINE_EXCEEDED");
        assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
        fastest = fastest.min(start.elapsed());
    }
    // Of several, because the machine may have other work at times.
    assert!(fastest < Duration::from_millis(320), "{fastest:?}");
    until(&open, 0).await;
}

#[tokio::test]
async fn ten_thousand_cancelled_calls_leave_nothing_behind() {
    let _shared = crate::MACHINE.read().await;
    const CALLS: u64 = 10_000;
    const AT_ONCE: u64 = 100;
    let (config, open) = hanging_provider().await;
    let mesh = Mesh::start_with(&config).await;
    let figure = async |service: &str, name: &str| {
        let text = mesh.call_at(service, "GET /metrics", json!(null)).await;
        sum(text.is(200).body.as_str().unwrap(), name, &[])
    };
    let cancel = async |count: u64| {
        let body = json!({ "model": "hangs", "prompt": "Hello" });
        let calls: Vec<_> = (0..count)
            .map(|_| {
                let request = mesh.request("gateway", "POST /api/v1/inference").json(&body);
                lightning_mesh::task::spawn("test", async move { request.send().await.map(drop) })
            })
            .collect();
        until(&open, count).await;
        for call in &calls {
            call.abort();
        }
        until(&open, 0).await;
    };
    cancel(AT_ONCE).await;
    let before = figure("gateway", "process_tasks").await;
    for _ in 0..CALLS / AT_ONCE {
        cancel(AT_ONCE).await;
    }
    for service in ["gateway", "models"] {
        let start = Instant::now();
        // The question itself is not counted.
        while figure(service, "rpc_server_in_flight").await > 0.0 {
            assert!(start.elapsed() < PATIENCE, "calls are still under way at {service}");
        }
    }
    let start = Instant::now();
    while figure("gateway", "process_tasks").await > before + 20.0 {
        assert!(start.elapsed() < PATIENCE, "tasks are left behind");
    }
    // Permits are back: calls are served.
    mesh.call("GET /api/v1/models", json!(null)).await.is(200);
}

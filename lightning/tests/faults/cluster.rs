//! A mesh of separate processes, any number of them for each service, all told where the others are.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, process::Stdio};

use reqwest::Client;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::support::PATIENCE;

/// The processes. Dropping it kills them.
pub(crate) struct Cluster {
    folder: TempDir,
    config: String,
    replicas: Vec<Replica>,
    pub(crate) client: Client,
}

/// One process.
struct Replica {
    word: &'static str,
    address: SocketAddr,
    process: Option<Child>,
}

impl Cluster {
    /// Starts so many processes of each service. Each has a data folder of its own, unless the
    /// configuration names a database that they share.
    pub(crate) async fn start(services: &[(&'static str, usize)], config: &str) -> Self {
        Self::start_beside(services, config, "").await
    }

    /// Starts them beside services that are no processes of this program, which `others` says the
    /// addresses of: lines of `[mesh.peers]`.
    pub(crate) async fn start_beside(
        services: &[(&'static str, usize)],
        config: &str,
        others: &str,
    ) -> Self {
        // The ports must be known before the first process starts: every process is told of all.
        let mut taken = Vec::new();
        let mut peers = BTreeMap::<_, Vec<String>>::new();
        for (word, count) in services {
            for _ in 0..*count {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                peers.entry(*word).or_default().push(format!("\"http://{address}\""));
                taken.push((*word, address, listener));
            }
        }
        let folder = TempDir::new().unwrap();
        let key = folder.path().join("mesh.key");
        let mut text = format!("{config}\n[mesh]\nkey_file = {key:?}\n[mesh.peers]\n{others}");
        for (word, addresses) in &peers {
            writeln!(text, "{word} = [{}]", addresses.join(", ")).unwrap();
        }
        let replicas =
            taken.into_iter().map(|(word, address, _)| Replica { word, address, process: None });
        let replicas = replicas.collect();
        let client = Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        let mut cluster = Self { folder, config: text, replicas, client };
        for at in 0..cluster.replicas.len() {
            cluster.launch(at).await;
        }
        cluster
    }

    /// The places of a service's processes.
    pub(crate) fn of(&self, word: &str) -> Vec<usize> {
        (0..self.replicas.len()).filter(|at| self.replicas[*at].word == word).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.replicas.len()
    }

    pub(crate) fn url(&self, at: usize, path: &str) -> String {
        format!("http://{}{path}", self.replicas[at].address)
    }

    /// Starts a process on its address and waits until it is ready.
    pub(crate) async fn launch(&mut self, at: usize) {
        let replica = &self.replicas[at];
        assert!(replica.process.is_none(), "kill or stop it first");
        let file = self.folder.path().join(format!("{at}.toml"));
        std::fs::write(&file, &self.config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lightning"));
        command.args(["serve", replica.word, "--config"]).arg(&file).arg("--data");
        command.arg(self.folder.path().join(format!("data-{at}")));
        let key = format!("LIGHTNING_{}__LISTEN", replica.word.to_uppercase());
        command.env(key, replica.address.to_string());
        command.env("LIGHTNING_TELEMETRY__FORMAT", "json").env("LIGHTNING_TELEMETRY__LOG", "info");
        command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("\"message\":\"ready\"") {
                    return;
                }
            }
            panic!("the program ended before it was ready");
        })
        .await
        .expect("the program is ready in time");
        // Keep reading, so that the pipe never fills.
        lightning_mesh::task::spawn("test", async move {
            while let Ok(Some(_)) = lines.next_line().await {}
        });
        self.replicas[at].process = Some(process);
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self, at: usize) {
        self.replicas[at].process.take().unwrap().kill().await.unwrap();
    }

    /// SIGTERM, then the exit code.
    pub(crate) async fn stop(&mut self, at: usize) -> Option<i32> {
        let mut process = self.replicas[at].process.take().unwrap();
        let id = process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        timeout(PATIENCE, process.wait()).await.expect("it drains in time").unwrap().code()
    }

    /// The Prometheus text of a process.
    pub(crate) async fn metrics(&self, at: usize) -> String {
        let response = self.client.get(self.url(at, "/metrics")).send().await.unwrap();
        response.text().await.unwrap()
    }
}

/// The sum of a series over all lines whose labels hold every one of `labels`.
pub(crate) fn sum(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = metrics.lines().filter(|line| {
        line.starts_with(name)
            && line[name.len()..].starts_with(['{', ' '])
            && labels.iter().all(|label| line.contains(label))
    });
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

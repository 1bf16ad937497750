//! Mutual TLS over real sockets: who may talk to whom, what refusals say, and new certificates under load.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc, time::Duration};

use lightning_mesh::{
    channel::Channel,
    clock::{Clock, Timestamp},
    identity::Caller,
    testing::{Builder, Harness},
    tls::{Authority, Issued, Mode, TlsConfig, describe},
};
use lightning_proto::auth::v1::{
    AccessState, WatchAccessRequest, access_service_client::AccessServiceClient,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{Code, Status};

use crate::support::{Plain, client, get, http1, reason, rest_get, start, with_auth};

const DAY: Duration = Duration::from_secs(86_400);
/// Longer than anything takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(30);
const WHO: &str = "/api/v1/monitoring/services/who";

/// An authority with a folder of certificates, and the mesh key of its mesh.
struct Pki {
    folder: tempfile::TempDir,
    authority: Authority,
    now: Timestamp,
}

impl Pki {
    fn new() -> Self {
        let now = Clock::system().now();
        let folder = tempfile::tempdir().unwrap();
        let (authority, own) = Authority::create("lightning.local", 365 * DAY, now).unwrap();
        fs::write(folder.path().join("ca.pem"), own.certificate).unwrap();
        let pki = Self { folder, authority, now };
        for service in ["agents", "auth", "monitoring"] {
            pki.issue(service, 30 * DAY);
        }
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, service: &str, lifetime: Duration) {
        let issued = self.authority.issue(service, &["localhost".to_owned()], lifetime, self.now);
        self.put(service, &issued.unwrap());
    }

    fn put(&self, service: &str, issued: &Issued) {
        let key = self.path(&format!("{service}.key"));
        fs::write(&key, issued.key.expose()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(self.path(&format!("{service}.pem")), &issued.certificate).unwrap();
    }

    fn tls(&self, mode: Mode) -> TlsConfig {
        TlsConfig {
            mode,
            ca: Some(self.path("ca.pem")),
            certificate: Some(self.path("{service}.pem")),
            key: Some(self.path("{service}.key")),
            reload_interval: Duration::from_millis(20),
            ..TlsConfig::default()
        }
    }

    /// A harness for these services whose certificates come from here.
    fn builder(&self, services: &[&'static str], mode: Mode) -> Builder {
        Harness::builder(services).mesh(|mesh| {
            mesh.tls = self.tls(mode);
            mesh.key_file = Some(self.path("mesh.key"));
        })
    }

    /// A process that runs agents and knows where monitoring is.
    fn agents(&self, base: &str) -> Builder {
        let base = base.to_owned();
        self.builder(&["agents"], Mode::Permissive).mesh(|mesh| {
            mesh.peers.insert("monitoring".into(), base.clone().into());
            mesh.peers.insert("auth".into(), base.into());
        })
    }

    /// As curl with `--cacert`, and with `--cert` if a service is named.
    async fn browse(&self, base: &str, identity: Option<&str>) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(service) => {
                let file = |end: &str| self.path(&format!("{service}.{end}"));
                let certificate = CertificateDer::from_pem_file(file("pem")).unwrap();
                let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let stream = TcpStream::connect(base.split_once("://").unwrap().1).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn https(&self, base: &str, path: &str, identity: Option<&str>) -> String {
        let mut stream = self.browse(base, identity).await;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A server that closes without a goodbye has answered all the same.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn secure(harness: &Harness, service: &str) -> String {
    harness.rest(service).replace("http://", "https://")
}

/// The way from the process that runs agents to a peer, in the name of agents.
fn from_agents(harness: &Harness, peer: &str) -> Channel {
    harness.context("agents").peers().channel(peer)
}

async fn who(channel: Channel) -> Result<(String, String), Status> {
    let service = client(channel).get_service(get("who")).await?.into_inner();
    Ok((service.id, service.health_message))
}

/// Fails unless a call is refused with a text in its message.
async fn refused(channel: Channel, expected: &str) {
    let status = who(channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains(expected), "{status}");
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "the condition never holds");
        tokio::time::sleep(Duration::from_millis(5)).await; // between two looks at a condition
    }
}

#[tokio::test]
async fn services_prove_themselves_to_each_other() {
    let pki = Pki::new();
    let monitoring = start(pki.builder(&["monitoring"], Mode::Strict)).await;
    let agents = pki.agents(&secure(&monitoring, "monitoring")).start();
    let expected = ("service:agents".to_owned(), "agents".to_owned());
    assert_eq!(who(from_agents(&agents, "monitoring")).await.unwrap(), expected);
    // On behalf of a user: their name and their rights, by way of agents.
    let ada = Caller::new("user:ada", "Ada", ["monitoring.read"]);
    let mut channel = client(from_agents(&agents, "monitoring"));
    let answer = channel.get_service(ada.request(get("who"))).await.unwrap().into_inner();
    assert_eq!((answer.id.as_str(), answer.version.as_str()), ("user:ada", "monitoring.read"));
    let metrics = pki.https(&monitoring.rest("monitoring"), "/metrics", None).await;
    assert!(metrics.contains("tls_handshakes_total{side=\"server\",outcome=\"ok\"}"), "{metrics}");
    assert!(metrics.contains("tls_certificate_not_after_seconds"), "{metrics}");
}

#[tokio::test]
async fn a_server_that_is_not_who_was_dialled_is_refused() {
    let (pki, others) = (Pki::new(), Pki::new());
    let monitoring = start(pki.builder(&["monitoring"], Mode::Strict)).await;
    let base = secure(&monitoring, "monitoring");
    // Another authority than ours.
    let stranger = others.agents(&base).start();
    refused(from_agents(&stranger, "monitoring"), "not signed by our authority").await;
    // Ours, but of another service than the one that was dialled.
    let agents = pki.agents(&base).start();
    let expected = "spiffe://lightning.local/monitoring, not to spiffe://lightning.local/auth";
    refused(from_agents(&agents, "auth"), expected).await;
    // A port that does not speak TLS at all.
    let plain = start(Harness::builder(&["monitoring"])).await;
    let lost = pki.agents(&secure(&plain, "monitoring")).start();
    let status = who(from_agents(&lost, "monitoring")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_by_either_side() {
    let pki = Pki::new();
    let late = || Clock::manual(pki.now + 2 * DAY).0;
    pki.issue("monitoring", DAY);
    let monitoring = start(pki.builder(&["monitoring"], Mode::Strict)).await;
    let agents = pki.agents(&secure(&monitoring, "monitoring")).clock(late()).start();
    refused(from_agents(&agents, "monitoring"), "the certificate has expired").await;

    pki.issue("agents", DAY);
    pki.issue("monitoring", 30 * DAY);
    let monitoring = start(pki.builder(&["monitoring"], Mode::Strict).clock(late())).await;
    let agents = pki.agents(&secure(&monitoring, "monitoring")).start();
    refused(from_agents(&agents, "monitoring"), "CertificateExpired").await;
    let metrics = pki.https(&monitoring.rest("monitoring"), "/metrics", None).await;
    assert!(metrics.contains("tls_handshakes_total{side=\"server\",outcome=\"failed\"}"));
}

#[tokio::test]
async fn a_process_whose_certificate_is_another_services_does_not_start() {
    let pki = Pki::new();
    fs::copy(pki.path("agents.pem"), pki.path("monitoring.pem")).unwrap();
    let tls = pki.tls(Mode::Strict);
    let config = lightning_mesh::NodeConfig {
        data_dir: pki.folder.path().to_owned(),
        mesh: lightning_mesh::MeshConfig { tls, ..Default::default() },
        services: vec!["monitoring"],
        loopback: true,
    };
    let (_trigger, shutdown) = lightning_mesh::shutdown::Shutdown::new();
    let error = lightning_mesh::Node::start(config, Clock::system(), shutdown).err().unwrap();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(text.contains("belongs to spiffe://lightning.local/agents"), "{text}");
}

#[tokio::test]
async fn strict_ports_answer_neither_plain_text_nor_strangers() {
    let pki = Pki::new();
    let monitoring = start(pki.builder(&["monitoring"], Mode::Strict)).await;
    let base = monitoring.rest("monitoring");
    let plain = rest_get(&base, WHO, "").await;
    assert!(plain.starts_with("HTTP/1.1 403") && plain.contains("TLS_REQUIRED"), "{plain}");
    assert!(rest_get(&base, "/health", "").await.contains("TLS_REQUIRED"));
    let status = who_plain(&base).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::PermissionDenied, "TLS_REQUIRED".into()));
    // A client without a certificate may probe, and is told what is missing for more.
    let stranger = pki.https(&base, WHO, None).await;
    assert!(stranger.contains("403") && stranger.contains("CERTIFICATE_REQUIRED"), "{stranger}");
    assert!(pki.https(&base, "/health", None).await.starts_with("HTTP/1.1 200"));
    // With one it is a client like any other: a certificate alone makes nobody a caller.
    let known = pki.https(&base, WHO, Some("agents")).await;
    assert!(known.starts_with("HTTP/1.1 200") && known.contains("\"local\""), "{known}");
}

async fn who_plain(base: &str) -> Result<String, Status> {
    let plain = Plain::connect(base).await;
    let mut client =
        lightning_proto::monitoring::v1::monitoring_service_client::MonitoringServiceClient::new(
            plain,
        );
    Ok(client.get_service(get("who")).await?.into_inner().id)
}

#[tokio::test]
async fn the_edge_answers_people_over_tls_without_a_certificate() {
    let pki = Pki::new();
    let builder = pki.builder(&["monitoring"], Mode::Strict);
    let edge =
        start(builder.mesh(|mesh| mesh.tls.open_to_clients = vec!["monitoring".into()])).await;
    let base = edge.rest("monitoring");
    assert!(pki.https(&base, WHO, None).await.starts_with("HTTP/1.1 200"));
    assert!(rest_get(&base, WHO, "").await.contains("TLS_REQUIRED"));
}

#[tokio::test]
async fn permissive_ports_answer_people_either_way_and_services_with_certificates_alone() {
    let pki = Pki::new();
    let monitoring = start(pki.builder(&["monitoring"], Mode::Permissive)).await;
    let base = monitoring.rest("monitoring");
    assert!(rest_get(&base, WHO, "").await.starts_with("HTTP/1.1 200"));
    assert!(pki.https(&base, WHO, None).await.starts_with("HTTP/1.1 200"));
    assert_eq!(who_plain(&base).await.unwrap(), "local");
    // A service with a good token, in plain text: the token may be stolen.
    let plain = pki.agents(&base).start();
    let status = who(from_agents(&plain, "monitoring")).await.unwrap_err();
    let expected = (Code::PermissionDenied, "CERTIFICATE_REQUIRED".to_owned());
    assert_eq!((status.code(), reason(&status)), expected, "{status}");
    // The same over TLS, with the certificate of another service than the token's.
    let agents = pki.agents(&secure(&monitoring, "monitoring")).start();
    let thief = agents.channel_as("monitoring", Caller::local());
    let status = who(thief).await.unwrap_err();
    let expected = (Code::PermissionDenied, "CERTIFICATE_MISMATCH".to_owned());
    assert_eq!((status.code(), reason(&status)), expected, "{status}");
    assert!(status.message().contains("spiffe://lightning.local/agents"), "{status}");
}

#[tokio::test]
async fn internal_methods_need_the_certificate_of_the_service_that_calls() {
    let pki = Pki::new();
    let builder = pki.builder(&["monitoring", "auth"], Mode::Permissive);
    let state = AccessState { revision: 1, open: true, ..AccessState::default() };
    let (harness, _state, _) = with_auth(builder, state).await;
    let watch = async |channel: Channel| {
        let asked = AccessServiceClient::new(channel).watch_access(WatchAccessRequest {}).await;
        asked.map(|_| ()).map_err(|status| (status.code(), reason(&status)))
    };
    // Inside of the process nothing changes.
    assert_eq!(watch(harness.channel_as("auth", Caller::local())).await, Ok(()));
    let agents = pki.agents(&secure(&harness, "auth")).start();
    assert_eq!(watch(from_agents(&agents, "auth")).await, Ok(()));
    let expected = Err((Code::PermissionDenied, "CERTIFICATE_MISMATCH".to_owned()));
    assert_eq!(watch(agents.channel_as("auth", Caller::local())).await, expected);
    let plain = pki.agents(&harness.rest("auth")).start();
    let expected = Err((Code::PermissionDenied, "CERTIFICATE_REQUIRED".to_owned()));
    assert_eq!(watch(from_agents(&plain, "auth")).await, expected);
    // A certificate without a token is nobody.
    let answer = pki.https(&harness.rest("auth"), "/", Some("agents")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn new_certificates_are_taken_up_without_a_failed_call() {
    let pki = Pki::new();
    let monitoring = start(pki.builder(&["monitoring"], Mode::Strict)).await;
    let base = secure(&monitoring, "monitoring");
    let agents = pki.agents(&base).start();
    let shown = async || {
        let stream = pki.browse(&base, None).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let calls = async {
        let mut done = 0;
        while stopped.try_recv().is_err() {
            // A fresh channel each time, so that each call shakes hands.
            who(from_agents(&agents, "monitoring")).await.unwrap();
            done += 1;
        }
        done
    };
    let rotations = async {
        for _ in 0..5 {
            let before = shown().await;
            pki.issue("agents", 20 * DAY);
            pki.issue("monitoring", 20 * DAY);
            until(async || shown().await != before).await;
        }
        stop.send(()).unwrap();
    };
    let (done, ()) = tokio::join!(calls, rotations);
    assert!(done > 5, "{done} calls");
}

/// How often a service took new files up.
fn reloads(harness: &Harness, service: &'static str) -> u64 {
    let text = harness.context(service).metrics().text();
    let line = text.lines().find(|line| line.starts_with("tls_reloads_total{outcome=\"ok\"}"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn an_authority_is_replaced_without_a_failed_call() {
    let pki = Pki::new();
    let monitoring = start(pki.builder(&["monitoring"], Mode::Strict)).await;
    let agents = pki.agents(&secure(&monitoring, "monitoring")).start();
    let old = fs::read_to_string(pki.path("ca.pem")).unwrap();
    let (authority, new) = Authority::create("lightning.local", 365 * DAY, pki.now).unwrap();
    // Believe both, then show certificates of the new one, then believe it alone.
    let steps: [&dyn Fn(); 3] = [
        &|| fs::write(pki.path("ca.pem"), format!("{old}{}", new.certificate)).unwrap(),
        &|| {
            for service in ["agents", "monitoring"] {
                pki.put(service, &authority.issue(service, &[], DAY, pki.now).unwrap());
            }
        },
        &|| fs::write(pki.path("ca.pem"), &new.certificate).unwrap(),
    ];
    for step in steps {
        let before = (reloads(&monitoring, "monitoring"), reloads(&agents, "agents"));
        step();
        until(async || {
            // A fresh channel each time, so that each call shakes hands.
            who(from_agents(&agents, "monitoring")).await.unwrap();
            reloads(&monitoring, "monitoring") > before.0 && reloads(&agents, "agents") > before.1
        })
        .await;
    }
    who(from_agents(&agents, "monitoring")).await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_the_old_certificate_in_use() {
    let pki = Pki::new();
    let monitoring = start(pki.builder(&["monitoring"], Mode::Permissive)).await;
    let base = monitoring.rest("monitoring");
    let has = async |line: &str| rest_get(&base, "/metrics", "").await.contains(line);
    fs::write(pki.path("monitoring.pem"), "half a certifi").unwrap();
    until(async || has("tls_reloads_total{outcome=\"failed\"} 1").await).await;
    assert!(pki.https(&base, WHO, None).await.starts_with("HTTP/1.1 200"));
    pki.issue("monitoring", DAY);
    until(async || has("tls_reloads_total{outcome=\"ok\"} 1").await).await;
    let end = describe(&fs::read_to_string(pki.path("monitoring.pem")).unwrap()).unwrap().not_after;
    assert!(has(&format!("tls_certificate_not_after_seconds {}", end.as_seconds())).await);
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate_and_no_call_fails() {
    let pki = Pki::new();
    let end = Timestamp::from_micros((pki.now + 30 * DAY).as_seconds() * 1_000_000);
    // For this server all certificates have a tenth of a second left, again and again.
    let (clock, _) = Clock::manual(end.before(Duration::from_millis(100)));
    let builder = pki.builder(&["monitoring"], Mode::Strict).clock(clock.clone());
    let monitoring = start(builder).await;
    let base = secure(&monitoring, "monitoring");
    let agents = pki.agents(&base).clock(clock).start();
    let channel = from_agents(&agents, "monitoring");
    let served = async || {
        let metrics = pki.https(&base, "/metrics", None).await;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("tls_handshakes_total{side=\"server\",outcome=\"ok\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    let (start, mut calls) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(1) {
        who(channel.clone()).await.unwrap();
        calls += 1;
    }
    // Two connections that never end would have made three handshakes, with the one that asks.
    assert!(served().await >= 5, "after {calls} calls");
    let mut idle = pki.browse(&base, None).await;
    let ended = tokio::time::timeout(PATIENCE, idle.read(&mut [0; 16])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
}

#[tokio::test]
async fn garbage_and_silence_in_a_handshake_are_bounded() {
    let pki = Pki::new();
    let builder = pki.builder(&["monitoring"], Mode::Permissive).mesh(|mesh| {
        mesh.tls.handshake_timeout = Duration::from_millis(100);
        mesh.serve.first_byte_timeout = Duration::from_millis(200);
    });
    let monitoring = start(builder).await;
    let base = monitoring.rest("monitoring");
    let check = async |bytes: &[u8]| {
        let address = base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        // Closed or reset: either way it is over, and nothing but an alert was said.
        let _ = read.expect("the connection is closed");
        assert!(answer.len() < 64 && !answer.starts_with(b"HTTP"), "{answer:?}");
    };
    check(&[0x16]).await;
    check(&[0x16, 3, 1, 0, 200, 1, 0, 0]).await;
    check(&[0x16, 3, 1, 0, 5, 9, 9, 9, 9, 9]).await;
    check(&[0x16, 3, 3, 0xff, 0xff]).await;
    check(&[&[0x16][..], &[0x41; 100_000]].concat()).await;
    // TLS, and then nothing inside.
    let mut silent = pki.browse(&base, None).await;
    let ended = tokio::time::timeout(PATIENCE, silent.read(&mut [0; 16])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    assert!(pki.https(&base, "/health", None).await.starts_with("HTTP/1.1 200"));
    assert!(
        http1(&base, "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let metrics = rest_get(&base, "/metrics", "").await;
    assert!(
        metrics.contains("tls_handshakes_total{side=\"server\",outcome=\"failed\"} 5"),
        "{metrics}"
    );
}

//! Runs services in this process: bind, open, serve, wait for a signal, drain.
//!
//! All ports are bound before anything is opened, so that a taken port costs nothing; `ready` is said
//! when every service serves. Services that are not run here are found at `[mesh.peers]`, or on this
//! machine at their documented port.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Context as _, bail};
use lightning_mesh::{
    Context, Node, NodeConfig, Service,
    clock::Clock,
    serve::{Drained, Listener, serve},
    shutdown::Shutdown,
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::{
    cli::{self, ALL, Word},
    config::Config,
};

/// Runs the services until SIGTERM or SIGINT; then drains. The exit code is 0 also when connections
/// had to be cut: the log says so.
pub(crate) fn run(config: &Config, words: &[Word]) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let _exporting = telemetry::init(&config.telemetry).context("telemetry cannot start")?;
        run_services(config, words).await
    })
}

async fn run_services(config: &Config, words: &[Word]) -> anyhow::Result<ExitCode> {
    let loopback = words.iter().all(|word| config.listen[word.as_str()].ip().is_loopback());
    if !loopback {
        refuse_open_mode(config, words).await?;
    }
    let mut listeners = Vec::new();
    for word in words {
        listeners.push(Listener::bind(&config.listen[word.as_str()].to_string()).await?);
    }
    // Before the first look at the data, so that a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let (trigger, shutdown) = Shutdown::new();
    let node = Node::start(node_config(config, words, loopback), Clock::system(), shutdown)
        .context("the mesh cannot start")?;
    let services = open_all(config, words, &node).await?;
    let mut served = tokio::task::JoinSet::new();
    let mut places = Vec::new();
    for ((word, (service, context)), listener) in words.iter().zip(services).zip(listeners) {
        info!(service = word.as_str(), address = %listener.local_addr(), "listening");
        places.push((*word, listener.local_addr()));
        served.spawn(async move { serve(service, listener, &context).await });
    }
    info!(services = words.len(), "ready");
    if words.len() == ALL.len() {
        cli::say(&where_to_look(config.mesh.tls.mode.scheme(), &places));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // A service ends by itself only when it cannot be served.
        Some(ended) = served.join_next() => {
            trigger.request();
            ended.context("a service panicked")??;
        }
    }
    info!("draining");
    trigger.request();
    let mut cut = 0;
    while let Some(ended) = served.join_next().await {
        match ended.context("a service panicked")?? {
            Drained::Clean => {}
            Drained::Cut(connections) => cut += connections,
        }
    }
    info!(cut, "stopped");
    Ok(ExitCode::SUCCESS)
}

fn node_config(config: &Config, words: &[Word], loopback: bool) -> NodeConfig {
    let mut mesh = config.mesh.clone();
    for word in ALL.into_iter().filter(|word| !words.contains(word)) {
        let scheme = if mesh.tls.is_on() { "https" } else { "http" };
        let address = || format!("{scheme}://{}", config.listen[word.as_str()]).into();
        mesh.peers.entry(word.as_str().to_owned()).or_insert_with(address);
    }
    NodeConfig {
        data_dir: config.store.data_dir.clone(),
        mesh,
        services: words.iter().map(|word| word.as_str()).collect(),
        loopback,
    }
}

/// Opens all services at once: each waits for its own database and nobody else's.
async fn open_all(
    config: &Config,
    words: &[Word],
    node: &Node,
) -> anyhow::Result<Vec<(Service, Context)>> {
    let opened = words.iter().map(|word| async {
        let context = node.context(word.as_str());
        let service = Box::pin(open(config, *word, context.clone())).await;
        let service = service.with_context(|| format!("{} cannot start", word.as_str()))?;
        anyhow::Ok((service, context))
    });
    futures_util::future::try_join_all(opened).await
}

async fn open(config: &Config, word: Word, context: Context) -> anyhow::Result<Service> {
    let store = &config.store;
    Ok(match word {
        Word::Gateway => lightning_gateway::open(config.gateway.clone(), store, context).await?,
        Word::Agents => lightning_agents::open(config.agents.clone(), store, context).await?,
        Word::Enhanced => lightning_enhanced::open(config.enhanced.clone(), store, context).await?,
        Word::Workflows => {
            lightning_workflows::open(config.workflows.clone(), store, context).await?
        }
        Word::Integrations => {
            lightning_integrations::open(config.integrations.clone(), store, context).await?
        }
        Word::Models => lightning_models::open(config.models.clone(), store, context).await?,
        Word::Auth => lightning_auth::open(config.auth.clone(), store, context).await?,
        Word::Monitoring => {
            lightning_monitoring::open(config.monitoring.clone(), store, context).await?
        }
    })
}

/// A listener that others can reach needs users. Where auth runs in this process its database says
/// whether there are any; elsewhere auth itself does, and the gate asks it.
async fn refuse_open_mode(config: &Config, words: &[Word]) -> anyhow::Result<()> {
    if words.contains(&Word::Auth) && !lightning_auth::has_users(&config.store).await? {
        bail!(
            "a listener is reachable from other machines, and no user exists: anyone could do anything. \
             Create the first admin with `lightning admin create-user NAME --data {}`, or listen on 127.0.0.1",
            config.store.data_dir.display()
        );
    }
    Ok(())
}

fn where_to_look(scheme: &str, places: &[(Word, std::net::SocketAddr)]) -> String {
    let mut text = String::from("\n  Agent Lightning is ready.\n\n");
    for (word, address) in places {
        let line = writeln!(text, "  {:<13} {scheme}://{address}", word.as_str());
        line.expect("writing to a string cannot fail");
    }
    let of =
        |wanted: Word| places.iter().find(|(word, _)| *word == wanted).map(|(_, address)| address);
    if let (Some(gateway), Some(monitoring)) = (of(Word::Gateway), of(Word::Monitoring)) {
        let rest = write!(
            text,
            "\n  API           {scheme}://{gateway}/docs\n  Dashboard     {scheme}://{monitoring}/dashboard\n\n  \
             curl -X POST {scheme}://{gateway}/api/v1/agents -H 'Content-Type: application/json' \\\n    \
             -d '{{\"name\": \"Test Agent\", \"agent_type\": \"conversational\"}}'\n"
        );
        rest.expect("writing to a string cannot fail");
    }
    text
}

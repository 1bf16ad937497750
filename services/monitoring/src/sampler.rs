//! Asks every service for its figures, again and again, and keeps what they say.
//!
//! All services are asked at once and each has its own time limit, so one that hangs delays nobody.
//! Watchers are told after each round through a watch channel: a slow watcher skips rounds and never
//! holds one up.

use std::sync::Arc;

use lightning_mesh::{Context, identity::Caller};
use lightning_proto::telemetry::v1::{
    GetMetricsRequest, metrics_service_client::MetricsServiceClient,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    config::Config,
    convert,
    domain::{Reading, Service},
};

/// The whole mesh after one round.
pub(crate) type Snapshot = Arc<Vec<Service>>;

/// Starts asking; the receiver always holds the newest round.
pub(crate) fn start(config: Config, context: Context) -> watch::Receiver<Snapshot> {
    let capacity = config.capacity();
    let services = config.services.iter().map(|id| Service::new(id, capacity)).collect();
    let (sender, receiver) = watch::channel(Snapshot::new(services));
    lightning_mesh::task::spawn("monitoring-sampler", run(config, context, sender));
    receiver
}

async fn run(config: Config, context: Context, sender: watch::Sender<Snapshot>) {
    let mut ticks = interval(config.interval.max(std::time::Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown().requested() => return,
        }
        let asked = config.services.iter().map(|id| ask(&config, &context, id));
        let outcomes = futures_util::future::join_all(asked).await;
        let now = context.clock().now();
        sender.send_modify(|snapshot| {
            let services = Arc::make_mut(snapshot);
            for (service, outcome) in services.iter_mut().zip(outcomes) {
                service.record(now, outcome);
            }
        });
    }
}

async fn ask(config: &Config, context: &Context, id: &str) -> Result<Reading, String> {
    let mut client = MetricsServiceClient::new(context.peers().channel(id));
    let request = Caller::service(context.name()).request(GetMetricsRequest {});
    match timeout(config.timeout, client.get_metrics(request)).await {
        Ok(Ok(answer)) => Ok(convert::reading(answer.get_ref())),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err(format!("no answer within {:?}", config.timeout)),
    }
}

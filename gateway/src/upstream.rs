//! Upstreams: gRPC services from outside of the mesh that are mounted as if they were of it.
//!
//! One task for each upstream reads its descriptors by reflection, makes a plan of them and offers it
//! to the [`Registry`]. It asks again at an interval, and soon when a call had an answer that means that
//! the upstream went away or changed. Whatever goes wrong, what was mounted last stays mounted: calls
//! to a dead upstream are answered with UNAVAILABLE by its channel, at once. The start waits for none of
//! this.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use lightning_mesh::{Context, serve::Mount, task};
use tokio::sync::Notify;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;

use crate::{
    concurrency::Places,
    config::{self, Config},
    error::Error,
    figures::Figures,
    forward::SpeaksGrpc,
    mount::Registry,
};

mod forward;
mod plan;
mod reflect;

use plan::Plan;
use reflect::Found;

/// How long reading all descriptors may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed attempt: first, longest (or `refresh`, if that is shorter).
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Shortest time between two reads that calls in doubt ask for.
const DOUBT_PAUSE: Duration = Duration::from_millis(500);

/// The way to an upstream.
pub(crate) type Wire = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// One upstream and what is known of it.
struct Upstream {
    config: config::Upstream,
    /// For questions of the gateway itself.
    wire: Wire,
    /// For calls, which are bounded and noted as those to every service are.
    guarded: Wire,
    registry: Arc<Registry>,
    doubt: Arc<Notify>,
    /// What the present mount was made from.
    mounted: Option<Found>,
}

/// Keeps the upstreams mounted until the shutdown.
pub(crate) fn start(
    config: &Config,
    registry: &Arc<Registry>,
    figures: &Figures,
    context: &Context,
) -> Result<(), Error> {
    for upstream in &config.upstream {
        let pass = upstream.pass_credentials;
        let channel = context.peers().upstream(&upstream.name, &upstream.addresses, pass);
        let channel = channel.map_err(|error| Error::Config {
            upstream: upstream.name.clone(),
            fault: error.to_string(),
        })?;
        // Labels live as long as the process; there are as many as the configuration has upstreams.
        let name: &'static str = upstream.name.clone().leak();
        let places = Places::new(name, &config.concurrency, figures.service(name));
        let guarded = SpeaksGrpc(places.guard(channel.clone()));
        let upstream = Upstream {
            config: upstream.clone(),
            wire: BoxCloneSyncService::new(channel),
            guarded: BoxCloneSyncService::new(guarded),
            registry: registry.clone(),
            doubt: Arc::default(),
            mounted: None,
        };
        let shutdown = context.shutdown().clone();
        task::spawn("upstream", async move {
            tokio::select! {
                () = shutdown.requested() => {}
                () = upstream.keep_mounted() => {}
            }
        });
    }
    Ok(())
}

impl Upstream {
    async fn keep_mounted(mut self) {
        let longest = BACKOFF.1.min(self.config.refresh);
        let mut pause = BACKOFF.0;
        loop {
            let read = reflect::read(self.wire.clone(), &self.config.services);
            let read = tokio::time::timeout(READ_TIMEOUT, read).await;
            let late = || Err(Error::Reflection(format!("no answer within {READ_TIMEOUT:?}")));
            match read.unwrap_or_else(|_| late()) {
                Ok(found) => {
                    pause = BACKOFF.0;
                    self.take(found).await;
                    self.wait().await;
                }
                Err(error) => {
                    self.registry.unreachable(&self.config.name, &error);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    /// Waits until it is time to read again.
    async fn wait(&self) {
        let at_least = DOUBT_PAUSE.min(self.config.refresh);
        tokio::time::sleep(at_least).await;
        let rest = self.config.refresh.saturating_sub(at_least);
        // Running out of time is the usual case.
        let _elapsed = tokio::time::timeout(rest, self.doubt.notified()).await;
    }

    /// Mounts what was found, if it is new and can be. What was refused before is offered again, since
    /// what it was in conflict with may be gone.
    async fn take(&mut self, found: Found) {
        let name = &self.config.name;
        if self.mounted.as_ref() == Some(&found) {
            self.registry.confirmed(name);
            return;
        }
        match plan::make(&self.config, &found).await {
            Ok(plan) => {
                if self.registry.offer(self.mount(plan)) {
                    self.mounted = Some(found);
                }
            }
            Err(error) => self.registry.faulty(name, &error),
        }
    }

    fn mount(&self, plan: Plan) -> Mount {
        let Plan { services, methods, routes, files, warnings } = plan;
        for warning in warnings {
            tracing::warn!(upstream = self.config.name, warning, "an upstream is odd");
        }
        let forward = forward::Forward::new(self.guarded.clone(), self.doubt.clone());
        Mount::new(self.config.name.clone(), services, methods, routes, files, forward)
    }
}

//! Which replica gets a call: the better of two taken at random ("power of two choices").
//!
//! Looking at two of many is as good as looking at all and does not send everybody to the same one. Only
//! endpoints that are open and not left out by their breaker are offered; what nobody has dialled yet is
//! dialled beside the calls. When no endpoint is open, a call waits for one that is being connected; when
//! none is coming it is answered at once. Breakers never leave out the last one: if they would, they are
//! not asked. A peer with one endpoint, such as a pipe, costs no choice, no breaker and no estimate.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde::Deserialize;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use self::pick::{Pick, Picked};
use super::{
    Body, ChannelConfig,
    breaker::class,
    connection::{Connector, Place},
    endpoint::{Endpoint, PATIENCE},
    pipe::Pipe,
    resolve::{self, Address, Resolve},
    unreachable,
};
use crate::{contract, task, tls::Tls};

mod figures;
mod pick;

pub(super) use figures::EndpointFigures;

/// How often a request that was never written is given to another connection.
const MAX_TRIES: usize = 4;

/// `[mesh.channel.balance]`: how calls are spread over the replicas of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalanceConfig {
    /// How long round trips and failures are remembered: after this time a third is left of them.
    #[serde(with = "crate::config::duration")]
    pub decay: Duration,
    /// How often names are looked up; at least a second.
    #[serde(with = "crate::config::duration")]
    pub resolve_interval: Duration,
    /// Whether the health service of remote peers is watched.
    pub health: bool,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(10),
            resolve_interval: Duration::from_secs(30),
            health: true,
        }
    }
}

/// Where a peer is.
#[derive(Clone)]
pub(super) enum Target {
    /// In this process.
    Pipe(Pipe),
    /// At these addresses.
    Addresses(Vec<Address>),
    /// Not configured.
    Nowhere,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Balance(Arc<Shared>);

/// What the balance of a peer and its tasks share.
pub(super) struct Shared {
    pub(super) name: String,
    config: ChannelConfig,
    tls: Option<Tls>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    names: Names,
    /// The lookup that has not begun yet: it begins with the first call.
    lookup: Mutex<Option<Lookup>>,
    /// Wakes the lookup.
    pub(super) nudge: Arc<Notify>,
    /// Wakes the endpoints that pause before they dial again.
    pub(super) hurry: Arc<Notify>,
    ready: watch::Sender<bool>,
    /// Seen by the calls that wait.
    changes: watch::Sender<()>,
    started: Instant,
    /// Seconds from `started` to the last call, plus one; zero before the first.
    last_used: AtomicU64,
}

/// Who looks up what.
type Lookup = (Arc<dyn Resolve>, Vec<Address>);

/// What is known about the names among the addresses.
struct Names(AtomicU8);

impl Names {
    const NONE: u8 = 0;
    const UNKNOWN: u8 = 1;
    const LOOKED_UP: u8 = 2;

    fn are_unknown(&self) -> bool {
        self.0.load(Ordering::SeqCst) == Self::UNKNOWN
    }
}

impl Balance {
    pub(super) fn new(
        name: &str,
        target: Target,
        tls: Option<&Tls>,
        config: &ChannelConfig,
        resolver: Arc<dyn Resolve>,
        figures: &EndpointFigures,
    ) -> Self {
        let shared = Arc::new_cyclic(|weak| {
            let endpoint = |place| {
                Endpoint::new(Connector::new(name, place, tls, config), config, weak.clone())
            };
            let (places, addresses) = match target {
                Target::Pipe(pipe) => (vec![Place::Pipe(pipe)], Vec::new()),
                Target::Addresses(addresses) => (literal(&addresses), addresses),
                Target::Nowhere => (Vec::new(), Vec::new()),
            };
            let named = addresses.iter().any(|address| address.literal().is_none());
            let endpoints: Vec<_> = places.into_iter().map(endpoint).collect();
            Shared {
                name: name.to_owned(),
                config: config.clone(),
                tls: tls.cloned(),
                endpoints: ArcSwap::from_pointee(endpoints),
                names: Names(AtomicU8::new(if named { Names::UNKNOWN } else { Names::NONE })),
                lookup: Mutex::new(named.then_some((resolver, addresses))),
                nudge: Arc::default(),
                hurry: Arc::default(),
                ready: watch::channel(true).0,
                changes: watch::channel(()).0,
                started: Instant::now(),
                last_used: AtomicU64::new(0),
            }
        });
        figures.follow(&shared);
        Self(shared)
    }

    /// A peer of several pipes; what replicas in one process would be.
    #[cfg(test)]
    pub(super) fn of_pipes(
        pipes: Vec<Pipe>,
        config: &ChannelConfig,
        figures: &EndpointFigures,
    ) -> Self {
        let nowhere =
            Self::new("test", Target::Nowhere, None, config, Arc::new(resolve::System), figures);
        let weak = Arc::downgrade(&nowhere.0);
        let endpoint = |pipe| {
            let connector = Connector::new("test", Place::Pipe(pipe), None, config);
            Endpoint::new(connector, config, weak.clone())
        };
        nowhere.0.endpoints.store(Arc::new(pipes.into_iter().map(endpoint).collect()));
        nowhere
    }

    /// Whether a call would find an endpoint: one that is open, or that nothing is known against. A peer
    /// that is not configured is as ready as it will ever be: its calls are answered at once.
    pub(super) fn readiness(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// Tells why the last endpoint that could not be connected could not.
    pub(super) fn reason(&self) -> Box<dyn Fn() -> Option<String> + Send + Sync> {
        let weak = Arc::downgrade(&self.0);
        Box::new(move || weak.upgrade()?.reason())
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl tower::Service<Request<Body>> for Balance {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move { Ok(shared.call(request).await) })
    }
}

impl Shared {
    async fn call(self: &Arc<Self>, mut request: Request<Body>) -> Response<Body> {
        self.touch();
        let method = contract::method_of(&request);
        let streams = method.is_none_or(|method| method.server_streaming);
        for _ in 0..MAX_TRIES {
            let picked = self.pick(request.uri().path(), streams).await;
            let Some(Picked { endpoint, lane, permit }) = picked else {
                return self.nobody();
            };
            match endpoint.call(lane, request, permit).await {
                Ok(response) => return response,
                Err(unsent) => request = *unsent,
            }
        }
        unreachable(&self.name, "its connections keep closing")
    }

    /// An endpoint for a call, waiting for one that is being connected; `None` if there is none.
    async fn pick(self: &Arc<Self>, path: &str, streams: bool) -> Option<Picked> {
        if let Pick::Found(picked) = self.pick_now(path, streams) {
            return Some(picked);
        }
        // From here on no change is missed: what happened before is seen by the next look.
        let mut changes = self.changes.subscribe();
        loop {
            match self.pick_now(path, streams) {
                Pick::Found(picked) => return Some(picked),
                Pick::Coming => changes.changed().await.ok()?,
                Pick::Nothing => return None,
            }
        }
    }

    fn pick_now(self: &Arc<Self>, path: &str, streams: bool) -> Pick {
        let endpoints = self.endpoints.load();
        match &endpoints[..] {
            [] if self.names.are_unknown() => {
                self.look_up();
                Pick::Coming
            }
            [] => Pick::Nothing,
            [only] => pick::only(only),
            several => pick::one_of(several, class::of(path), streams, Instant::now()),
        }
    }

    fn nobody(&self) -> Response<Body> {
        // Perhaps there are others by now.
        self.nudge.notify_one();
        let endpoints = self.endpoints.load();
        let error = self.reason();
        let message = match (endpoints.len(), error) {
            (0, _) if self.names.0.load(Ordering::SeqCst) == Names::NONE => {
                "it is neither served here nor configured under [mesh.peers]".to_owned()
            }
            (0, _) => "its name has no address".to_owned(),
            (1, Some(error)) => error,
            (count, Some(error)) => format!("none of its {count} replicas is ready ({error})"),
            (count, None) => format!("none of its {count} replicas is ready"),
        };
        unreachable(&self.name, &message)
    }

    fn reason(&self) -> Option<String> {
        let endpoints = self.endpoints.load();
        let mut errors = endpoints.iter().map(|endpoint| endpoint.last_error());
        errors.find(|error| !error.is_empty())
    }

    /// Whether it was called during the last `time`.
    pub(super) fn in_use(&self, time: Duration) -> bool {
        let last = self.last_used.load(Ordering::Relaxed);
        last > 0 && self.seconds().saturating_sub(last) <= time.as_secs()
    }

    fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs() + 1
    }

    /// Notes that it is called. Writes at most once a second, so that calls do not fight for a word.
    fn touch(self: &Arc<Self>) {
        let now = self.seconds();
        let last = self.last_used.load(Ordering::Relaxed);
        if last == now {
            return;
        }
        self.last_used.store(now, Ordering::Relaxed);
        if last == 0 || now.saturating_sub(last) > PATIENCE.as_secs() {
            self.endpoints.load().iter().for_each(Endpoint::resume);
            self.nudge.notify_one();
            self.look_up();
        }
    }

    /// Begins to look names up, if there are any and nobody has.
    fn look_up(self: &Arc<Self>) {
        let begun = self.lookup.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((resolver, addresses)) = begun else { return };
        let interval = self.config.balance.resolve_interval;
        let weak = Arc::downgrade(self);
        task::spawn("peer-lookup", resolve::follow(weak, resolver, addresses, interval));
    }

    /// Uses what was looked up: endpoints that stay are kept, those that vanished are drained.
    pub(super) fn replace(
        self: &Arc<Self>,
        addresses: &[Address],
        known: &BTreeMap<String, Vec<SocketAddr>>,
    ) {
        let mut places = literal(addresses);
        for address in addresses {
            let found = known.get(address.authority.as_str()).into_iter().flatten();
            places.extend(found.map(|at| address.place(*at)));
        }
        let before = self.endpoints.load_full();
        let mut after: Vec<Arc<Endpoint>> = Vec::with_capacity(places.len());
        for place in places.into_iter().take(resolve::MAX_ADDRESSES) {
            let is_there = |endpoint: &&Arc<Endpoint>| endpoint.connector.place == place;
            if after.iter().any(|endpoint| endpoint.connector.place == place) {
                continue;
            }
            let kept = before.iter().find(is_there).cloned();
            after.push(kept.unwrap_or_else(|| {
                let tls = self.tls.as_ref();
                let connector = Connector::new(&self.name, place, tls, &self.config);
                Endpoint::new(connector, &self.config, Arc::downgrade(self))
            }));
        }
        for endpoint in before.iter().filter(|old| !after.iter().any(|new| Arc::ptr_eq(old, new))) {
            tracing::debug!(peer = self.name, endpoint = endpoint.name, "a replica vanished");
            endpoint.retire();
        }
        self.endpoints.store(Arc::new(after));
        self.names.0.store(Names::LOOKED_UP, Ordering::SeqCst);
        self.refresh();
    }

    /// Tells those who wait that something about an endpoint has changed.
    pub(super) fn refresh(&self) {
        let endpoints = self.endpoints.load();
        let nowhere = endpoints.is_empty() && self.names.0.load(Ordering::SeqCst) == Names::NONE;
        let waits = nowhere || self.names.are_unknown();
        let ready = waits || endpoints.iter().any(|known| known.is_open() || known.is_coming());
        let changed =
            self.ready.send_if_modified(|before| std::mem::replace(before, ready) != ready);
        if changed && !ready && endpoints.len() > 1 {
            // The last one went away. Another may be back since it was tried, and is needed now.
            self.hurry.notify_waiters();
        }
        self.changes.send_replace(());
    }

    /// Hears of every change.
    #[cfg(test)]
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The endpoints at this moment.
    pub(super) fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Answers under way keep their endpoint; its tasks are for calls to come.
        self.endpoints.load().iter().for_each(|endpoint| endpoint.retire());
    }
}

/// The places of those addresses that are no names.
fn literal(addresses: &[Address]) -> Vec<Place> {
    addresses.iter().filter_map(|address| Some(address.place(address.literal()?))).collect()
}

#[cfg(test)]
mod tests;

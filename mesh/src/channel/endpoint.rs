//! One replica of a peer: its connections, its load, its breakers and its health.
//!
//! It is dialled when it is first wanted, and after a failure again and again, at growing and scattered
//! intervals, for as long as somebody calls the peer; in between it is not offered. What it tells about
//! itself is true at that moment: only an endpoint that is connected and serving is open. Its tasks hold
//! it weakly and end when the balance lets go of it; calls under way are finished first.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::{Request, Response};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Body, ChannelConfig,
    balance::Shared,
    breaker::{Breakers, Verdict},
    connection::{
        Connector, Lane, Place,
        attempt::{Attempt, Permit},
    },
    health::{self, Serving},
    http2::Driver,
    load::Load,
};
use crate::{task, tls};

/// Pause after a failed attempt to connect: first, longest. Scattered between half and the whole of it.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a peer is dialled after the last call that wanted it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long an endpoint that comes back may take to tell its health before it is used anyway.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that breaks sooner than this counts as one that could not be made: something accepts
/// connections and has nobody behind it.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// Pause after an additional connection could not be made.
const WIDEN_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) connector: Connector,
    pub(super) load: Load,
    pub(super) breakers: Breakers,
    /// What its health service said last.
    pub(super) serving: watch::Sender<Serving>,
    balance: Weak<Shared>,
    lanes: Box<[ArcSwapOption<Lane>]>,
    phase: AtomicU8,
    widening: AtomicBool,
    /// Whether something follows its health.
    pub(super) watched: AtomicBool,
    /// Told of every new connection.
    pub(super) connected: Arc<Notify>,
    checks_health: bool,
    last_error: Mutex<String>,
    /// When it was connected last, and how many connections in a row broke too soon.
    lives: Mutex<(Instant, u32)>,
    connects: AtomicU64,
    failed_connects: AtomicU64,
    retired: CancellationToken,
    /// Ends the tasks with the endpoint.
    _retires: DropGuard,
}

/// Where an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Not connected, and nothing is known against it.
    Idle,
    /// Being connected, and nothing is known against it.
    Dialing,
    /// Connected.
    Open,
    /// The last attempt failed; the next one comes by itself.
    Away,
}

/// What the metrics call the state of an endpoint.
pub(super) const STATES: [&str; 6] =
    ["idle", "connecting", "ready", "backoff", "not_serving", "ejected"];

impl Endpoint {
    pub(super) fn new(
        connector: Connector,
        config: &ChannelConfig,
        balance: Weak<Shared>,
    ) -> Arc<Self> {
        let (name, lanes, checks_health) = match &connector.place {
            // Inside the process there is nowhere else to go, and one shutdown for all.
            Place::Pipe(_) => ("pipe".to_owned(), 1, false),
            Place::Socket { at, .. } => (at.to_string(), config.connections, true),
        };
        let retired = CancellationToken::new();
        Arc::new(Self {
            name,
            connector,
            load: Load::new(config.balance.decay, Instant::now()),
            breakers: Breakers::new(&config.breaker),
            serving: watch::channel(Serving::Unknown).0,
            balance,
            lanes: (0..lanes.clamp(1, 64)).map(|_| ArcSwapOption::empty()).collect(),
            phase: AtomicU8::new(Phase::Idle as u8),
            widening: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            connected: Arc::default(),
            checks_health: checks_health && config.balance.health,
            last_error: Mutex::default(),
            lives: Mutex::new((Instant::now(), 0)),
            connects: AtomicU64::new(0),
            failed_connects: AtomicU64::new(0),
            _retires: retired.clone().drop_guard(),
            retired,
        })
    }

    pub(super) fn phase(&self) -> Phase {
        const ALL: [Phase; 4] = [Phase::Idle, Phase::Dialing, Phase::Open, Phase::Away];
        ALL[usize::from(self.phase.load(Ordering::SeqCst)) % ALL.len()]
    }

    /// Whether it takes calls at this moment.
    pub(super) fn is_open(&self) -> bool {
        self.phase() == Phase::Open && *self.serving.borrow() != Serving::No
    }

    /// Whether waiting for it makes sense: it will be connected, or known to be away, in a moment.
    pub(super) fn is_coming(&self) -> bool {
        match self.phase() {
            Phase::Idle | Phase::Dialing => true,
            Phase::Open | Phase::Away => false,
        }
    }

    /// What the metrics call its state.
    pub(super) fn state(&self) -> &'static str {
        let ejected = self.breakers.open() > 0;
        let [idle, connecting, ready, backoff, not_serving, ejected_name] = STATES;
        match self.phase() {
            Phase::Idle => idle,
            Phase::Dialing => connecting,
            Phase::Away => backoff,
            Phase::Open if !self.is_open() => not_serving,
            Phase::Open if ejected => ejected_name,
            Phase::Open => ready,
        }
    }

    /// How often it was connected, and how often that failed.
    pub(super) fn connects(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.connects), load(&self.failed_connects))
    }

    /// Why it could not be connected, or its connection broke, the last time; empty if neither.
    pub(super) fn last_error(&self) -> String {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Dials it if nobody has.
    pub(super) fn wake(self: &Arc<Self>) {
        if self.change(Phase::Idle, Phase::Dialing) {
            self.dial(None);
        }
    }

    /// Follows its health again, after a time in which nobody called.
    pub(super) fn resume(self: &Arc<Self>) {
        if self.checks_health && self.phase() == Phase::Open {
            health::follow(self);
        }
    }

    /// Its least busy connection. Another one is made while all are in use and there may be more.
    pub(super) fn lane(self: &Arc<Self>) -> Option<Arc<Lane>> {
        let mut best: Option<(usize, usize)> = None;
        let mut vacant = None;
        for (index, slot) in self.lanes.iter().enumerate() {
            match slot.load().as_ref().filter(|lane| !lane.is_closed()) {
                Some(lane) if best.is_none_or(|(_, busy)| lane.busy() < busy) => {
                    best = Some((index, lane.busy()));
                }
                Some(_) => {}
                None => vacant = Some(index),
            }
        }
        let Some((index, busy)) = best else {
            self.sweep();
            return None;
        };
        if let Some(vacant) = vacant
            && busy > 0
        {
            self.widen(vacant);
        }
        self.lanes[index].load_full()
    }

    /// Calls it over this connection; gives the request back if it was never written.
    pub(super) async fn call(
        self: &Arc<Self>,
        lane: Arc<Lane>,
        mut request: Request<Body>,
        permit: Option<Permit>,
    ) -> Result<Response<Body>, Box<Request<Body>>> {
        self.connector.address(&mut request);
        let deadline = request.extensions().get::<super::deadline::CallBounds>();
        let deadline = deadline.and_then(|bounds| bounds.0.deadline);
        let attempt = Attempt::begin(self, &lane, permit, deadline);
        let answer = lane.send(request, attempt).await;
        if answer.is_err() {
            // Its driver may not have noticed yet.
            self.ended(&lane, true);
        }
        answer
    }

    /// Tells the breaker how a call ended.
    pub(super) fn report(&self, permit: Permit, verdict: Verdict, now: Instant) {
        self.breakers.report(permit.class, permit.probe, verdict, now);
    }

    /// Takes it out of service: calls under way are finished, nothing is begun any more.
    pub(super) fn retire(&self) {
        self.retired.cancel();
    }

    /// Ends with the endpoint.
    pub(super) fn retired(&self) -> CancellationToken {
        self.retired.clone()
    }

    /// Tells the balance that something about it has changed.
    pub(super) fn changed(&self) {
        if let Some(balance) = self.balance.upgrade() {
            balance.refresh();
        }
    }

    pub(super) fn in_use(&self) -> bool {
        self.balance.upgrade().is_some_and(|balance| balance.in_use(PATIENCE))
    }

    /// Moves from one phase to another; false if it is elsewhere.
    fn change(&self, from: Phase, to: Phase) -> bool {
        let changed =
            self.phase.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst);
        changed.is_ok()
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
        self.changed();
    }

    /// Dials in the background, after a pause if there is one.
    fn dial(self: &Arc<Self>, pause: Option<Duration>) {
        let (endpoint, retired) = (Arc::downgrade(self), self.retired());
        task::spawn("peer-dial", async move {
            tokio::select! {
                () = retired.cancelled() => {}
                () = dial(endpoint, pause) => {}
            }
        });
    }

    /// Uses a new connection. One that comes back after a failure tells its health first.
    async fn opened(self: &Arc<Self>, lane: Lane, driver: Driver) {
        self.connects.fetch_add(1, Ordering::Relaxed);
        let back = self.phase() == Phase::Away;
        self.serving.send_if_modified(|serving| serving.forget());
        self.lives().0 = Instant::now();
        self.put(0, lane, driver);
        if self.checks_health {
            self.connected.notify_one();
            health::follow(self);
            if back {
                let mut serving = self.serving.subscribe();
                let told = serving.wait_for(|serving| *serving != Serving::Unknown);
                let _ = tokio::time::timeout(HEALTH_TIMEOUT, told).await;
            }
        }
        self.set(Phase::Open);
        // It may have been lost before it was open, when nobody could have noticed.
        self.check_lanes(false);
    }

    fn put(self: &Arc<Self>, index: usize, lane: Lane, driver: Driver) {
        let lane = Arc::new(lane);
        self.lanes[index].store(Some(lane.clone()));
        let endpoint = Arc::downgrade(self);
        let lane = Arc::downgrade(&lane);
        let name = self.name.clone();
        task::spawn("peer-connection", async move {
            let ended = driver.await;
            if let Err(error) = &ended {
                tracing::debug!(endpoint = name, error = %error, "connection to peer ended");
            }
            if let (Some(endpoint), Some(lane)) = (endpoint.upgrade(), lane.upgrade()) {
                if let Err(error) = &ended {
                    // A server that refuses our certificate says so after we are connected.
                    endpoint.note(tls::explain(error).unwrap_or_else(|| error.to_string()));
                }
                endpoint.ended(&lane, ended.is_ok());
            }
        });
    }

    /// A connection takes no more calls; `in_peace` if the peer closed it properly.
    fn ended(self: &Arc<Self>, lane: &Arc<Lane>, in_peace: bool) {
        for slot in &self.lanes {
            if slot.load().as_ref().is_some_and(|known| Arc::ptr_eq(known, lane)) {
                slot.store(None);
            }
        }
        self.check_lanes(in_peace);
    }

    /// Without any connection it is idle, or dialled at once if it was lost while it was used.
    fn check_lanes(self: &Arc<Self>, in_peace: bool) {
        if self.lanes.iter().any(|slot| slot.load().is_some()) {
            return;
        }
        let dial = !in_peace && self.in_use() && !self.retired.is_cancelled();
        let pause = if dial { self.pause_after_loss() } else { None };
        let next = match (dial, pause) {
            (false, _) => Phase::Idle,
            (true, None) => Phase::Dialing,
            (true, Some(_)) => Phase::Away,
        };
        if self.change(Phase::Open, next) {
            if dial {
                self.dial(pause);
            }
            self.changed();
        }
    }

    /// How long to wait before it is dialled again: not at all, unless connections keep breaking.
    fn pause_after_loss(&self) -> Option<Duration> {
        let mut lives = self.lives();
        let (since, short) = *lives;
        lives.1 = if since.elapsed() < SHORT_LIFE { short.saturating_add(1) } else { 0 };
        let doublings = lives.1.checked_sub(2)?;
        Some(BACKOFF.0.saturating_mul(1 << doublings.min(10)).min(BACKOFF.1))
    }

    fn lives(&self) -> MutexGuard<'_, (Instant, u32)> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of connections that are closed and whose drivers have not noticed yet.
    fn sweep(self: &Arc<Self>) {
        let lanes = self.lanes.iter().filter_map(|slot| slot.load_full());
        for lane in lanes.filter(|lane| lane.is_closed()) {
            self.ended(&lane, true);
        }
    }

    fn widen(self: &Arc<Self>, index: usize) {
        if self.widening.swap(true, Ordering::SeqCst) {
            return;
        }
        let (endpoint, retired) = (Arc::downgrade(self), self.retired());
        task::spawn("peer-widen", async move {
            let widen = async {
                let Some(endpoint) = endpoint.upgrade() else { return };
                match endpoint.connector.connect().await {
                    Ok((lane, driver)) => {
                        endpoint.connects.fetch_add(1, Ordering::Relaxed);
                        endpoint.put(index, lane, driver);
                    }
                    Err(_) => tokio::time::sleep(WIDEN_PAUSE).await,
                }
                endpoint.widening.store(false, Ordering::SeqCst);
            };
            tokio::select! {
                () = retired.cancelled() => {}
                () = widen => {}
            }
        });
    }

    fn note(&self, error: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn failed(&self, error: &io::Error) {
        tracing::debug!(endpoint = self.name, error = %error, "cannot connect");
        self.failed_connects.fetch_add(1, Ordering::Relaxed);
        self.note(error.to_string());
        self.set(Phase::Away);
        if let Some(balance) = self.balance.upgrade() {
            // It may have moved.
            balance.nudge.notify_one();
        }
    }
}

/// Dials until it is connected or nobody wants it any more.
async fn dial(endpoint: Weak<Endpoint>, first_pause: Option<Duration>) {
    let mut pause = first_pause.unwrap_or(BACKOFF.0);
    let hurry = endpoint.upgrade().and_then(|dialled| dialled.balance.upgrade());
    let Some(hurry) = hurry.map(|balance| balance.hurry.clone()) else { return };
    // Until it is time, or no other endpoint is left.
    let rest = async |pause| {
        tokio::select! {
            () = tokio::time::sleep(scattered(pause)) => {}
            () = hurry.notified() => {}
        }
    };
    if first_pause.is_some() {
        rest(pause).await;
    }
    loop {
        let Some(dialled) = endpoint.upgrade() else { return };
        match dialled.connector.connect().await {
            Ok((lane, driver)) => return dialled.opened(lane, driver).await,
            Err(error) => dialled.failed(&error),
        }
        drop(dialled);
        rest(pause).await;
        pause = (pause * 2).min(BACKOFF.1);
        let Some(dialled) = endpoint.upgrade() else { return };
        if !dialled.in_use() {
            return dialled.set(Phase::Idle);
        }
    }
}

/// Somewhere between half and the whole, so that those who lost the same peer do not return together.
fn scattered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

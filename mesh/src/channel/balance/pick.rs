//! The choice itself: pure looks at what endpoints say at one moment.

use std::sync::Arc;

use tokio::time::Instant;

use crate::channel::{
    breaker::Admission,
    connection::{Lane, attempt::Permit},
    endpoint::{Endpoint, Phase},
};

/// How many endpoints are connected at once when none is open yet.
const DIALED_AT_ONCE: usize = 3;

/// What a look found.
pub(super) enum Pick {
    Found(Picked),
    /// Nothing is open, something is being connected.
    Coming,
    /// Nothing is open, and nothing will be in a moment.
    Nothing,
}

/// An endpoint for one call.
pub(super) struct Picked {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) lane: Arc<Lane>,
    /// None if there was no choice.
    pub(super) permit: Option<Permit>,
}

/// The only endpoint there is.
pub(super) fn only(endpoint: &Arc<Endpoint>) -> Pick {
    if endpoint.is_open()
        && let Some(lane) = endpoint.lane()
    {
        return Pick::Found(Picked { endpoint: endpoint.clone(), lane, permit: None });
    }
    endpoint.wake();
    if endpoint.is_coming() { Pick::Coming } else { Pick::Nothing }
}

/// One of several endpoints.
pub(super) fn one_of(
    endpoints: &[Arc<Endpoint>],
    class: usize,
    streams: bool,
    now: Instant,
) -> Pick {
    let found = |endpoint: &Arc<Endpoint>, probe: bool| {
        let lane = endpoint.lane()?;
        if probe && !endpoint.breakers.claim(class, now) {
            return None;
        }
        let permit = Some(Permit { class, probe, streams });
        Some(Pick::Found(Picked { endpoint: endpoint.clone(), lane, permit }))
    };
    let two = two_of(endpoints);
    // Which nobody has dialled yet is dialled for the calls to come.
    two.into_iter().for_each(Endpoint::wake);
    let choice = match two {
        [a, b] => match (offer(a, class, now), offer(b, class, now)) {
            // A probe is worth a call: without one an endpoint would never come back.
            (Some(true), _) => Some((a, true)),
            (_, Some(true)) => Some((b, true)),
            (Some(false), Some(false)) => {
                let a_is_worse = a.load.cost(now).compare(b.load.cost(now)).is_gt();
                Some((if a_is_worse { b } else { a }, false))
            }
            (Some(false), None) => Some((a, false)),
            (None, Some(false)) => Some((b, false)),
            (None, None) => None,
        },
    };
    if let Some(pick) = choice.and_then(|(endpoint, probe)| found(endpoint, probe)) {
        return pick;
    }
    // Neither of the two: look at all of them, first with the breakers and then without.
    for asked in [true, false] {
        let offered = endpoints.iter().filter_map(|endpoint| {
            let probe = asked && offer(endpoint, class, now)?;
            endpoint.is_open().then_some((endpoint, probe))
        });
        let best = offered
            .map(|(endpoint, probe)| (endpoint.load.cost(now), endpoint, probe))
            .min_by(|(a, ..), (b, ..)| a.compare(*b));
        if let Some(pick) = best.and_then(|(_, endpoint, probe)| found(endpoint, probe)) {
            return pick;
        }
    }
    wake_some(endpoints);
    match endpoints.iter().any(|endpoint| endpoint.is_coming()) {
        true => Pick::Coming,
        false => Pick::Nothing,
    }
}

/// Two different endpoints, at random.
fn two_of(endpoints: &[Arc<Endpoint>]) -> [&Arc<Endpoint>; 2] {
    let first = fastrand::usize(..endpoints.len());
    let second = fastrand::usize(..endpoints.len() - 1);
    let second = if second >= first { second + 1 } else { second };
    [&endpoints[first], &endpoints[second]]
}

/// Whether an endpoint may be given a call, and if so whether as a probe.
fn offer(endpoint: &Arc<Endpoint>, class: usize, now: Instant) -> Option<bool> {
    if !endpoint.is_open() {
        return None;
    }
    match endpoint.breakers.admission(class, now) {
        Admission::Yes => Some(false),
        Admission::Probe => Some(true),
        Admission::No => None,
    }
}

/// Dials a few of the endpoints that were not dialled yet, beginning anywhere, so that many clients of
/// many replicas do not all begin with the same.
fn wake_some(endpoints: &[Arc<Endpoint>]) {
    let dialling = endpoints.iter().filter(|endpoint| endpoint.phase() == Phase::Dialing).count();
    let (before, after) = endpoints.split_at(fastrand::usize(..endpoints.len()));
    let idle = after.iter().chain(before).filter(|endpoint| endpoint.phase() == Phase::Idle);
    idle.take(DIALED_AT_ONCE.saturating_sub(dialling)).for_each(Endpoint::wake);
}

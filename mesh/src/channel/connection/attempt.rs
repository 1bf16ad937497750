//! One call on one endpoint, from its first byte to its last: what load and breaker learn from it.
//!
//! What counts as a failure of the endpoint: UNKNOWN, INTERNAL, UNAVAILABLE and DATA_LOSS, wherever the
//! status stands, and a connection that breaks. RESOURCE_EXHAUSTED says that the endpoint is well and
//! busy: it weighs on the load, but leaving the endpoint out would only move the load on. A deadline
//! that passed counts if the endpoint had a fair time to answer, because any caller may set one that
//! nobody can keep. All other codes are the caller's doing.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::Instant;
use tonic::Code;

use super::Lane;
use crate::channel::{breaker::Verdict, endpoint::Endpoint};

/// How long an endpoint may take before a passed deadline is its own fault.
const FAIR_TIME: Duration = Duration::from_secs(1);
/// How a peer asks to be left alone for so many milliseconds.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// What a pick decided about a call.
#[derive(Debug, Clone, Copy)]
pub(in crate::channel) struct Permit {
    /// The class of the method.
    pub(in crate::channel) class: usize,
    /// Whether it is the probe of an open breaker.
    pub(in crate::channel) probe: bool,
    /// Whether its answers are, or may be, a stream.
    pub(in crate::channel) streams: bool,
}

/// See the module. One that is dropped before its end was given up by the caller.
pub(in crate::channel) struct Attempt {
    endpoint: Arc<Endpoint>,
    lane: Arc<Lane>,
    started: Instant,
    deadline: Option<Instant>,
    /// None when the endpoint is the only one, so that nothing can be learned.
    permit: Option<Permit>,
    /// Whether it still counts as under way for the load.
    pending: bool,
    /// Whether breaker and load know how it ended.
    ended: bool,
}

/// What a code says about an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Well,
    Busy,
    Broken,
    /// The deadline passed.
    Late,
}

impl Attempt {
    pub(in crate::channel) fn begin(
        endpoint: &Arc<Endpoint>,
        lane: &Arc<Lane>,
        permit: Option<Permit>,
        deadline: Option<Instant>,
    ) -> Self {
        lane.busy.fetch_add(1, Ordering::Relaxed);
        endpoint.load.begin();
        Self {
            endpoint: endpoint.clone(),
            lane: lane.clone(),
            started: Instant::now(),
            deadline,
            permit,
            pending: true,
            ended: false,
        }
    }

    /// A part of the answer arrived. What comes after the first message of a stream depends on the
    /// handler, so there its round trip ends.
    pub(super) fn message(&mut self) {
        let Some(permit) = self.permit.filter(|permit| permit.streams && self.pending) else {
            return;
        };
        self.no_longer_pending();
        let now = Instant::now();
        self.endpoint.load.succeeded(now, now - self.started);
        if permit.probe {
            // A stream may last for ever, and a probe must not.
            self.endpoint.report(permit, Verdict::Success, now);
            self.permit = Some(Permit { probe: false, ..permit });
        }
    }

    /// The answer ended with this code; the headers it stood in may ask for a pause.
    pub(super) fn ended(&mut self, code: Code, headers: Option<&HeaderMap>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let first = self.pending;
        self.no_longer_pending();
        let Some(permit) = self.permit else { return };
        let now = Instant::now();
        let took = now - self.started;
        let says = match says(code) {
            Says::Late if took >= FAIR_TIME => Says::Broken,
            Says::Late => Says::Well,
            says @ (Says::Well | Says::Busy | Says::Broken) => says,
        };
        let verdict = match says {
            Says::Broken => Verdict::Failure,
            Says::Well | Says::Late => Verdict::Success,
            // Neither good nor bad; a probe that met it found the endpoint alive.
            Says::Busy if permit.probe => Verdict::Success,
            Says::Busy => Verdict::Nothing,
        };
        match says {
            Says::Broken | Says::Busy => {
                self.endpoint.load.failed(now, took, headers.and_then(pushback));
            }
            Says::Well | Says::Late if first => self.endpoint.load.succeeded(now, took),
            Says::Well | Says::Late => {}
        }
        self.endpoint.report(permit, verdict, now);
    }

    /// The request did not reach the endpoint: nothing is learned.
    pub(super) fn nothing(&mut self) {
        if !std::mem::replace(&mut self.ended, true)
            && let Some(permit) = self.permit
        {
            self.endpoint.report(permit, Verdict::Nothing, Instant::now());
        }
    }

    fn no_longer_pending(&mut self) {
        if std::mem::replace(&mut self.pending, false) {
            self.endpoint.load.end();
        }
    }

    /// The caller went away, or its deadline passed.
    fn given_up(&self, permit: Permit) {
        let now = Instant::now();
        let took = now - self.started;
        let late = self.deadline.is_some_and(|deadline| now >= deadline) && took >= FAIR_TIME;
        let verdict = match (late && self.pending, self.pending) {
            (true, _) => Verdict::Failure,
            (false, true) => Verdict::Nothing,
            // A stream that was answering when its reader had enough.
            (false, false) => Verdict::Success,
        };
        if self.pending {
            self.endpoint.load.given_up(now, took);
        }
        self.endpoint.report(permit, verdict, now);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended
            && let Some(permit) = self.permit
        {
            self.given_up(permit);
        }
        self.no_longer_pending();
        self.lane.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn says(code: Code) -> Says {
    match code {
        Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss => Says::Broken,
        Code::ResourceExhausted => Says::Busy,
        Code::DeadlineExceeded => Says::Late,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Says::Well,
    }
}

/// How long a peer asks to be left alone. One that asks for no retry at all (a negative or unreadable
/// number) speaks to the retries, not to the load.
fn pushback(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(PUSHBACK)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_millis)
}

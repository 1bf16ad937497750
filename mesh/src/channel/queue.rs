//! The queue before a target: calls wait here, few and not for long, while it is not ready or while too
//! many calls are under way.
//!
//! Whoever may not wait is refused at once, so that an overload costs those who are refused a moment
//! and the process no memory. When waiting for readiness was in vain, the queue fails fast: until the
//! target is ready again nobody waits. A place is held until the last frame of the answer, because a
//! stream that has sent its headers is still work. It does not order calls by importance, and it knows
//! nothing of endpoints: whether any is ready is what the layer below says.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use lightning_proto::mesh::v1::ErrorReason;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::Status;

use super::{Body, deadline, figures::QueueFigures, limits::Limit, unreachable};
use crate::{body::grpc_answer, fault::Fault};

/// `[mesh.channel.queue]`: how calls wait for a peer. The limits count per process and peer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Calls under way at once, streams included; the next ones wait.
    pub max_in_flight: usize,
    /// Calls that may wait; the next ones are refused.
    pub max_pending: usize,
    /// How long a call waits until it is refused. Short enough that a caller of the edge hears of a service
    /// that is away within 100 ms, and longer than it takes to connect anew.
    #[serde(with = "crate::config::duration")]
    pub failfast: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { max_in_flight: 10_000, max_pending: 1_024, failfast: Duration::from_millis(80) }
    }
}

/// In the extensions of an answer: the queue refused the call, so asking it again at once is no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shed {
    /// There are more calls than the target can take.
    Overload,
    /// The target is not ready, as far as this process sees it.
    NotReady,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Queue<S> {
    inner: S,
    state: Arc<State>,
}

struct State {
    peer: String,
    ready: watch::Receiver<bool>,
    /// Why it is not, if somebody knows.
    reason: Option<Reason>,
    /// Whether waiting for readiness was in vain the last time.
    failfast: AtomicBool,
    limit: Arc<Limit>,
    config: QueueConfig,
    figures: QueueFigures,
}

/// Why a call does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Full,
    Busy,
    NotReady,
}

/// Counts a call as waiting until it is dropped.
struct Place<'a>(&'a State);

impl<S> Queue<S> {
    pub(super) fn new(
        inner: S,
        peer: &str,
        ready: watch::Receiver<bool>,
        limit: Arc<Limit>,
        config: &QueueConfig,
        figures: QueueFigures,
    ) -> Self {
        let state = State {
            peer: peer.to_owned(),
            ready,
            reason: None,
            failfast: AtomicBool::new(false),
            limit,
            config: config.clone(),
            figures,
        };
        Self { inner, state: Arc::new(state) }
    }

    /// Tells those who are refused why the target is not ready. Before the first clone.
    #[must_use]
    pub(super) fn because(mut self, reason: Reason) -> Self {
        if let Some(state) = Arc::get_mut(&mut self.state) {
            state.reason = Some(reason);
        }
        self
    }
}

/// Tells why a target is not ready.
pub(super) type Reason = Box<dyn Fn() -> Option<String> + Send + Sync>;

impl<S> tower::Service<Request<Body>> for Queue<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(permit) = self.state.enter() {
            let call = self.inner.call(request);
            return Box::pin(async move { call.await.map(|answer| hold(answer, permit)) });
        }
        let (mut inner, state) = (self.inner.clone(), self.state.clone());
        Box::pin(async move {
            match state.wait().await {
                Ok(permit) => {
                    // What was spent on waiting is not the peer's to spend.
                    deadline::tell_what_is_left(&mut request);
                    inner.call(request).await.map(|answer| hold(answer, permit))
                }
                Err(refusal) => Ok(state.refuse(refusal)),
            }
        })
    }
}

impl State {
    /// A place for a call that needs not wait for it.
    fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if !*self.ready.borrow() {
            return None;
        }
        if self.failfast.load(Ordering::Relaxed) {
            self.failfast.store(false, Ordering::Relaxed);
        }
        self.limit.in_flight.clone().try_acquire_owned().ok()
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if self.failfast.load(Ordering::Relaxed) && !*self.ready.borrow() {
            return Err(Refusal::NotReady);
        }
        let _place = Place::take(self).ok_or(Refusal::Full)?;
        let entered = tokio::time::timeout(self.config.failfast, async {
            // An error means that nobody is left who could say it is ready.
            self.ready.clone().wait_for(|ready| *ready).await.ok()?;
            self.limit.in_flight.clone().acquire_owned().await.ok()
        });
        match entered.await {
            Ok(Some(permit)) => {
                self.failfast.store(false, Ordering::Relaxed);
                Ok(permit)
            }
            Err(_) if *self.ready.borrow() => Err(Refusal::Busy),
            Ok(None) | Err(_) => {
                self.failfast.store(true, Ordering::Relaxed);
                Err(Refusal::NotReady)
            }
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        let peer = &self.peer;
        let (counter, shed, mut answer) = match refusal {
            Refusal::Full => {
                let answer = self.exhausted("too many calls wait for it already");
                (&self.figures.full, Shed::Overload, answer)
            }
            Refusal::Busy => {
                let answer = self.exhausted("none of the calls under way ended in time");
                (&self.figures.busy, Shed::Overload, answer)
            }
            Refusal::NotReady => {
                let reason = self.reason.as_ref().and_then(|reason| reason());
                let answer = match reason {
                    Some(reason) => {
                        unreachable(peer, &format!("none of its endpoints is ready ({reason})"))
                    }
                    None => unreachable(peer, "none of its endpoints is ready"),
                };
                (&self.figures.not_ready, Shed::NotReady, answer)
            }
        };
        counter.inc();
        tracing::debug!(peer, reason = ?refusal, "call shed");
        answer.extensions_mut().insert(shed);
        answer
    }

    fn exhausted(&self, why: &str) -> Response<Body> {
        let fault = Fault::exhausted(ErrorReason::LimitExceeded)
            .message(format!("the service {} is overloaded: {why}", self.peer))
            .with("service", &self.peer)
            .retry_after(Duration::from_secs(1));
        grpc_answer(fault).map(Body::new)
    }
}

impl<'a> Place<'a> {
    fn take(state: &'a State) -> Option<Self> {
        let one_more = |waiting: usize| (waiting < state.config.max_pending).then_some(waiting + 1);
        let waiting = &state.limit.waiting;
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        state.figures.waiting.inc();
        Some(Self(state))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.limit.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.figures.waiting.dec();
    }
}

/// Keeps the place of a call until its answer is complete.
fn hold(answer: Response<Body>, permit: OwnedSemaphorePermit) -> Response<Body> {
    if answer.body().is_end_stream() {
        return answer;
    }
    answer.map(|inner| Body::new(Held { inner, permit: Some(permit) }))
}

struct Held {
    inner: Body,
    permit: Option<OwnedSemaphorePermit>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) if frame.is_data() => {}
            Some(Ok(_) | Err(_)) | None => self.permit = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;

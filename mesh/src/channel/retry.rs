//! Retries after gRPC's A6: a call that failed for a passing reason is made again, within bounds.
//!
//! What may be repeated stands in the contract (`idempotency_level`). Repeated is UNAVAILABLE, and
//! RESOURCE_EXHAUSTED when the peer itself names a time (`grpc-retry-pushback-ms`): a limit without one
//! is not helped by more calls, and `RetryInfo` is advice for whoever called first. Beyond A6, the
//! answer of a unary method is read to its end before any of it goes on, as far as a bound allows,
//! because most servers tell a failure in the trailers; streams are never held back. Each channel
//! repeats within the budget of its target, and of a chain of hops only the innermost repeats (`hop`).
//!
//! A request that never left this process is sent again whatever the method, twice at most; waiting
//! until the peer is ready is for the queue below. It does not hedge: nothing is sent twice while an answer may come.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, Uri, request::Parts};
use tokio::time::Instant;
use tonic::Code;

use self::{answer::Answer, replay::Replay};
use super::{
    Body,
    deadline::{CallBounds, tell_what_is_left},
    figures::RetryFigures,
    hop::{self, ATTEMPTS, Pushback},
    limits::Limit,
    outcome::NotSent,
    queue::Shed,
};
use crate::{
    contract::{self, Method},
    identity::Caller,
};

mod answer;
mod config;
mod replay;

pub use config::RetryConfig;

/// How often a request that never left is sent again.
const TRANSPARENT: u32 = 2;
/// gRPC allows no more attempts, whatever is configured.
const MOST_ATTEMPTS: u32 = 5;
/// A peer that wants a longer pause than this is not asked again.
const LONGEST_PUSHBACK: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone)]
pub(super) struct Retry<S> {
    inner: S,
    policy: Arc<Policy>,
}

struct Policy {
    peer: String,
    config: RetryConfig,
    limit: Arc<Limit>,
    figures: RetryFigures,
}

/// What is kept of a request to make it again.
struct Template {
    method: http::Method,
    uri: Uri,
    headers: HeaderMap,
    caller: Option<Arc<Caller>>,
    bounds: Option<CallBounds>,
    /// Of a method that is not of the contract.
    mounted: Option<Method>,
}

/// How far one call has come.
struct Course {
    /// Whether its method may be repeated at all.
    repeatable: bool,
    /// Whether its answer is one message, so that it can be held back.
    unary: bool,
    /// Attempts that hops before us made.
    previous: u32,
    /// Whether it was a service of the mesh that called us.
    from_mesh: bool,
    deadline: Option<Instant>,
    /// Attempts that count, made here.
    attempts: u32,
    transparent: u32,
    /// Retries since the peer last named a pause, for the backoff.
    step: u32,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Give it to the caller.
    Done,
    /// Give it to the caller, and tell that repeating is no use.
    GiveUp,
    /// Wait and call again.
    Again(Duration),
    /// Send the same attempt again.
    Resend,
}

impl<S> Retry<S> {
    pub(super) fn new(
        inner: S,
        peer: &str,
        limit: Arc<Limit>,
        config: &RetryConfig,
        figures: RetryFigures,
    ) -> Self {
        let policy = Policy { peer: peer.to_owned(), config: config.clone(), limit, figures };
        Self { inner, policy: Arc::new(policy) }
    }
}

impl<S> tower::Service<Request<Body>> for Retry<S>
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(run(self.inner.clone(), self.policy.clone(), request))
    }
}

async fn run<S>(
    mut inner: S,
    policy: Arc<Policy>,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let method = contract::method_of(&request);
    let (mut parts, body) = request.into_parts();
    let mut course = Course::of(method, &parts);
    match course.previous {
        0 => policy.limit.budget.called(),
        // What somebody outside claims to repeat must not use up the retries of others.
        _ if course.from_mesh => policy.limit.budget.repeated(),
        _ => {}
    }
    let one_message = method.is_some_and(|method| !method.client_streaming);
    let limit = policy.config.buffer_bytes;
    let mut body = Replay::new(body, if one_message { limit } else { 0 }).await;
    // Whatever is not a count stays here: servers of other makes fail over it.
    parts.headers.remove(ATTEMPTS);
    let template = Template::of(&mut parts);
    if course.previous > 0 {
        // A handler's call repeats what its caller repeats, though it is another request.
        parts.headers.insert(ATTEMPTS, course.previous.into());
    }
    let mut request = Request::from_parts(parts, body.next());
    let mut unsent = None;
    loop {
        let holds_back = course.repeatable && course.unary && body.is_whole();
        let answered = inner.call(request).await?;
        let mut answer = Answer::read(answered, if holds_back { limit } else { 0 }).await;
        match course.judge(&policy, &answer, &body) {
            Verdict::Done => {
                let told = match (answer.extensions().get::<NotSent>(), unsent) {
                    // Why it could not be sent at first says more than why nobody tried again.
                    (Some(_), Some(first)) => first,
                    (_, _) => answer,
                };
                return Ok(told.into_response());
            }
            Verdict::GiveUp => {
                hop::stop(answer.status_mut());
                return Ok(answer.into_response());
            }
            Verdict::Again(pause) => {
                drop(answer);
                tokio::time::sleep(pause).await;
            }
            Verdict::Resend => unsent = unsent.or(Some(answer)),
        }
        request = template.attempt(&course, body.next());
    }
}

impl Course {
    fn of(method: Option<Method>, parts: &Parts) -> Self {
        let caller = parts.extensions.get::<Caller>();
        let bounds = parts.extensions.get::<CallBounds>();
        Self {
            repeatable: method.is_some_and(|method| method.idempotent),
            unary: method.is_some_and(|method| !method.server_streaming),
            previous: hop::previous_attempts(&parts.headers)
                .max(caller.map_or(0, Caller::attempts)),
            from_mesh: caller.is_some_and(|caller| caller.via.is_some()),
            deadline: bounds.and_then(|bounds| bounds.0.deadline),
            attempts: 1,
            transparent: 0,
            step: 0,
        }
    }

    /// Decides about an answer, and counts.
    fn judge(&mut self, policy: &Policy, answer: &Answer, body: &Replay) -> Verdict {
        let (budget, figures) = (&policy.limit.budget, &policy.figures);
        match answer.extensions().get::<Shed>() {
            Some(Shed::Overload) => return Verdict::GiveUp,
            // Another replica of the hop before may see the target; it costs the target nothing.
            Some(Shed::NotReady) => return Verdict::Done,
            None => {}
        }
        if answer.extensions().get::<NotSent>().is_some() {
            if self.transparent == TRANSPARENT || !body.can_go_again() {
                return Verdict::Done;
            }
            self.transparent += 1;
            figures.transparent.inc();
            return Verdict::Resend;
        }
        let pushback = answer.status().map_or(Pushback::Silent, Pushback::of);
        let code = answer.code();
        let passing = match (code, pushback) {
            (Some(Code::Unavailable), _) => true,
            (Some(Code::ResourceExhausted), Pushback::Wait(_)) => true,
            (_, _) => false,
        };
        if self.attempts > 1 {
            let outcome = if passing { &figures.failed } else { &figures.answered };
            outcome.inc();
        }
        if !passing {
            // Nothing to take heart from is what is not known, and trouble of another kind.
            let trouble = [Code::ResourceExhausted, Code::DeadlineExceeded];
            if code.is_some_and(|code| !trouble.contains(&code)) {
                budget.answered();
            }
            return Verdict::Done;
        }
        // Whoever said so repeated already; those before us are told even if we would not repeat.
        if pushback == Pushback::Stop {
            figures.pushback.inc();
            return Verdict::GiveUp;
        }
        // Of several hops the innermost repeats; where something repeats already, nobody else does.
        if !self.repeatable || !body.is_whole() || self.previous > 0 {
            return Verdict::Done;
        }
        self.judge_failure(policy, pushback)
    }

    fn judge_failure(&mut self, policy: &Policy, pushback: Pushback) -> Verdict {
        let figures = &policy.figures;
        if self.attempts >= policy.config.attempts.clamp(1, MOST_ATTEMPTS) {
            figures.attempts.inc();
            return Verdict::GiveUp;
        }
        let pause = match pushback {
            Pushback::Wait(pause) if pause <= LONGEST_PUSHBACK => {
                self.step = 0;
                pause
            }
            Pushback::Wait(_) | Pushback::Stop => {
                figures.pushback.inc();
                return Verdict::GiveUp;
            }
            Pushback::Silent => policy.config.pause(self.step),
        };
        let in_time = self.deadline.is_none_or(|deadline| Instant::now() + pause < deadline);
        if !in_time {
            figures.deadline.inc();
            return Verdict::Done;
        }
        if !policy.limit.budget.withdraw() {
            figures.budget.inc();
            return Verdict::GiveUp;
        }
        tracing::debug!(peer = policy.peer, attempt = self.attempts, ?pause, "call repeated");
        self.attempts += 1;
        self.step += u32::from(pushback == Pushback::Silent);
        Verdict::Again(pause)
    }
}

impl Template {
    /// Takes what is needed from a request, and shares its caller with it instead of copying it.
    fn of(parts: &mut Parts) -> Self {
        let caller = parts.extensions.remove::<Caller>().map(Arc::new);
        if let Some(caller) = &caller {
            parts.extensions.insert(caller.clone());
        }
        Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            caller,
            bounds: parts.extensions.get::<CallBounds>().copied(),
            mounted: parts.extensions.get::<Method>().copied(),
        }
    }

    fn attempt(&self, course: &Course, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = self.headers.clone();
        let before = course.previous.saturating_add(course.attempts - 1);
        if before > 0 {
            request.headers_mut().insert(ATTEMPTS, before.into());
        }
        if let Some(caller) = &self.caller {
            request.extensions_mut().insert(caller.clone());
        }
        if let Some(bounds) = self.bounds {
            request.extensions_mut().insert(bounds);
        }
        if let Some(mounted) = self.mounted {
            request.extensions_mut().insert(mounted);
        }
        tell_what_is_left(&mut request);
        request
    }
}

#[cfg(test)]
mod tests;

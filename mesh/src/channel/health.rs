//! What an endpoint says of its own health: a `grpc.health.v1` Watch stream beside the calls.
//!
//! An endpoint that says NOT_SERVING gets no further calls from that moment, which is how a replica
//! drains before it closes. One without a health service counts as serving, and is not asked again for
//! a while. The stream begins with the first connection and rests when nobody calls the peer, so that
//! it keeps no idle peer awake. It asks for the whole port (`""`), which every server knows and which
//! in this mesh is the peer's service. It carries no token: health is public.

use std::{
    convert::Infallible,
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use super::{
    Body,
    endpoint::{Endpoint, PATIENCE},
};
use crate::task;

/// Pause before a stream that ended is begun again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a peer without a health service is not asked again.
const ABSENT_PAUSE: Duration = Duration::from_secs(60);

/// What is known of an endpoint's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serving {
    /// It was not heard yet; it counts as serving.
    Unknown,
    Yes,
    No,
    /// It has no health service; it counts as serving.
    Absent,
}

impl Serving {
    /// Forgets what was true of an earlier connection; tells whether there was something.
    pub(super) fn forget(&mut self) -> bool {
        let forgets = matches!(self, Self::Yes | Self::No);
        if forgets {
            *self = Self::Unknown;
        }
        forgets
    }
}

/// Follows the health of an endpoint that has just been connected, if nothing does.
pub(super) fn follow(endpoint: &Arc<Endpoint>) {
    if endpoint.watched.swap(true, Ordering::SeqCst) {
        return;
    }
    let (weak, retired) = (Arc::downgrade(endpoint), endpoint.retired());
    task::spawn("peer-health", async move {
        tokio::select! {
            () = retired.cancelled() => {}
            () = watch(weak.clone()) => {
                if let Some(endpoint) = weak.upgrade() {
                    endpoint.watched.store(false, Ordering::SeqCst);
                }
            }
        }
    });
}

/// Watches until the endpoint has no connection or is not called any more.
async fn watch(endpoint: Weak<Endpoint>) {
    loop {
        match stream(&endpoint).await {
            None => return,
            Some(Heard::Ended) => {
                let Some(connected) = endpoint.upgrade().map(|known| known.connected.clone())
                else {
                    return;
                };
                let _ = tokio::time::timeout(PAUSE, connected.notified()).await;
            }
            Some(Heard::Nothing) => {
                tell(&endpoint, Serving::Absent);
                tokio::time::sleep(ABSENT_PAUSE).await;
            }
        }
    }
}

enum Heard {
    /// There was a stream, and it ended.
    Ended,
    /// There is no such service.
    Nothing,
}

/// Hears one stream to its end; `None` without a connection.
async fn stream(endpoint: &Weak<Endpoint>) -> Option<Heard> {
    let lane = OverLane(endpoint.clone());
    endpoint.upgrade()?.lane()?;
    let request = HealthCheckRequest { service: String::new() };
    let mut answers = match HealthClient::new(lane).watch(request).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return Some(ended(&status)),
    };
    loop {
        match tokio::time::timeout(PATIENCE, answers.message()).await {
            Ok(Ok(Some(answer))) => tell(endpoint, serving(&answer)),
            // Whoever ends the stream in peace stays what it said.
            Ok(Ok(None)) => return Some(Heard::Ended),
            Ok(Err(status)) => return Some(ended(&status)),
            Err(_) if endpoint.upgrade()?.in_use() => {}
            Err(_) => return None,
        }
    }
}

/// A stream that the connection took with it says nothing about the service.
fn ended(status: &Status) -> Heard {
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::ResourceExhausted | Code::DeadlineExceeded => {
            Heard::Ended
        }
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Heard::Nothing,
    }
}

fn serving(answer: &HealthCheckResponse) -> Serving {
    match answer.status() {
        ServingStatus::NotServing => Serving::No,
        ServingStatus::Serving => Serving::Yes,
        // It has a health service that knows nothing of the whole port.
        ServingStatus::Unknown | ServingStatus::ServiceUnknown => Serving::Absent,
    }
}

fn tell(endpoint: &Weak<Endpoint>, news: Serving) {
    let Some(endpoint) = endpoint.upgrade() else { return };
    if endpoint.serving.send_replace(news) != news {
        tracing::debug!(endpoint = endpoint.name, health = ?news, "a peer told its health");
        endpoint.changed();
    }
}

/// The way of the health stream: a connection of the endpoint, without balance or breaker. It holds the
/// endpoint weakly, so that a stream that never ends does not keep it.
struct OverLane(Weak<Endpoint>);

impl tower::Service<Request<Body>> for OverLane {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let endpoint = self.0.upgrade();
        Box::pin(async move {
            let lane = endpoint.as_ref().and_then(Endpoint::lane);
            let (Some(endpoint), Some(lane)) = (endpoint, lane) else {
                return Ok(Status::unavailable("the connection closed").into_http());
            };
            endpoint.connector.address(&mut request);
            drop(endpoint);
            Ok(lane.watch(request).await)
        })
    }
}

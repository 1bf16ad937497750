//! How many calls go to one service at once, and the refusal of more.
//!
//! A service that is asked more than it can do answers everything late and so, to callers with
//! deadlines, nothing. Therefore each service has a limit that follows its latency ([`adaptive`]), and a
//! call beyond it is refused at once instead of being queued. The place is held until the body of the
//! answer ends, not until its head, because a stream is work until its end. Signing in keeps a reserve:
//! without it nobody could be let in to look. (Health checks and figures of the gateway itself never
//! come this way.)

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use lightning_mesh::{contract, fault::Fault};
use lightning_proto::mesh::v1::ErrorReason;
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};

use self::adaptive::{Adaptive, Class, Outcome};
use crate::{config::ConcurrencyConfig, figures::ServiceFigures, notes::Notes};

pub(crate) mod adaptive;

#[cfg(test)]
mod tests;

/// After which time a refused caller may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Whose calls may use the reserve.
const FIRST: [&str; 3] = ["/lightning.auth.v1.", "/grpc.health.v1.", "/lightning.telemetry.v1."];

/// The places at one service. Clones share them.
#[derive(Clone)]
pub(crate) struct Places(Arc<Inner>);

struct Inner {
    word: &'static str,
    adaptive: Mutex<Adaptive>,
    figures: ServiceFigures,
}

/// A service behind its places.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    places: Places,
}

impl Places {
    /// Places at the service of this word.
    pub(crate) fn new(
        word: &'static str,
        config: &ConcurrencyConfig,
        figures: ServiceFigures,
    ) -> Self {
        let adaptive = Adaptive::new(config, Instant::now());
        figures.limit.set(of_usize(adaptive.limit()));
        Self(Arc::new(Inner { word, adaptive: Mutex::new(adaptive), figures }))
    }

    /// Guards a way to the service.
    pub(crate) fn guard<S>(&self, inner: S) -> Guarded<S> {
        Guarded { inner, places: self.clone() }
    }

    /// Takes a place, or says that there is none.
    fn take(&self, path: &str, mounted: Option<&contract::Method>) -> Result<Place, Fault> {
        let method = mounted.or_else(|| contract::method(path));
        let streams =
            method.is_none_or(|method| method.client_streaming || method.server_streaming);
        let first = FIRST.iter().any(|prefix| path.starts_with(prefix));
        let taken = self.with(|adaptive| adaptive.take(path, streams, first));
        let Some(class) = taken else {
            self.0.figures.full.inc();
            return Err(Fault::unavailable(ErrorReason::LimitExceeded)
                .message(format!("the service {} has all it can do; retry later", self.0.word))
                .with("service", self.0.word)
                .retry_after(RETRY_AFTER));
        };
        self.0.figures.under_way.inc();
        Ok(Place { places: self.clone(), class })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Adaptive) -> T) -> T {
        change(&mut self.0.adaptive.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A place that is given back when it is dropped.
struct Place {
    places: Places,
    class: Class,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.with(|adaptive| adaptive.give_back(self.class));
        self.places.0.figures.under_way.dec();
    }
}

impl<S> tower::Service<Request<Body>> for Guarded<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let word = self.places.0.word;
        Notes::in_extensions(request.extensions(), |known| known.upstream = Some(word));
        let path = request.uri().path().to_owned();
        // What is mounted is not of the contract, and brings along what there is to know.
        let mounted = request.extensions().get::<contract::Method>();
        let place = match self.places.take(&path, mounted) {
            Ok(place) => place,
            Err(fault) => {
                let refused = Status::from(fault).into_http::<Body>();
                return Box::pin(std::future::ready(Ok(refused)));
            }
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let started = Instant::now();
            let response = answer.await?;
            let status = response.headers().get("grpc-status");
            let outcome = Outcome::of(status.map(|status| Code::from_bytes(status.as_bytes())));
            let (places, now) = (&place.places, Instant::now());
            let took = now.duration_since(started);
            let limit = places.with(|adaptive| {
                adaptive.learn(&path, place.class, took, outcome, now);
                adaptive.limit()
            });
            places.0.figures.limit.set(of_usize(limit));
            Ok(response.map(|inner| Body::new(Held { inner, place: Some(place) })))
        })
    }
}

/// A body that holds a place until its end.
struct Held {
    inner: Body,
    place: Option<Place>,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.as_ref().is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers)) {
            self.place = None;
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

fn of_usize(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

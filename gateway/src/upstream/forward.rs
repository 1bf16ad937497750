//! The last step to an upstream: what of a request may reach a stranger, and what of an answer may
//! come back.
//!
//! The upstream learns who calls from `x-lightning-caller`, which nobody outside can set; whether it sees
//! the caller's credentials is the channel's to decide. Cookies of an upstream are dropped: they would be
//! set for the whole origin.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use lightning_mesh::identity::Caller;
use tokio::sync::Notify;
use tonic::{Code, body::Body};
use tower::ServiceExt as _;

use super::Wire;

/// Who calls, as the gateway found out.
const CALLER: HeaderName = HeaderName::from_static("x-lightning-caller");
/// Headers of this prefix are the gateway's own.
const OWN: &str = "x-lightning-";

/// Calls an upstream. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Forward {
    wire: Wire,
    /// Told when an answer means that the upstream may have changed.
    doubt: Arc<Notify>,
}

impl Forward {
    pub(crate) fn new(wire: Wire, doubt: Arc<Notify>) -> Self {
        Self { wire, doubt }
    }
}

impl tower::Service<Request<Body>> for Forward {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let caller = request.extensions_mut().remove::<Caller>().unwrap_or_else(Caller::anonymous);
        introduce(request.headers_mut(), &caller);
        request.extensions_mut().insert(caller);
        let call = self.wire.clone().oneshot(request);
        let doubt = self.doubt.clone();
        Box::pin(async move {
            let mut response = call.await?;
            drop_claims(response.headers_mut());
            // Gone, or no longer what it was: look again soon.
            if says(response.headers(), Code::Unavailable)
                || says(response.headers(), Code::Unimplemented)
            {
                doubt.notify_one();
            }
            Ok(response)
        })
    }
}

/// Says who calls, and nothing else in our name.
fn introduce(headers: &mut HeaderMap, caller: &Caller) {
    let own: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(OWN)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
    if let Ok(subject) = HeaderValue::try_from(caller.subject.as_str()) {
        headers.insert(CALLER, subject);
    }
    // gRPC servers of other makes insist on it.
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
}

/// What an upstream may not say in the name of the gateway: cookies, and which sites may read answers.
fn drop_claims(headers: &mut HeaderMap) {
    headers.remove(header::SET_COOKIE);
    let cors = |name: &&HeaderName| name.as_str().starts_with("access-control-");
    let cors: Vec<HeaderName> = headers.keys().filter(cors).cloned().collect();
    for name in cors {
        headers.remove(name);
    }
}

fn says(headers: &HeaderMap, code: Code) -> bool {
    headers.get("grpc-status").is_some_and(|value| Code::from_bytes(value.as_bytes()) == code)
}

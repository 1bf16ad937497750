//! The identity of outgoing calls: a fresh mesh token for the caller in the request's extensions, or
//! for the service itself.
//!
//! Whatever credential the request carried is replaced: a user's token is never passed on, so that no
//! service could use it elsewhere.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{Either, Ready, ready};
use http::{Request, Response, header};
use tonic::body::Body;

use super::Inner;
use crate::{
    body::grpc_answer,
    fault::Fault,
    identity::{Caller, Tokens},
};

/// See the module.
#[derive(Clone)]
pub(super) struct Identity<S> {
    inner: S,
    service: Arc<str>,
    peer: Arc<str>,
    default_caller: Option<Arc<Caller>>,
    tokens: Tokens,
}

impl<S> Identity<S> {
    pub(super) fn new(inner: S, peers: &Inner, peer: &str) -> Self {
        Self {
            inner,
            service: peers.service.as_str().into(),
            peer: peer.into(),
            default_caller: peers.default_caller.clone().map(Arc::new),
            tokens: peers.tokens.clone(),
        }
    }
}

impl<S> tower::Service<Request<Body>> for Identity<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let extensions = request.extensions();
        // Shared by the attempts of a call, see `retry`.
        let shared = extensions.get::<Arc<Caller>>().map(Arc::as_ref);
        let caller = shared.or_else(|| extensions.get::<Caller>());
        let caller = caller.or(self.default_caller.as_deref());
        // A service that acts for itself says so by naming nobody.
        let caller = caller.filter(|caller| !caller.is_service());
        let value = match self.tokens.bearer(&self.service, &self.peer, caller) {
            Ok(value) => value,
            Err(error) => {
                return Either::Right(ready(
                    Ok(grpc_answer(Fault::internal(error)).map(Body::new)),
                ));
            }
        };
        let headers = request.headers_mut();
        headers.remove("x-api-key");
        headers.insert(header::AUTHORIZATION, value);
        Either::Left(self.inner.call(request))
    }
}

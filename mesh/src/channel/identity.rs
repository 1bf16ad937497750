//! The identity of outgoing calls: a fresh mesh token for the caller in the request's extensions, or
//! for the service itself.
//!
//! Whatever credential the request carried is replaced: a user's token is never passed on, so that no
//! service could use it elsewhere. An upstream that is not part of the mesh gets no token of ours, and
//! its callers' credentials only if it is configured to receive them.

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

/// The headers of API keys and of proofs of possession.
const API_KEY: &str = "x-api-key";
const PROOF: &str = "dpop";

/// See the module.
#[derive(Clone)]
pub(super) struct Identity<S> {
    inner: S,
    credentials: Credentials,
}

/// What a peer is shown.
#[derive(Clone)]
pub(super) enum Credentials {
    /// A token of the mesh.
    Mesh(Arc<Minting>),
    /// What the caller showed, or nothing.
    Foreign { pass: bool },
}

/// What a token of the mesh is made from.
pub(super) struct Minting {
    service: String,
    peer: String,
    default_caller: Option<Caller>,
    tokens: Tokens,
}

impl<S> Identity<S> {
    pub(super) fn new(inner: S, credentials: Credentials) -> Self {
        Self { inner, credentials }
    }
}

impl Credentials {
    pub(super) fn mesh(peers: &Inner, peer: &str) -> Self {
        Self::Mesh(Arc::new(Minting {
            service: peers.service.clone(),
            peer: peer.to_owned(),
            default_caller: peers.default_caller.clone(),
            tokens: peers.tokens.clone(),
        }))
    }

    /// Puts the right credentials into a request.
    fn show<B>(&self, request: &mut Request<B>) -> Result<(), Fault> {
        match self {
            Self::Mesh(minting) => minting.show(request),
            Self::Foreign { pass } => {
                // A token of the mesh, by which a service calls, is never for strangers.
                let is_ours = caller_of(request).is_some_and(|caller| caller.via.is_some());
                if *pass && !is_ours {
                    return Ok(());
                }
                let headers = request.headers_mut();
                for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
                    headers.remove(name);
                }
                headers.remove(API_KEY);
                headers.remove(PROOF);
                Ok(())
            }
        }
    }
}

/// Whom a call is made for, if it names anybody.
fn caller_of<B>(request: &Request<B>) -> Option<&Caller> {
    let extensions = request.extensions();
    // Shared by the attempts of a call, see `retry`.
    let shared = extensions.get::<Arc<Caller>>().map(Arc::as_ref);
    shared.or_else(|| extensions.get::<Caller>())
}

impl Minting {
    fn show<B>(&self, request: &mut Request<B>) -> Result<(), Fault> {
        let caller = caller_of(request).or(self.default_caller.as_ref());
        // A service that acts for itself says so by naming nobody, unless it does so for somebody's
        // organisation.
        let for_itself = |caller: &Caller| caller.is_service() && caller.organization_id.is_empty();
        let caller = caller.filter(|caller| !for_itself(caller));
        let bearer = self.tokens.bearer(&self.service, &self.peer, caller);
        let value = bearer.map_err(Fault::internal)?;
        let headers = request.headers_mut();
        headers.remove(API_KEY);
        headers.remove(PROOF);
        headers.insert(header::AUTHORIZATION, value);
        Ok(())
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
        if let Err(fault) = self.credentials.show(&mut request) {
            return Either::Right(ready(Ok(grpc_answer(fault).map(Body::new))));
        }
        Either::Left(self.inner.call(request))
    }
}

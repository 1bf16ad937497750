//! Calling a service that is not of the mesh: the same deadline, trace and connections, and no identity.
//!
//! A token of the mesh must never reach a stranger, so the layer that mints it is not in this stack.
//! What of the caller's own credentials may pass is decided by whoever calls. Calls take turns over the
//! addresses. The certificates of the mesh say who its services are and are no use towards strangers, so
//! only plain addresses are taken.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};

use super::{Body, Peers, Target, connection::Connection, deadline::Deadline, trace::Trace};

/// A way to a service outside of the mesh. Clones are cheap and share connections.
#[derive(Clone)]
pub struct UpstreamChannel(Deadline<Trace<Turns>>);

/// Connections that are used one after the other.
#[derive(Clone)]
struct Turns {
    connections: Arc<Vec<Connection>>,
    next: Arc<AtomicUsize>,
}

/// Whether a text is an address of an upstream: `http://host:port`.
pub fn is_address(text: &str) -> bool {
    plain(text).is_some()
}

fn plain(text: &str) -> Option<Target> {
    Target::address(text).filter(|target| !target.is_secure())
}

impl Peers {
    /// The way to the service of this name at these addresses (`http://host:port`). It bears no identity.
    /// Without a usable address every call is answered with UNAVAILABLE.
    pub fn upstream(&self, name: &str, addresses: &[String]) -> UpstreamChannel {
        let config = &self.0.config;
        let mut targets: Vec<_> = addresses.iter().filter_map(|text| plain(text)).collect();
        if targets.is_empty() {
            targets.push(Target::Nowhere);
        }
        let connect = |target| Connection::new(name, target, None, config);
        let connections = Arc::new(targets.into_iter().map(connect).collect());
        let stack = Turns { connections, next: Arc::default() };
        let stack = Trace::new(stack);
        UpstreamChannel(Deadline::new(stack, config))
    }
}

impl tower::Service<Request<Body>> for UpstreamChannel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        tower::Service::call(&mut self.0, request)
    }
}

impl tower::Service<Request<Body>> for Turns {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        self.connections[turn].clone().call(request)
    }
}

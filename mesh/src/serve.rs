//! Serving: one port per service that speaks gRPC, gRPC-Web, REST and plain HTTP at once.
//!
//! The accept loop is ours, because the usual ones have no cap on connections, no timeout on the first
//! byte and no bound on the drain. What a request meets is in `handler`; what a connection meets is in
//! `connection`; how it all ends is in `accept`.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tower::util::BoxCloneSyncService;

use crate::{body::Body, context::Context, identity::GateError, service::Service, task};

mod accept;
mod connection;
mod figures;
mod grpc;
mod handler;
mod health;
mod mount;
mod reflection;
mod rest;

pub use accept::{Drained, serve_with};
pub(crate) use grpc::GrpcStack;
pub use handler::{Next, metrics_answer};
pub use health::Health;
pub use mount::{Mount, MountTable, MountedMethod, Mounts};
pub use reflection::reflection;
pub use rest::{error_response, plain_error, plain_error_as, rest_options};

/// Answers requests of any kind.
pub type Handler = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

/// `[mesh.serve]`: limits of every listener. Pipes inside the process keep the same ones, except where
/// a field says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// Most connections that are open at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a connection may stay silent before its first byte.
    #[serde(with = "crate::config::duration")]
    pub first_byte_timeout: Duration,
    /// How long reading the head of an HTTP/1 request may take.
    #[serde(with = "crate::config::duration")]
    pub header_timeout: Duration,
    /// How long a connection may be open without a request on it. Not on pipes.
    #[serde(with = "crate::config::duration")]
    pub idle_timeout: Duration,
    /// Most requests at once on an HTTP/2 connection; times four on pipes.
    pub max_streams: u32,
    /// Most bytes in the head of a request.
    pub max_header_bytes: u32,
    /// Most streams that a client may reset before they were looked at, and most that its errors may
    /// make us reset, before the connection is closed (rapid reset, CVE-2023-44487 and CVE-2025-8671).
    /// Times fifty on pipes, where cancelling is normal.
    pub max_reset_streams: usize,
    /// Most bytes of a request body below the plain HTTP routes of a service.
    pub max_body_bytes: usize,
    /// How long a REST or plain HTTP request body may be silent.
    #[serde(with = "crate::config::duration")]
    pub body_timeout: Duration,
    /// How often an HTTP/2 client is pinged, to find out that it is gone.
    #[serde(with = "crate::config::duration")]
    pub keepalive_interval: Duration,
    /// How long a ping may stay unanswered before the connection is closed.
    #[serde(with = "crate::config::duration")]
    pub keepalive_timeout: Duration,
    /// How long requests under way may take to finish after the shutdown was requested.
    #[serde(with = "crate::config::duration")]
    pub drain_timeout: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            first_byte_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            max_streams: 256,
            max_header_bytes: 16 * 1_024,
            max_reset_streams: 20,
            max_body_bytes: 4 * 1_024 * 1_024,
            body_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Where a request came from. In the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the socket; none for a pipe.
    pub addr: Option<SocketAddr>,
    /// Whether it came over a pipe inside the process.
    pub in_process: bool,
}

/// Marks a request that came over TLS. In its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secured;

impl Peer {
    /// Whether the other end is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.addr.is_some_and(|addr| addr.ip().to_canonical().is_loopback())
    }
}

/// Why a service cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, not ours or not one.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The contract does not say who may call.
    #[error("service {service} cannot start")]
    Gate {
        /// Its word.
        service: &'static str,
        /// What is missing.
        #[source]
        source: GateError,
    },
    /// The REST routes of the contract contradict each other.
    #[error("service {service} cannot start: its REST routes are faulty: {faults}")]
    Routes {
        /// Its word.
        service: &'static str,
        /// All faults.
        faults: String,
    },
    /// The prefix of a plain HTTP route is not declared in the contract.
    #[error(
        "service {service} cannot start: no service of its package declares \
             option (lightning.options.v1.http_prefix) = {prefix:?}"
    )]
    UndeclaredPrefix {
        /// Its word.
        service: &'static str,
        /// The prefix.
        prefix: String,
    },
    /// The descriptors cannot be offered for reflection.
    #[error("service {service} cannot start: reflection refuses the descriptors")]
    Reflection {
        /// Its word.
        service: &'static str,
        /// Why.
        #[source]
        source: tonic_reflection::server::Error,
    },
}

/// A bound TCP port.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    local: SocketAddr,
}

impl Listener {
    /// Binds `host:port`; port 0 takes a free one.
    pub async fn bind(address: &str) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Bind { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local })
    }

    /// Takes a socket that is bound already.
    pub fn from_std(listener: std::net::TcpListener) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Bind { address: "a given socket".to_owned(), source };
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local })
    }

    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.listener.accept().await
    }
}

/// Whether a `host:port` can only be reached from this machine. False if it does not resolve.
pub fn is_loopback_address(address: &str) -> bool {
    match address.to_socket_addrs() {
        Ok(found) => {
            let found: Vec<_> = found.collect();
            !found.is_empty() && found.iter().all(|addr| addr.ip().to_canonical().is_loopback())
        }
        Err(_) => false,
    }
}

/// Serves a service on a port and on its pipe until the shutdown, and drains. Tells how the drain went.
pub async fn serve(
    service: Service,
    listener: Listener,
    context: &Context,
) -> Result<Drained, ServeError> {
    let handler = service.into_handler(context)?;
    Ok(serve_with(Some(listener), context.pipe(), handler, context).await)
}

/// Runs the tasks of HTTP connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        task::spawn("http", future);
    }
}

//! Calling another service: the client stack, one layer a line in [`Channel::new`].
//!
//! The code above cannot tell whether a peer is in this process (a pipe) or elsewhere (an address).
//! A channel itself never fails: whatever goes wrong on the way becomes a gRPC answer with a status and
//! details, so that callers have one kind of error to look at.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use lightning_proto::mesh::v1::ErrorReason;
use serde::Deserialize;

use crate::{
    body::grpc_answer,
    fault::Fault,
    identity::{Caller, Tokens},
    tls::Tls,
};

mod balance;
mod breaker;
mod budget;
mod connection;
mod deadline;
mod endpoint;
mod figures;
mod health;
pub(crate) mod hop;
mod http2;
mod identity;
mod limits;
mod load;
mod outcome;
mod pipe;
mod queue;
mod resolve;
mod retry;
#[cfg(test)]
mod script;
mod trace;
mod upstream;

pub use balance::BalanceConfig;
pub use breaker::BreakerConfig;
pub(crate) use figures::Figures;
pub(crate) use limits::Limits;
pub use pipe::PipeListener;
pub(crate) use pipe::Pipes;
pub use queue::QueueConfig;
pub use resolve::Addresses;
pub use retry::RetryConfig;
pub use upstream::{UpstreamError, is_address};

type Body = tonic::body::Body;

/// `[mesh.channel]`: how services call each other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelConfig {
    /// How long a unary call may take when its caller sets no deadline.
    #[serde(with = "crate::config::duration")]
    pub timeout: Duration,
    /// How long a stream without deadline may be silent.
    #[serde(with = "crate::config::duration")]
    pub stream_idle_timeout: Duration,
    /// How long making a connection may take.
    #[serde(with = "crate::config::duration")]
    pub connect_timeout: Duration,
    /// How many connections are held to each remote replica, from 1 to 64.
    pub connections: usize,
    /// How often a connection in use is pinged.
    #[serde(with = "crate::config::duration")]
    pub keepalive_interval: Duration,
    /// How long a ping may stay unanswered before the connection counts as dead.
    #[serde(with = "crate::config::duration")]
    pub keepalive_timeout: Duration,
    /// When failed calls are made again.
    pub retry: RetryConfig,
    /// How calls wait for a peer.
    pub queue: QueueConfig,
    /// How calls are spread over replicas.
    pub balance: BalanceConfig,
    /// When a replica is left out.
    pub breaker: BreakerConfig,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            stream_idle_timeout: Duration::from_secs(600),
            connect_timeout: Duration::from_secs(5),
            connections: 2,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            retry: RetryConfig::default(),
            queue: QueueConfig::default(),
            balance: BalanceConfig::default(),
            breaker: BreakerConfig::default(),
        }
    }
}

/// A way to one service. Clones are cheap and share connections. Give it to a generated client:
/// `InferenceServiceClient::new(peers.channel("models"))`.
#[derive(Clone)]
pub struct Channel(Stack);

type Stack = deadline::Deadline<trace::Trace<Repeating>>;
type Repeating = retry::Retry<queue::Queue<identity::Identity<balance::Balance>>>;

/// The services that can be called from here.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    /// The word of the service that calls.
    service: String,
    /// Whom calls without a caller are made for; the service itself unless a test says otherwise.
    default_caller: Option<Caller>,
    tokens: Tokens,
    pipes: Pipes,
    addresses: Arc<BTreeMap<String, Addresses>>,
    /// Certificates for peers at `https://…`.
    tls: Option<Tls>,
    limits: Limits,
    figures: Figures,
    config: ChannelConfig,
    channels: Mutex<HashMap<String, Channel>>,
}

impl Channel {
    fn new(
        peers: &Inner,
        peer: &str,
        target: balance::Target,
        credentials: identity::Credentials,
        config: &ChannelConfig,
    ) -> Self {
        let (tls, resolver) = (peers.tls.as_ref(), Arc::new(resolve::System));
        // From the bottom up: each line wraps the one before it, so a request runs from the last line
        // to the first.
        let figures = &peers.figures.endpoints;
        let stack = balance::Balance::new(peer, target, tls, config, resolver, figures);
        let (ready, reason) = (stack.readiness(), stack.reason());
        // The token is minted last, so that a wait above it cannot let it grow old.
        let stack = identity::Identity::new(stack, credentials);
        // A call waits here while nobody could take it, each attempt for itself.
        let limit = peers.limits.of(peer, config);
        let figures = peers.figures.queue(peer);
        let stack = queue::Queue::new(stack, peer, ready, limit.clone(), &config.queue, figures);
        let stack = stack.because(reason);
        let figures = peers.figures.retries(peer);
        // Attempts are one call to what stands above, and calls of their own to what stands below.
        let stack = retry::Retry::new(stack, peer, limit, &config.retry, figures);
        // The trace is told outside of identity: what fails below belongs to it.
        let stack = trace::Trace::new(stack);
        // The deadline bounds everything, including the wait for a connection.
        let stack = deadline::Deadline::new(stack, config);
        Self(stack)
    }
}

impl tower::Service<Request<Body>> for Channel {
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

impl Peers {
    pub(crate) fn new(
        service: &str,
        tokens: Tokens,
        pipes: Pipes,
        addresses: Arc<BTreeMap<String, Addresses>>,
        tls: Option<Tls>,
        config: ChannelConfig,
        (limits, figures): (Limits, Figures),
    ) -> Self {
        Self(Arc::new(Inner {
            service: service.to_owned(),
            default_caller: None,
            tokens,
            pipes,
            addresses,
            tls,
            limits,
            figures,
            config,
            channels: Mutex::default(),
        }))
    }

    /// The same peers, where calls that name no caller are made for this one.
    pub(crate) fn acting_as(&self, caller: Caller) -> Self {
        Self(Arc::new(Inner {
            service: self.0.service.clone(),
            default_caller: Some(caller),
            tokens: self.0.tokens.clone(),
            pipes: self.0.pipes.clone(),
            addresses: self.0.addresses.clone(),
            tls: self.0.tls.clone(),
            limits: self.0.limits.clone(),
            figures: self.0.figures.clone(),
            config: self.0.config.clone(),
            channels: Mutex::default(),
        }))
    }

    /// The way to a service, by its word. A configured address wins over the pipe inside the process;
    /// a peer that is neither configured nor served here answers every call with UNAVAILABLE.
    pub fn channel(&self, peer: &str) -> Channel {
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(peer) {
            return channel.clone();
        }
        let target = match self.0.addresses.get(peer) {
            // Malformed addresses keep the node from starting.
            Some(addresses) => balance::Target::Addresses(addresses.parsed()),
            None => self.0.pipes.get(peer).map_or(balance::Target::Nowhere, balance::Target::Pipe),
        };
        let credentials = identity::Credentials::mesh(&self.0, peer);
        let channel = Channel::new(&self.0, peer, target, credentials, &self.0.config);
        channels.insert(peer.to_owned(), channel.clone());
        channel
    }

    /// The peers that can be reached: configured or served in this process.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.0.addresses.keys().cloned().chain(self.0.pipes.names()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The answer for a peer that cannot be reached: nothing was sent.
fn unreachable(peer: &str, message: &str) -> Response<Body> {
    let fault = Fault::unavailable(ErrorReason::PeerUnavailable)
        .message(format!("the service {peer} cannot be reached: {message}"))
        .with("service", peer)
        .retry_after(Duration::from_secs(1));
    let mut answer = grpc_answer(fault).map(Body::new);
    answer.extensions_mut().insert(outcome::NotSent);
    answer
}

#[cfg(test)]
mod tests;

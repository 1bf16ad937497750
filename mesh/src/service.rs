//! What a service crate hands over to be served: its gRPC services, its plain HTTP routes, and what it
//! wants to tell about itself. How all that is served on one port is the business of `serve`.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use tokio::sync::watch;
use tonic::{body::Body, server::NamedService};
use tower::util::BoxCloneSyncService;

use crate::{
    channel::Channel,
    policy::{Policy, Wrap},
    serve::Mounts,
};

/// A gRPC service of any kind.
pub(crate) type Grpc = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;
/// Named figures, read when somebody asks.
pub type Figures = Arc<dyn Fn() -> Vec<(String, f64)> + Send + Sync>;

/// One service of the mesh, ready to be served.
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) grpc: Vec<(&'static str, Grpc)>,
    pub(crate) http: Vec<(String, axum::Router)>,
    pub(crate) health: Option<watch::Receiver<bool>>,
    pub(crate) figures: Vec<Figures>,
    /// Set by the edge alone: it passes on what belongs to others.
    pub(crate) edge: Option<Edge>,
    pub(crate) policy: Option<Arc<dyn Policy>>,
    pub(crate) wrap: Option<Arc<dyn Wrap>>,
    /// What comes and goes while the port is served.
    pub(crate) mounts: Option<Mounts>,
}

/// What only the edge of the mesh does.
pub(crate) struct Edge {
    /// Whose figures `GET /api/v1/metrics` shows.
    pub(crate) rest_metrics: Channel,
}

impl Service {
    /// A service by its word (`agents`), with nothing in it yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            grpc: Vec::new(),
            http: Vec::new(),
            health: None,
            figures: Vec::new(),
            edge: None,
            policy: None,
            wrap: None,
            mounts: None,
        }
    }

    /// Adds a gRPC service of the contract. Its REST routes, permissions and reflection follow from the
    /// contract.
    #[must_use]
    pub fn grpc<S>(self, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.grpc_named(S::NAME, service)
    }

    /// Adds a gRPC service under a name of the contract, for what is not generated code: the gateway
    /// forwards to other services this way. Whoever adds `lightning.telemetry.v1.MetricsService` gets no
    /// figures of its own beside it.
    #[must_use]
    pub fn grpc_named<S>(mut self, name: &'static str, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.grpc.push((name, BoxCloneSyncService::new(service)));
        self
    }

    /// Adds plain HTTP below a path prefix that the contract declares for this service. The router sees
    /// the whole path. It checks callers itself, through the [`Gate`](crate::identity::Gate) in the
    /// request's extensions (as `Arc<Gate>`).
    #[must_use]
    pub fn http(mut self, prefix: impl Into<String>, router: axum::Router) -> Self {
        self.http.push((prefix.into(), router));
        self
    }

    /// Serves only while the receiver says true; without it, always.
    #[must_use]
    pub fn health(mut self, ready: watch::Receiver<bool>) -> Self {
        self.health = Some(ready);
        self
    }

    /// Adds figures of the service's own trade to `GET /api/v1/metrics`, such as `executions_running`.
    #[must_use]
    pub fn figures(mut self, figures: Figures) -> Self {
        self.figures.push(figures);
        self
    }

    /// Makes this service the edge of the mesh: it may serve the plain HTTP prefixes of others and its
    /// own documents, and `GET /api/v1/metrics` shows the figures of the service behind `metrics`, as
    /// the documentation has it. Over gRPC it answers with its own.
    #[must_use]
    pub fn edge(mut self, metrics: Channel) -> Self {
        self.edge = Some(Edge { rest_metrics: metrics });
        self
    }

    /// Asks this policy about every call, once its caller is known.
    #[must_use]
    pub fn policy(mut self, policy: Arc<dyn Policy>) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Puts this around every request but probes and scrapes.
    #[must_use]
    pub fn wrap(mut self, wrap: Arc<dyn Wrap>) -> Self {
        self.wrap = Some(wrap);
        self
    }

    /// Serves gRPC services from outside of the contract beside its own, as they come and go: over gRPC
    /// and gRPC-Web by their names, over REST by their routes, and in reflection. They pass the same
    /// gate, which asks for the permission that their mount names.
    #[must_use]
    pub fn mounts(mut self, mounts: Mounts) -> Self {
        self.mounts = Some(mounts);
        self
    }

    /// The word of the service.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

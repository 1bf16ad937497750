//! Mounts: gRPC services from outside of the contract that a port serves as long as they are there.
//!
//! What is mounted is one table, swapped as a whole, so that a request sees the services of before or
//! of after and never half of each. A request that has begun keeps the [`Mount`] it was admitted to.
//! The table believes whoever publishes it that no path and no service has two owners; finding that
//! out, and knowing where the descriptors come from, is the gateway's business.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
};

use http::{Method, Request, Response};
use lightning_transcode::{Found, Routes};
use tonic::body::Body;
use tower::{Service, util::BoxCloneSyncService};

use crate::{contract, identity::Permission, service::Grpc};

/// The services of one upstream, ready to be called.
pub struct Mount {
    name: String,
    services: Vec<String>,
    methods: HashMap<String, MountedMethod>,
    routes: Routes,
    files: Vec<u8>,
    service: Grpc,
}

/// What a port must know of a method that it did not know when it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountedMethod {
    /// What its callers need.
    pub permission: Permission,
    /// How it may be called. In the extensions of each call that reaches the upstream.
    pub facts: contract::Method,
}

/// Everything that is mounted at one time.
#[derive(Default)]
pub struct MountTable {
    mounts: Vec<Arc<Mount>>,
    by_method: HashMap<String, Arc<Mount>>,
}

/// The table of a port. Clones are cheap and see the same.
#[derive(Clone, Default)]
pub struct Mounts(Arc<RwLock<Arc<MountTable>>>);

// === impl Mount ===

impl Mount {
    /// The services with these full names, whose `methods` are named by their paths
    /// (`/package.Service/Method`), whose routes and encoded `FileDescriptorSet` belong to them, and
    /// whose calls `service` answers.
    pub fn new<S>(
        name: impl Into<String>,
        services: Vec<String>,
        methods: HashMap<String, MountedMethod>,
        routes: Routes,
        files: Vec<u8>,
        service: S,
    ) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let service = BoxCloneSyncService::new(service);
        Self { name: name.into(), services, methods, routes, files, service }
    }

    /// The name of the upstream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The full names of its services.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// Its methods by their paths.
    pub fn methods(&self) -> &HashMap<String, MountedMethod> {
        &self.methods
    }

    /// Its REST routes.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Its descriptors, as an encoded `FileDescriptorSet`.
    pub(super) fn files(&self) -> &[u8] {
        &self.files
    }

    /// What callers of a method need; `None` if it is not one of these.
    pub fn permission(&self, path: &str) -> Option<&Permission> {
        self.methods.get(path).map(|method| &method.permission)
    }

    /// Answers a call that the gate admitted.
    pub(super) async fn call(&self, mut request: Request<Body>) -> Response<Body> {
        if let Some(method) = self.methods.get(request.uri().path()) {
            request.extensions_mut().insert(method.facts);
        }
        let answered = self.service.clone().call(request).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

// === impl MountTable ===

impl MountTable {
    /// Everything that is mounted.
    pub fn mounts(&self) -> &[Arc<Mount>] {
        &self.mounts
    }

    /// Who has the method of this path.
    pub fn of_method(&self, path: &str) -> Option<&Arc<Mount>> {
        self.by_method.get(path)
    }

    /// Who has a route with this path, whatever its HTTP method; the mount itself then says that
    /// another method is meant.
    pub fn of_path(&self, method: &Method, path: &str) -> Option<&Arc<Mount>> {
        self.mounts.iter().find(|mount| match mount.routes.find(method, path) {
            Found::Match { .. } | Found::MethodNotAllowed { .. } => true,
            Found::NotFound | Found::BadPath { .. } => false,
        })
    }
}

// === impl Mounts ===

impl Mounts {
    /// What is mounted now.
    pub fn current(&self) -> Arc<MountTable> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other mounts in place of all that there were. Calls under way go on.
    pub fn publish(&self, mounts: Vec<Arc<Mount>>) {
        let methods = |mount: &Arc<Mount>| {
            let mount = mount.clone();
            let paths: Vec<_> = mount.methods.keys().cloned().collect();
            paths.into_iter().map(move |path| (path, mount.clone()))
        };
        let by_method = mounts.iter().flat_map(methods).collect();
        let table = Arc::new(MountTable { mounts, by_method });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = table;
    }
}

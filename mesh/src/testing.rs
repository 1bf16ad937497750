//! For the tests of services: a whole mesh in one process, on pipes and free ports.
//!
//! Callers are whoever the test says; there is no auth service, and the ports are in open mode, so that
//! a plain HTTP client is the local admin. A test that wants real tokens starts the auth service in it.

use std::{path::PathBuf, time::Duration};

use lightning_proto::auth::v1::AccessState;

use crate::{
    channel::Channel,
    clock::Clock,
    context::{Context, MeshConfig, Node, NodeConfig},
    identity::Caller,
    serve::{Drained, Listener, ServeError},
    service::Service,
    shutdown::{Shutdown, Trigger},
    task,
};

/// A mesh for one test.
pub struct Harness {
    node: Node,
    trigger: Trigger,
    data_dir: PathBuf,
    served: Vec<(&'static str, String)>,
    tasks: Vec<tokio::task::JoinHandle<Drained>>,
}

/// How a harness is made.
pub struct Builder {
    services: Vec<&'static str>,
    clock: Clock,
    mesh: MeshConfig,
    access: Option<AccessState>,
}

impl Harness {
    /// A mesh in which the named services will be served, in open mode.
    pub fn new(services: &[&'static str]) -> Self {
        Self::builder(services).start()
    }

    /// The same with a clock, limits or an access state of one's own.
    pub fn builder(services: &[&'static str]) -> Builder {
        let mut mesh = MeshConfig::default();
        mesh.serve.drain_timeout = Duration::from_secs(2);
        let open = AccessState { revision: 1, open: true, ..AccessState::default() };
        Builder { services: services.to_vec(), clock: Clock::system(), mesh, access: Some(open) }
    }

    /// What to pass to a service's `open`.
    pub fn context(&self, service: &'static str) -> Context {
        self.node.context(service)
    }

    /// Serves a service on its pipe and on a free port of loopback.
    pub async fn serve(&mut self, service: Service, context: &Context) -> Result<(), ServeError> {
        let listener = Listener::bind("127.0.0.1:0").await?;
        self.served.push((service.name(), listener.local_addr().to_string()));
        let handler = service.into_handler(context)?;
        let (context, pipe) = (context.clone(), context.pipe());
        self.tasks.push(task::spawn("harness", async move {
            crate::serve::serve_with(Some(listener), pipe, handler, &context).await
        }));
        Ok(())
    }

    /// The way to a service, as the local admin.
    pub fn channel(&self, service: &str) -> Channel {
        self.channel_as(service, Caller::local())
    }

    /// The way to a service, as somebody else.
    pub fn channel_as(&self, service: &str, caller: Caller) -> Channel {
        self.node.context("testing").peers().acting_as(caller).channel(service)
    }

    /// `http://127.0.0.1:port` of a service that was served.
    pub fn rest(&self, service: &str) -> String {
        let served = self.served.iter().find(|(name, _)| *name == service);
        format!("http://{}", served.expect("the service was served before").1)
    }

    /// Asks everything to stop and waits for it; tells how each drain went.
    pub async fn stop(mut self) -> Vec<Drained> {
        self.trigger.request();
        let mut drained = Vec::new();
        for task in std::mem::take(&mut self.tasks) {
            drained.push(task.await.expect("serving does not panic"));
        }
        drained
    }
}

impl Builder {
    /// Uses another clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Changes limits and peers.
    #[must_use]
    pub fn mesh(mut self, change: impl FnOnce(&mut MeshConfig)) -> Self {
        change(&mut self.mesh);
        self
    }

    /// Believes another access state; `None` follows the auth service of the mesh.
    #[must_use]
    pub fn access(mut self, access: Option<AccessState>) -> Self {
        self.access = access;
        self
    }

    /// Starts the mesh. Inside a runtime.
    pub fn start(self) -> Harness {
        let (trigger, shutdown) = Shutdown::new();
        let data_dir = std::env::temp_dir().join(format!("lightning-{}", crate::id::generate()));
        std::fs::create_dir_all(&data_dir).expect("the temporary directory is writable");
        let config = NodeConfig {
            data_dir: data_dir.clone(),
            mesh: self.mesh,
            services: self.services,
            loopback: true,
        };
        let node = Node::start_with(config, self.clock, shutdown, self.access);
        let node = node.expect("the key file, if there is one, and the access state are usable");
        Harness { node, trigger, data_dir, served: Vec::new(), tasks: Vec::new() }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.trigger.request();
        // What cannot be removed is in the temporary directory anyway.
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

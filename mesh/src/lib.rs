//! The plumbing: serving, calling, identity, telemetry, configuration.
//!
//! Everything that services have in common and that knows no domain. The way to read it is to follow a
//! request: `serve` accepts it, `identity` finds out who is calling, a handler answers it or a `fault`
//! does, and `channel` takes what the handler asks of others. It builds no balancer or breaker yet, and
//! it stores nothing.
//!
//! How a process is put together:
//!
//! ```ignore
//! let (trigger, shutdown) = Shutdown::new();
//! let node = Node::start(NodeConfig { data_dir, mesh, services: vec!["agents"], loopback }, Clock::system(), shutdown)?;
//! let context = node.context("agents");
//! let service = lightning_agents::open(config, &store, context.clone()).await?;
//! let listener = Listener::bind("127.0.0.1:8001").await?;
//! let drained = serve(service, listener, &context).await?; // until trigger.request()
//! ```

pub mod audit;
pub mod authorization;
pub mod body;
pub mod channel;
pub mod clock;
pub mod config;
pub mod context;
pub mod contract;
pub mod etag;
pub mod fault;
pub mod filter;
pub mod id;
pub mod idempotency;
pub mod identity;
pub mod json;
pub mod mask;
pub mod page;
pub mod policy;
pub mod schema;
pub mod serve;
pub mod service;
pub mod shutdown;
pub mod task;
pub mod telemetry;
pub mod testing;
mod timeout;
pub mod tls;

pub use context::{Context, MeshConfig, Node, NodeConfig};
pub use service::Service;

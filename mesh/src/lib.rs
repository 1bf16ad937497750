//! The plumbing: serving, calling, identity, telemetry, configuration.
//!
//! Everything that services have in common and that knows no domain. The way to read it is to follow a
//! request: `serve` accepts it, `identity` finds out who is calling, a handler answers it or a `fault`
//! does, and `channel` takes what the handler asks of others. It builds no balancer, breaker or retry
//! yet, and it stores nothing.

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
pub mod identity;
pub mod json;
pub mod mask;
pub mod page;
pub mod serve;
pub mod service;
pub mod shutdown;
pub mod task;
pub mod telemetry;
pub mod testing;
mod timeout;

pub use context::{Context, MeshConfig, Node, NodeConfig};
pub use service::Service;

//! The contract as Rust: message types, clients, servers and descriptors, generated from `proto/`.
//!
//! Everything here comes from build.rs except three things by hand: the module tree, the descriptor
//! pool that routers and permission tables read, and [`Reason`], which gives the error reasons of the
//! contract their wire form. No behaviour belongs here.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

mod reason;

pub use reason::Reason;

/// The encoded `FileDescriptorSet` of the whole contract, imports and custom options included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS).expect("build.rs wrote a valid descriptor set")
});

/// Returns the descriptors of the whole contract, decoded once.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

macro_rules! packages {
    ($($(#[$doc:meta])* $service:ident),* $(,)?) => {
        // Generated code names other packages by `super`, so the module tree must be the package tree.
        #[expect(clippy::allow_attributes, clippy::large_enum_variant, reason = "generated code")]
        mod lightning {$(
            $(#[$doc])*
            pub mod $service {
                /// Version 1.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/lightning.", stringify!($service), ".v1.rs"));
                }
            }
        )*}

        pub use lightning::{$($service),*};
    };
}

packages! {
    /// Agents, templates, versions, deployments.
    agents,
    /// Users, sessions, tokens, API keys.
    auth,
    /// The legacy HTTP surface.
    enhanced,
    /// What the edge does with a request.
    gateway,
    /// Connectors, integrations, webhooks.
    integrations,
    /// Reasons that all services share.
    mesh,
    /// Models, inference, costs.
    models,
    /// Health and figures of the whole mesh.
    monitoring,
    /// Figures of one service.
    telemetry,
    /// Definitions and executions.
    workflows,
}

/// Google's types that the contract uses.
pub mod google {
    /// `google.api`: HTTP bindings and raw bodies.
    pub mod api {
        include!(concat!(env!("OUT_DIR"), "/google.api.rs"));
    }
    /// `google.rpc`: the error model.
    pub mod rpc {
        include!(concat!(env!("OUT_DIR"), "/google.rpc.rs"));
    }
}

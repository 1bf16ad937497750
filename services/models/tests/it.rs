//! The models service over real gRPC and REST, with a real HTTP server as the upstream provider.

#[path = "it/rig.rs"]
mod rig;
#[path = "it/upstream.rs"]
mod upstream;

#[path = "it/costs.rs"]
mod costs;
#[path = "it/inferences.rs"]
mod inferences;
#[path = "it/open_ai.rs"]
mod open_ai;
#[path = "it/organizations.rs"]
mod organizations;
#[path = "it/providers.rs"]
mod providers;
#[path = "it/registry.rs"]
mod registry;

//! Which service of the mesh owns which gRPC service of the contract.
//!
//! A call that arrives here has passed the gate already: who calls is in its extensions, and the
//! channel carries that on as a token of the mesh. Messages are not decoded: bodies stream through.

use prost_reflect::{DescriptorPool, ServiceDescriptor, Value};

/// The gRPC services of the contract with the words of the services that serve them. Left out are
/// those that every port has of its own, and those that are internal through and through: nobody
/// outside may call them.
pub(crate) fn owners(pool: &'static DescriptorPool) -> Vec<(&'static str, &'static str)> {
    let services = lightning_mesh::contract::services();
    let known = |name: &str| pool.get_service_by_name(name);
    services
        .filter(|(name, _)| known(name).is_some_and(|service| !is_internal(&service)))
        .filter(|(_, word)| *word != "telemetry")
        .collect()
}

fn is_internal(service: &ServiceDescriptor) -> bool {
    let pool = service.parent_pool();
    let option = pool.get_extension_by_name("lightning.options.v1.permission");
    option.is_some_and(|option| {
        service.methods().all(|method| {
            let options = method.options();
            Value::as_str(&options.get_extension(&option)) == Some("internal")
        })
    })
}

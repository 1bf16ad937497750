//! What the contract says of a service beyond its methods, read from the descriptors.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{MethodDescriptor, Value};

/// What the contract says of a method that its callers must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Whether calling it twice is the same as calling it once, so that it may be retried
    /// (`idempotency_level` is `NO_SIDE_EFFECTS` or `IDEMPOTENT`).
    pub idempotent: bool,
    /// Whether it changes nothing (`NO_SIDE_EFFECTS`).
    pub safe: bool,
    /// Whether its requests are a stream.
    pub client_streaming: bool,
    /// Whether its answers are a stream.
    pub server_streaming: bool,
}

/// A method of the contract by its path, `/lightning.agents.v1.AgentService/GetAgent`. Also those of
/// gRPC's own health service and reflection, if their descriptors are part of the pool.
pub fn method(path: &str) -> Option<&'static Method> {
    static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
        let services = lightning_proto::pool().services();
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let entry = |method: MethodDescriptor| {
            let service = method.parent_service().full_name().to_owned();
            (format!("/{service}/{}", method.name()), Method::of(&method))
        };
        methods.map(entry).collect()
    });
    METHODS.get(path)
}

/// What is known of the method that a request calls: what whoever mounted it left in the extensions, or
/// else what the contract says.
pub fn method_of<B>(request: &http::Request<B>) -> Option<Method> {
    let mounted = request.extensions().get::<Method>().copied();
    mounted.or_else(|| method(request.uri().path()).copied())
}

impl Method {
    /// What a descriptor says.
    pub fn of(method: &MethodDescriptor) -> Self {
        use prost_types::method_options::IdempotencyLevel;

        let proto = method.method_descriptor_proto();
        let options = proto.options.as_ref();
        let level = options.map_or(IdempotencyLevel::IdempotencyUnknown, |o| o.idempotency_level());
        Self {
            idempotent: level != IdempotencyLevel::IdempotencyUnknown,
            safe: level == IdempotencyLevel::NoSideEffects,
            client_streaming: method.is_client_streaming(),
            server_streaming: method.is_server_streaming(),
        }
    }
}

/// The path prefixes below which a service speaks plain HTTP, as the services of its package declare
/// them with `option (lightning.options.v1.http_prefix)`.
pub fn http_prefixes(service: &str) -> Vec<String> {
    let package = format!("lightning.{service}.");
    let pool = lightning_proto::pool();
    let Some(extension) = pool.get_extension_by_name("lightning.options.v1.http_prefix") else {
        return Vec::new();
    };
    let services = pool.services().filter(|known| known.full_name().starts_with(&package));
    services
        .flat_map(|known| {
            let options = known.options();
            let value = options.get_extension(&extension);
            let list = value.as_list().unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// The full names of the gRPC services of a package: `lightning.agents.v1.AgentService`, …
pub fn grpc_services(service: &str) -> Vec<&'static str> {
    services().filter(|(_, word)| *word == service).map(|(name, _)| name).collect()
}

/// The gRPC services of the contract, each with the word of the service that serves it:
/// `("lightning.agents.v1.AgentService", "agents")`.
pub fn services() -> impl Iterator<Item = (&'static str, &'static str)> {
    static NAMES: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
        lightning_proto::pool().services().map(|known| known.full_name().to_owned()).collect()
    });
    NAMES.iter().filter_map(|name| {
        let word = name.strip_prefix("lightning.")?.split('.').next()?;
        Some((name.as_str(), word))
    })
}

/// Every permission that a method of the contract names, `agents.write` for one.
pub fn permissions() -> std::collections::BTreeSet<String> {
    let pool = lightning_proto::pool();
    let Some(option) = pool.get_extension_by_name("lightning.options.v1.permission") else {
        return std::collections::BTreeSet::new();
    };
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let named = |method: MethodDescriptor| {
        let options = method.options();
        Some(options.get_extension(&option).as_str()?.to_owned())
    };
    let permissions = methods.filter_map(named);
    permissions.filter(|name| !["", "public", "internal"].contains(&name.as_str())).collect()
}

/// All declared prefixes of plain HTTP, each with the word of the service that serves it.
pub fn declared_prefixes() -> Vec<(String, &'static str)> {
    let mut words: Vec<_> = services().map(|(_, word)| word).collect();
    words.sort_unstable();
    words.dedup();
    let of = |word| http_prefixes(word).into_iter().map(move |prefix| (prefix, word));
    words.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_say_how_they_may_be_called() {
        let get = method("/lightning.agents.v1.AgentService/GetAgent").unwrap();
        assert!(get.idempotent && get.safe && !get.server_streaming);
        let create = method("/lightning.agents.v1.AgentService/CreateAgent").unwrap();
        assert!(!create.safe);
        assert_eq!(method("/lightning.agents.v1.AgentService/Nothing"), None);
    }
}

//! What the contract says of a service beyond its methods, read from the descriptors.

use prost_reflect::Value;

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

/// All declared prefixes of plain HTTP, each with the word of the service that serves it.
pub fn declared_prefixes() -> Vec<(String, &'static str)> {
    let mut words: Vec<_> = services().map(|(_, word)| word).collect();
    words.sort_unstable();
    words.dedup();
    let of = |word| http_prefixes(word).into_iter().map(move |prefix| (prefix, word));
    words.into_iter().flat_map(of).collect()
}

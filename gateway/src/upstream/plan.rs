//! From descriptors to what can be mounted: pool, routes, and who may call which method.
//!
//! All or nothing: one faulty rule, one service that is missing, and nothing of the upstream is
//! mounted, since half an API is harder to reason about than none. The descriptors are a stranger's, so
//! this runs beside the runtime's threads, its size is bounded, and a panic in it is one more fault.

use std::collections::HashMap;

use lightning_mesh::{contract, identity::Permission, serve::MountedMethod, serve::rest_options};
use lightning_transcode::{Routes, RoutesBuilder};
use prost_reflect::{DescriptorPool, MethodDescriptor};

use super::reflect::Found;
use crate::{config::Upstream, error::Error};

#[cfg(test)]
mod tests;

/// Most methods, and most routes, of an upstream.
const MAX_METHODS: usize = 1_024;
/// The option by which a method names its permission.
const PERMISSION: &str = "lightning.options.v1.permission";
/// What a pool needs for REST, in the order of imports.
const HTTP_FILES: [&str; 3] =
    ["google/protobuf/descriptor.proto", "google/api/http.proto", "google/api/annotations.proto"];

/// What an upstream offers, ready to be mounted.
pub(crate) struct Plan {
    /// The full names of its services, sorted.
    pub(crate) services: Vec<String>,
    /// Its methods by their paths.
    pub(crate) methods: HashMap<String, MountedMethod>,
    /// Its REST routes.
    pub(crate) routes: Routes,
    /// Its files as an encoded `FileDescriptorSet`.
    pub(crate) files: Vec<u8>,
    /// What is allowed and still worth a line in the log.
    pub(crate) warnings: Vec<String>,
}

/// Makes the plan on a thread where it may take its time.
pub(crate) async fn make(upstream: &Upstream, found: &Found) -> Result<Plan, Error> {
    let (upstream, found) = (upstream.clone(), found.clone());
    let made = tokio::task::spawn_blocking(move || plan(&upstream, &found)).await;
    made.unwrap_or_else(|_| {
        Err(Error::Descriptors("its descriptors cannot be understood".to_owned()))
    })
}

fn plan(upstream: &Upstream, found: &Found) -> Result<Plan, Error> {
    let files = file_set(found);
    let pool = pool(&files)?;
    let mut builder = RoutesBuilder::new(pool.clone(), rest_options());
    let mut methods = HashMap::new();
    let mut warnings = Vec::new();
    for name in &found.services {
        let missing = || Error::Descriptors(format!("its files do not hold the service {name}"));
        let service = pool.get_service_by_name(name).ok_or_else(missing)?;
        for method in service.methods() {
            // They become a path, a label and a line in the log.
            if !is_name(name) || !is_name(method.name()) {
                let fault = format!("{name:?}/{:?} is not the name of a method", method.name());
                return Err(Error::Descriptors(fault));
            }
            let path = format!("/{name}/{}", method.name());
            let permission = permission(upstream, &method, &mut warnings);
            let facts = contract::Method::of(&method);
            methods.insert(path, MountedMethod { permission, facts });
        }
        if methods.len() > MAX_METHODS {
            return Err(Error::Descriptors(format!("it has more than {MAX_METHODS} methods")));
        }
        builder.add_service(name);
    }
    let faulty = |faults: lightning_transcode::RouteErrors| {
        let shown: String = faults.to_string().chars().take(2_000).collect();
        Error::Descriptors(shown)
    };
    let routes = builder.build().map_err(faulty)?;
    if routes.iter().count() > MAX_METHODS {
        return Err(Error::Descriptors(format!("it has more than {MAX_METHODS} routes")));
    }
    warnings.extend(routes.warnings().iter().cloned());
    Ok(Plan { services: found.services.clone(), methods, routes, files, warnings })
}

fn is_name(text: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'_' || it == b'.';
    (1..=500).contains(&text.len()) && text.bytes().all(plain)
}

/// The wire form of a `FileDescriptorSet`: field 1, repeated. Made from bytes, because decoding the
/// files would lose the options that matter here.
fn file_set(found: &Found) -> Vec<u8> {
    let mut set = Vec::new();
    for file in found.files.values() {
        prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut set);
        prost::encoding::encode_varint(file.len() as u64, &mut set);
        set.extend_from_slice(file);
    }
    set
}

fn pool(files: &[u8]) -> Result<DescriptorPool, Error> {
    let faulty = |error: prost_reflect::DescriptorError| {
        let shown: String = error.to_string().chars().take(1_000).collect();
        Error::Descriptors(format!("its descriptors contradict each other: {shown}"))
    };
    let mut pool = DescriptorPool::decode(files).map_err(faulty)?;
    // Without annotations there are no routes; the extension must be there to say so.
    if pool.get_extension_by_name("google.api.http").is_none() {
        for name in HTTP_FILES {
            let file = lightning_proto::pool().get_file_by_name(name);
            let file = file.expect("the contract imports Google's annotations").encode_to_vec();
            pool.decode_file_descriptor_proto(file.as_slice()).map_err(faulty)?;
        }
    }
    Ok(pool)
}

/// What callers of a method need. An upstream may ask for a permission of its choice; opening itself to
/// everyone takes the consent of whoever configured it.
fn permission(
    upstream: &Upstream,
    method: &MethodDescriptor,
    warnings: &mut Vec<String>,
) -> Permission {
    let default = || match upstream.public {
        true => Permission::Public,
        false => Permission::Named(upstream.default_permission()),
    };
    let extension = method.parent_pool().get_extension_by_name(PERMISSION);
    let options = method.options();
    let value = extension.map(|extension| options.get_extension(&extension).into_owned());
    match value.as_ref().and_then(prost_reflect::Value::as_str) {
        None | Some("") => default(),
        Some("internal") => Permission::Internal,
        Some("public") if upstream.public => Permission::Public,
        Some("public") => {
            warnings.push(format!(
                "{} calls itself public; without public = true in the configuration callers need {}",
                method.full_name(),
                upstream.default_permission()
            ));
            default()
        }
        Some(named) => Permission::Named(named.chars().take(100).collect()),
    }
}

//! gRPC reflection, v1 and v1alpha (old grpcurl speaks only the latter), over the encoded descriptors,
//! so that custom options survive. It lists what the port offers and nothing else.
//!
//! Where services come and go ([`Mounts`]), the two are made anew when the first call after a change
//! needs them. Files are known by their names, as reflection has it: of two mounts whose files have the
//! same name but differ, the first one's are shown.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Request, Response};
use tonic::body::Body;
use tonic_reflection::server::{Builder, Error};
use tower::{ServiceExt as _, service_fn, util::BoxCloneSyncService};

use super::{MountTable, Mounts};
use crate::{body::grpc_answer, fault::Fault, service::Grpc, service::Service};

const V1: &str = "grpc.reflection.v1.ServerReflection";
const V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// Adds both reflection services to a service, listing `names`, the built-in ones and what is mounted.
pub fn reflection(service: Service, names: &[&'static str]) -> Result<Service, Error> {
    let table = MountTable::default();
    // Faulty descriptors of the contract are found at the start.
    let pair = Pair::build(names, &table)?;
    let Some(mounts) = service.mounts.clone() else {
        return Ok(service.grpc_named(V1, pair.v1).grpc_named(V1ALPHA, pair.v1alpha));
    };
    let names = names.to_vec();
    let shared = Arc::new(Shared { names, mounts, made: Mutex::new((Arc::new(table), pair)) });
    let (v1, v1alpha) = (shared.clone(), shared);
    let v1 = service_fn(move |request| answer(v1.clone(), |pair| pair.v1, request));
    let v1alpha = service_fn(move |request| answer(v1alpha.clone(), |pair| pair.v1alpha, request));
    Ok(service.grpc_named(V1, v1).grpc_named(V1ALPHA, v1alpha))
}

/// Both versions of the service.
#[derive(Clone)]
struct Pair {
    v1: Grpc,
    v1alpha: Grpc,
}

/// What was made last, and for which table.
struct Shared {
    names: Vec<&'static str>,
    mounts: Mounts,
    made: Mutex<(Arc<MountTable>, Pair)>,
}

impl Pair {
    fn build(names: &[&'static str], table: &MountTable) -> Result<Self, Error> {
        let builder = || {
            let own = names.iter().copied().chain(["grpc.health.v1.Health", V1, V1ALPHA]);
            let services = table.mounts().iter().flat_map(|mount| mount.services());
            let builder = Builder::configure()
                .register_encoded_file_descriptor_set(lightning_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(
                    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
                )
                .include_reflection_service(false);
            let builder = table.mounts().iter().fold(builder, |builder, mount| {
                builder.register_encoded_file_descriptor_set(mount.files())
            });
            own.chain(services.map(String::as_str))
                .fold(builder, |builder, name| builder.with_service_name(name))
        };
        Ok(Self {
            v1: BoxCloneSyncService::new(builder().build_v1()?),
            v1alpha: BoxCloneSyncService::new(builder().build_v1alpha()?),
        })
    }
}

impl Shared {
    fn current(&self) -> Result<Pair, Error> {
        let table = self.mounts.current();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&made.0, &table) {
            let pair = Pair::build(&self.names, &table)?;
            *made = (table, pair);
        }
        Ok(made.1.clone())
    }
}

async fn answer(
    shared: Arc<Shared>,
    version: fn(Pair) -> Grpc,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible> {
    match shared.current() {
        Ok(pair) => version(pair).oneshot(request).await,
        Err(error) => Ok(grpc_answer(Fault::internal(error)).map(Body::new)),
    }
}

//! gRPC reflection, v1 and v1alpha (old grpcurl speaks only the latter), over the encoded descriptors,
//! so that custom options survive. It lists what the port offers and nothing else.

use tonic_reflection::server::{Builder, Error};

use crate::service::Service;

const V1: &str = "grpc.reflection.v1.ServerReflection";
const V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// Adds both reflection services to a service, listing `names` and the built-in ones.
pub fn reflection(service: Service, names: &[&'static str]) -> Result<Service, Error> {
    let builder = || {
        names.iter().chain(&["grpc.health.v1.Health", V1, V1ALPHA]).fold(
            Builder::configure()
                .register_encoded_file_descriptor_set(lightning_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(
                    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
                )
                .include_reflection_service(false),
            |builder, name| builder.with_service_name(*name),
        )
    };
    Ok(service.grpc(builder().build_v1()?).grpc(builder().build_v1alpha()?))
}

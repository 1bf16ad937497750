//! REST: the transcoder over the same gRPC stack, with the gate asked before the body is read.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use lightning_transcode::{Admit, Options, Routes, RoutesBuilder, Transcoder};

use super::{GrpcStack, Mount, ServeError};
use crate::{body::Body, fault::Fault, identity::Gate};

/// The transcoder's options for our contract.
pub fn rest_options() -> Options {
    Options {
        success_status: Some("lightning.options.v1.success_status".to_owned()),
        ..Options::default()
    }
}

/// The routes of the named services, and the transcoder that serves them.
pub(super) fn transcoder<'a>(
    service: &'static str,
    names: impl IntoIterator<Item = &'a str>,
    gate: Arc<Gate>,
    stack: GrpcStack,
) -> Result<(Routes, Transcoder<GrpcStack>), ServeError> {
    let mut builder = RoutesBuilder::new(lightning_proto::pool().clone(), rest_options());
    for name in names {
        builder.add_service(name);
    }
    let routes = builder
        .build()
        .map_err(|faults| ServeError::Routes { service, faults: faults.to_string() })?;
    let transcoder = Transcoder::new(routes.clone(), stack).with_admit(gate);
    Ok((routes, transcoder))
}

/// The same for the routes of a mount.
pub(super) fn mounted(mount: &Mount, gate: Arc<Gate>, stack: GrpcStack) -> Transcoder<GrpcStack> {
    Transcoder::new(mount.routes().clone(), stack).with_admit(gate)
}

/// A fault in the one JSON shape of errors.
pub fn error_response(fault: Fault, routes: &Routes) -> Response<Body> {
    lightning_transcode::error_response(&status(fault), routes)
}

/// The same for plain HTTP routes, which have no descriptors at hand.
pub fn plain_error(fault: Fault) -> Response<Body> {
    lightning_transcode::bare_error_response(&status(fault))
}

/// The same with an HTTP status that no gRPC code stands for, such as 413.
pub fn plain_error_as(fault: Fault, http: StatusCode) -> Response<Body> {
    lightning_transcode::bare_error_response_as(&status(fault), http)
}

impl Admit for Gate {
    fn admit<'a>(
        &'a self,
        grpc_path: &'a str,
        parts: &'a mut Parts,
    ) -> Pin<Box<dyn Future<Output = Result<(), lightning_transcode::Status>> + Send + 'a>> {
        Box::pin(async move { Self::admit(self, grpc_path, parts).await.map_err(status) })
    }
}

fn status(fault: Fault) -> lightning_transcode::Status {
    let status = tonic::Status::from(fault);
    lightning_transcode::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Bytes::copy_from_slice(status.details()),
    }
}

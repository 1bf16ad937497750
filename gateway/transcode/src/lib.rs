//! REST on one side, gRPC on the other, and nothing in between but the descriptors.
//!
//! Every route is a `google.api.http` annotation of a method. [`RoutesBuilder`] reads the annotations
//! of a descriptor pool at start and refuses whatever could surprise later; [`Transcoder`] then turns
//! an HTTP/JSON request into a gRPC request for the service it wraps, and the answer back into JSON,
//! bytes or a stream of events. So an endpoint exists as REST, gRPC and client method from one
//! definition, and there is no handler per endpoint anywhere.
//!
//! The crate knows no service, no domain, no configuration and no CORS. It does not enforce
//! deadlines (it passes them on), it does not authenticate (see [`Admit`]), it does not decompress
//! bodies, and it does not bind client-streaming methods.

mod bind;
mod codec;
mod direct;
mod frames;
mod headers;
mod json;
mod options;
mod pattern;
mod routes;
mod service;
mod status;
mod stream;
mod suggest;
mod tables;
mod template;
mod wire;

pub use codec::{Codec, CodecError};
pub use direct::DirectCodec;
pub use json::{JsonError, Style as JsonStyle, enum_word};
pub use options::Options;
pub use pattern::Pattern;
pub use routes::{BodyRule, Found, Route, RouteErrors, Routes, RoutesBuilder};
pub use service::{Admit, GrpcStatus, MatchedRoute, Transcoder};
pub use status::{Status, bare_error_response, bare_error_response_as, error_response};

/// Any error, as the bodies of both sides carry it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every request and response that this crate makes.
pub type Body = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BoxError>;

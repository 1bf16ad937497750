//! The services of the contract: decode, call, encode.

use std::sync::Arc;

use lightning_mesh::{channel::Peers, clock::Clock, shutdown::Shutdown};
use tonic::{Response, metadata::MetadataValue};

use crate::logic::Auth;

mod access;
mod accounts;
mod api_keys;
mod audit;
mod auth;
mod clients;
mod decisions;
mod factors;
mod groups;
mod organizations;
mod policies;
mod principals;
mod roles;
mod service_accounts;
mod sessions;
mod signing_keys;
mod users;

/// All services of auth. Clones share everything.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) auth: Arc<Auth>,
    pub(crate) clock: Clock,
    pub(crate) shutdown: Shutdown,
    pub(crate) peers: Peers,
}

/// An answer with secrets in it, which nobody on the way may keep (RFC 6749 section 5.1).
fn unkept<T>(message: T) -> Response<T> {
    cached(message, "no-store")
}

fn cached<T>(message: T, how: &'static str) -> Response<T> {
    let mut response = Response::new(message);
    response.metadata_mut().insert("cache-control", MetadataValue::from_static(how));
    response
}

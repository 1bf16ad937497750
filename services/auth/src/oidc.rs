//! OAuth 2.1 and OpenID Connect as HTTP speaks them: forms, redirects, cookies, the standard's own JSON.
//!
//! Everything below `/oauth` is here, one file for an endpoint or a family of them. These protocols are
//! not ours to shape, so they are routes of this service and not methods of the contract; what they do
//! is in `logic`, which the contract's methods use as well.

use std::sync::Arc;

use axum::Router;

use crate::logic::Auth;

pub(crate) mod error;
pub(crate) mod form;

/// The prefix of these routes, declared in the contract.
pub(crate) const PREFIX: &str = "/oauth";

/// All endpoints.
pub(crate) fn router(auth: Arc<Auth>) -> Router {
    Router::new().with_state(auth)
}

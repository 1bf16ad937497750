//! OAuth 2.1 and OpenID Connect as HTTP speaks them: forms, redirects, cookies, the standard's own JSON.
//!
//! Everything below `/oauth` is here, one file for an endpoint or a family of them. These protocols are
//! not ours to shape, so they are routes of this service and not methods of the contract; what they do
//! is in `logic`, which the contract's methods use as well.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::FromRequestParts,
    routing::{get, post},
};
use http::request::Parts;
use lightning_mesh::{identity::Caller, serve::Peer};

use crate::logic::Auth;

pub(crate) mod arrival;
pub(crate) mod authorize;
mod cors;
mod device;
pub(crate) mod discovery;
pub(crate) mod error;
pub(crate) mod form;
mod introspect;
pub(crate) mod logout;
mod par;
mod register;
mod revoke;
mod token;
mod userinfo;

/// The prefix of these routes, declared in the contract.
pub(crate) const PREFIX: &str = "/oauth";

/// All endpoints.
pub(crate) fn router(auth: Arc<Auth>) -> Router {
    // What applications call, wherever their pages come from.
    let called = Router::new()
        .route("/oauth/device_authorization", post(device::post))
        .route("/oauth/introspect", post(introspect::introspect))
        .route("/oauth/par", post(par::post))
        .route("/oauth/register", post(register::register))
        .route(
            "/oauth/register/{id}",
            get(register::read).put(register::replace).delete(register::remove),
        )
        .route("/oauth/revoke", post(revoke::revoke))
        .route("/oauth/token", post(token::token))
        .route("/oauth/userinfo", get(userinfo::get).post(userinfo::post))
        .layer(axum::middleware::from_fn(cors::allow));
    // Where people are sent.
    Router::new()
        .route("/oauth/authorize", get(authorize::get).post(authorize::post))
        .route("/oauth/logout", get(logout::get).post(logout::post))
        .merge(called)
        .layer(axum::middleware::from_fn(arrival::arrive))
        .with_state(auth)
}

/// The address of whoever asks, as far as it is known: what the gateway tells, if it really is the
/// gateway, else the other end of the connection.
pub(crate) struct CallerAddress(pub(crate) Option<IpAddr>);

impl CallerAddress {
    pub(crate) fn of(parts: &Parts) -> Self {
        // The gateway's word was looked at on the way in.
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Self(caller.address);
        }
        let peer = parts.extensions.get::<Peer>().and_then(|peer| peer.addr);
        Self(peer.map(|addr| addr.ip().to_canonical()))
    }
}

impl<S: Sync> FromRequestParts<S> for CallerAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

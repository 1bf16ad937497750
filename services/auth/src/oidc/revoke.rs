//! Revocation (RFC 7009): a client gives back a token that it needs no more, or that was stolen.
//!
//! The answer is 200 whether the token was good, unknown or another client's: who asks learns nothing.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{CallerAddress, error::OauthResult, token::posted};
use crate::logic::Auth;

/// `POST /oauth/revoke`.
pub(super) async fn revoke(
    State(auth): State<Arc<Auth>>,
    CallerAddress(address): CallerAddress,
    headers: HeaderMap,
    body: Bytes,
) -> OauthResult<Response> {
    let form = posted(&headers, &body)?;
    let client = auth.authenticate_client(&headers, &form, address).await?;
    auth.revoke(&client, form.require("token")?, address).await?;
    let mut response = StatusCode::OK.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

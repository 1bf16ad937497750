//! `/oauth/device_authorization`: a device without a browser asks for its codes (RFC 8628 section 3.1).
//!
//! There is no address that carries the code to the page: whoever sends such a link to somebody else
//! would have them approve a device that is not theirs with one click. The person types the code.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;

use super::{
    authorize,
    error::{OauthError, OauthResult},
    form::Form,
};
use crate::{
    domain::{
        clients::DEVICE_CODE,
        devices::{INTERVAL, LIFETIME},
    },
    logic::Auth,
    oidc::CallerAddress,
};

/// Gives a device its codes.
pub(crate) async fn post(
    State(auth): State<Arc<Auth>>,
    CallerAddress(address): CallerAddress,
    headers: HeaderMap,
    body: Bytes,
) -> OauthResult<Response> {
    let form = Form::parse(&body)?;
    let client = auth.authenticate_client(&headers, &form, address).await?;
    if !client.may(DEVICE_CODE) {
        return Err(OauthError::new("unauthorized_client", "this client has no device flow"));
    }
    let scopes = authorize::scopes(&client, form.get("scope").unwrap_or_default())?;
    let resources = authorize::resources(&auth, &form)?;
    let codes = auth.begin_device(&client, scopes, resources, None, address).await?;
    let body = json!({
        "device_code": codes.device_code,
        "user_code": codes.user_code,
        "verification_uri": format!("{}/account/device", auth.config().issuer),
        "expires_in": LIFETIME.as_secs(),
        "interval": INTERVAL.as_secs(),
    });
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

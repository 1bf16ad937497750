//! `/oauth/par`: pushed authorization requests (RFC 9126).
//!
//! A client says here, over a connection of its own, what it will ask a browser to ask; the browser then
//! carries a name that works once, for this client, for 90 seconds. What is wrong with a request is said at
//! once, to the client and not to the person.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::{
    authorize::{self, Refusal},
    error::{OauthError, OauthResult},
    form::Form,
};
use crate::{domain::requests::PUSHED_LIFETIME, logic::Auth, oidc::CallerAddress, store::Kind};

/// Takes a request.
pub(crate) async fn post(
    State(auth): State<Arc<Auth>>,
    CallerAddress(address): CallerAddress,
    headers: HeaderMap,
    body: Bytes,
) -> OauthResult<Response> {
    let form = Form::parse(&body)?;
    let client = auth.authenticate_client(&headers, &form, address).await?;
    if form.get("request_uri").is_some() {
        return Err(OauthError::invalid_request("request_uri cannot be pushed"));
    }
    // The proof of the client is not part of what the browser asks.
    let mut form = form.without(&["client_secret", "client_assertion", "client_assertion_type"]);
    form.set("client_id", &client.id);
    let asked =
        authorize::asked(&auth, client.clone(), &form).map_err(|refusal| match refusal {
            Refusal::Page(text) => OauthError::invalid_request(text),
            Refusal::Reply(_, code, text) => OauthError::new(code, text),
        })?;
    let name = auth.push_request(Kind::Pushed, &client.id, &asked.encoded).await?;
    let body = json!({"request_uri": name, "expires_in": PUSHED_LIFETIME.as_secs()});
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

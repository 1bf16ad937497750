//! The token endpoint (RFC 6749 section 3.2).

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value};

use super::{
    CallerAddress,
    error::{OauthError, OauthResult},
    form::Form,
};
use crate::logic::{Auth, sessions::Tokens};

/// `POST /oauth/token`.
pub(crate) async fn token(
    State(auth): State<Arc<Auth>>,
    CallerAddress(address): CallerAddress,
    headers: HeaderMap,
    body: Bytes,
) -> OauthResult<Response> {
    let form = posted(&headers, &body)?;
    let urls = [format!("{}/oauth/token", auth.config().issuer)];
    let tokens = auth.issue(&headers, &form, address, &urls).await?;
    Ok(answer(&tokens))
}

/// The parameters of a posted form.
pub(super) fn posted(headers: &HeaderMap, body: &[u8]) -> OauthResult<Form> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(OauthError::invalid_request(
            "send the parameters as application/x-www-form-urlencoded",
        ));
    }
    Form::parse(body)
}

fn answer(tokens: &Tokens) -> Response {
    let mut body = Map::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            body.insert(name.to_owned(), Value::from(value));
        }
    };
    put("access_token", &tokens.access_token);
    put("token_type", tokens.token_type());
    put("refresh_token", &tokens.refresh_token);
    put("id_token", &tokens.id_token);
    put("issued_token_type", tokens.issued_token_type);
    body.insert("scope".to_owned(), Value::from(&*tokens.scope));
    body.insert("expires_in".to_owned(), Value::from(tokens.expires_in));
    let mut response = Json(Value::Object(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

//! Introspection (RFC 7662): a client that holds a token of somebody asks what it is worth.
//!
//! Whoever asks proves who they are, with a secret or a key: a public client has neither and could ask
//! about any token it found. What they may know of is decided in `logic::introspection`; everything else
//! is `{"active": false}` and nothing more.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use super::{
    CallerAddress,
    error::{OauthError, OauthResult},
    token::posted,
};
use crate::{
    logic::{Auth, introspection::Worth},
    signing::{Actor, Confirmation},
};

/// What is told of a token that is good.
#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    iss: &'a str,
    sub: &'a str,
    client_id: &'a str,
    scope: &'a str,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    aud: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<&'a Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<&'a Confirmation>,
}

#[derive(Serialize)]
struct Inactive {
    active: bool,
}

/// `POST /oauth/introspect`.
pub(super) async fn introspect(
    State(auth): State<Arc<Auth>>,
    CallerAddress(address): CallerAddress,
    headers: HeaderMap,
    body: Bytes,
) -> OauthResult<Response> {
    let form = posted(&headers, &body)?;
    let client = auth.authenticate_client(&headers, &form, address).await?;
    if client.is_public() {
        return Err(OauthError::invalid_client(
            "a client that asks about tokens must have a secret or a key",
        ));
    }
    let worth = auth.introspect(&client, form.require("token")?).await?;
    Ok(answer(&auth.config().issuer, &worth))
}

fn answer(issuer: &str, worth: &Worth) -> Response {
    let mut response = match worth {
        Worth::Nothing => Json(Inactive { active: false }).into_response(),
        Worth::Access(claims) => Json(Active {
            active: true,
            iss: issuer,
            sub: &claims.sub,
            client_id: &claims.client_id,
            scope: &claims.scope,
            exp: claims.exp,
            iat: claims.iat,
            nbf: Some(claims.nbf),
            jti: Some(&claims.jti),
            token_type: Some(if claims.cnf.is_some() { "DPoP" } else { "Bearer" }),
            aud: &claims.aud,
            sid: claims.sid.as_deref(),
            org_id: Some(&claims.org_id),
            auth_time: claims.auth_time,
            acr: claims.acr.as_deref(),
            amr: claims.amr.as_deref(),
            act: claims.act.as_deref(),
            cnf: claims.cnf.as_ref(),
        })
        .into_response(),
        Worth::Refresh(session) => {
            let authentication = &session.terms.authentication;
            Json(Active {
                active: true,
                iss: issuer,
                sub: session.user_id.as_str(),
                client_id: session.application(),
                scope: &session.scopes.join(" "),
                exp: session.expires_at.as_seconds(),
                iat: session.refreshed_at.as_seconds(),
                nbf: None,
                jti: None,
                token_type: None,
                aud: &session.terms.audiences,
                sid: Some(session.id.as_str()),
                org_id: None,
                auth_time: Some(authentication.at.as_seconds()),
                acr: Some(authentication.class()),
                amr: Some(&authentication.methods),
                act: None,
                cnf: None,
            })
            .into_response()
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

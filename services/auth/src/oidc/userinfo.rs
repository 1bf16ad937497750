//! UserInfo (OpenID Connect Core section 5.3): who the user of a token is, to whoever holds the token.
//!
//! The token comes in the header, or in the form of a POST, and never in the address, which ends up in
//! logs. It is checked by the gate like the token of any call, so that what is revoked, bound to a key or
//! meant for another service is refused here as everywhere; errors are those of RFC 6750.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use lightning_mesh::identity::{Caller, Gate};
use serde_json::json;

use super::token::posted;
use crate::{domain::principals::Subject, logic::Auth};

/// Why nothing is told.
struct Refusal {
    status: StatusCode,
    /// The scheme of the challenge.
    scheme: &'static str,
    /// The code and a description; none if no token came.
    error: Option<(&'static str, &'static str)>,
}

/// A token and the scheme under which it came.
struct Shown {
    token: String,
    scheme: &'static str,
}

/// `GET /oauth/userinfo`.
pub(super) async fn get(State(auth): State<Arc<Auth>>, parts: Parts) -> Response {
    let shown = from_header(&parts.headers);
    told(&auth, parts, shown).await
}

/// `POST /oauth/userinfo`: the token may be in the form instead.
pub(super) async fn post(State(auth): State<Arc<Auth>>, parts: Parts, body: Bytes) -> Response {
    let shown = shown(&parts.headers, &body);
    told(&auth, parts, shown).await
}

fn shown(headers: &HeaderMap, body: &[u8]) -> Result<Shown, Refusal> {
    if body.is_empty() || !headers.contains_key(header::CONTENT_TYPE) {
        return from_header(headers);
    }
    let form = posted(headers, body);
    let form = form.map_err(|_| invalid_request("the body is no form"))?;
    match (form.get("access_token"), headers.contains_key(header::AUTHORIZATION)) {
        (Some(_), true) => Err(invalid_request("the token came twice")),
        (Some(token), false) => Ok(Shown { token: token.to_owned(), scheme: "Bearer" }),
        (None, _) => from_header(headers),
    }
}

fn from_header(headers: &HeaderMap) -> Result<Shown, Refusal> {
    let nothing = || Refusal { status: StatusCode::UNAUTHORIZED, scheme: "Bearer", error: None };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(nothing)?;
    if values.next().is_some() {
        return Err(invalid_request("there is more than one Authorization header"));
    }
    let text = value.to_str().map_err(|_| nothing())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(nothing)?;
    let known = ["Bearer", "DPoP"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme));
    let scheme = known.ok_or_else(nothing)?;
    Ok(Shown { token: token.trim().to_owned(), scheme })
}

async fn told(auth: &Auth, parts: Parts, shown: Result<Shown, Refusal>) -> Response {
    let answer = match shown {
        Ok(shown) => tell(auth, parts, &shown).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = answer.unwrap_or_else(Refusal::into_response);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn tell(auth: &Auth, mut parts: Parts, shown: &Shown) -> Result<Response, Refusal> {
    let invalid = || Refusal {
        status: StatusCode::UNAUTHORIZED,
        scheme: shown.scheme,
        error: Some(("invalid_token", "the token is not valid here, has expired or was revoked")),
    };
    let claims = auth.read_access_token(&shown.token).ok_or_else(invalid)?;
    if claims.cnf.is_some() != (shown.scheme == "DPoP") {
        // A token that is bound to a key is worth nothing without the proof (RFC 9449 section 7.1).
        return Err(invalid());
    }
    let value = HeaderValue::try_from(format!("{} {}", shown.scheme, shown.token));
    let mut value = value.map_err(|_| invalid())?;
    value.set_sensitive(true);
    parts.headers.insert(header::AUTHORIZATION, value);
    let gate = parts.extensions.get::<Arc<Gate>>().cloned().ok_or_else(invalid)?;
    // The gateway has looked at a token that came in the header, and at its proof, which is not good twice.
    let subject = Subject::parse(&claims.sub).full();
    let seen = parts.extensions.get::<Caller>().is_some_and(|caller| caller.subject == subject);
    if !seen {
        gate.identify(&parts).await.map_err(|_| invalid())?;
    }
    if !claims.has_scope("openid") {
        return Err(Refusal {
            status: StatusCode::FORBIDDEN,
            scheme: shown.scheme,
            error: Some(("insufficient_scope", "this needs the scope openid")),
        });
    }
    match auth.user_info(&claims).await {
        Ok(Some(claims)) => Ok(Json(claims).into_response()),
        Ok(None) => Err(invalid()),
        Err(error) => Ok(super::error::OauthError::from(error).into_response()),
    }
}

fn invalid_request(what: &'static str) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        scheme: "Bearer",
        error: Some(("invalid_request", what)),
    }
}

// === impl Refusal ===

impl Refusal {
    /// RFC 6750 section 3: the error is in the challenge; for people it is in the body as well.
    fn into_response(self) -> Response {
        let (challenge, body) = match self.error {
            None => (format!("{} realm=\"lightning\"", self.scheme), json!({})),
            Some((code, what)) => {
                let scope = match code {
                    "insufficient_scope" => ", scope=\"openid\"",
                    _ => "",
                };
                let scheme = self.scheme;
                let challenge = format!(
                    "{scheme} realm=\"lightning\", error=\"{code}\", error_description=\"{what}\"{scope}"
                );
                (challenge, json!({"error": code, "error_description": what}))
            }
        };
        let mut response = (self.status, Json(body)).into_response();
        let challenge = HeaderValue::try_from(challenge).expect("the texts are ASCII");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        response
    }
}

//! What proves that it is the person: authenticator apps, recovery codes, passkeys.
//!
//! Passkeys need a script in the browser. It talks to four addresses here that take forms like every
//! other page, with the token of the browser in them, and answer JSON.

use std::sync::Arc;

use askama::Template;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Chrome, Policy, account, broken,
    browser::{Cookie, Posted, Visit},
    go, guard, login, render, render_with,
};
use crate::{
    Error,
    domain::{
        browser_sessions::BrowserSession,
        factors::{Factor, Kind},
        principals::Authentication,
    },
    error::FactorError,
    logic::{
        Auth,
        passkeys::{Ceremony, METHODS},
    },
    oidc::form::Form,
};

#[derive(Template)]
#[template(path = "security.html")]
struct Security<'a> {
    chrome: &'a Chrome,
    apps: Vec<Listed>,
    passkeys: Vec<Listed>,
    codes_left: i64,
    upstreams: Vec<(&'a str, &'a str)>,
}

/// A factor as it is listed.
struct Listed {
    id: String,
    name: String,
    since: String,
    used: String,
}

#[derive(Template)]
#[template(path = "totp.html")]
struct Totp<'a> {
    chrome: &'a Chrome,
    id: &'a str,
    secret: &'a str,
    /// Made here out of an address of ours: nothing that anybody typed is in it unescaped.
    picture: &'a str,
}

#[derive(Template)]
#[template(path = "codes.html")]
struct Codes<'a> {
    chrome: &'a Chrome,
    codes: Vec<String>,
}

/// The overview.
pub(crate) async fn page(State(auth): State<Arc<Auth>>, visit: Visit) -> Response {
    let chrome = visit.chrome(&auth);
    let response = match account::signed_in(&visit, &chrome, "/account/security") {
        Ok(session) => match auth.factors(&session.user_id).await {
            Ok((factors, codes_left)) => {
                let of = |kind: Kind| {
                    factors.iter().filter(move |one| one.kind == kind && one.confirmed_at.is_some())
                };
                let page = Security {
                    chrome: &chrome,
                    apps: of(Kind::Totp).map(listed).collect(),
                    passkeys: of(Kind::Passkey).map(listed).collect(),
                    codes_left,
                    upstreams: auth.upstreams(),
                };
                let policy = Policy { scripts: true, ..Policy::default() };
                render_with(&page, StatusCode::OK, &policy)
            }
            Err(error) => broken(&chrome, error),
        },
        Err(response) => response,
    };
    visit.answer(&auth, response)
}

fn listed(factor: &Factor) -> Listed {
    Listed {
        id: factor.id.to_string(),
        name: factor.name.clone(),
        since: account::when(factor.created_at),
        used: factor.used_at.map_or_else(
            || "never used".to_owned(),
            |at| format!("last used {}", account::when(at)),
        ),
    }
}

/// Changes something.
pub(crate) async fn submit(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    let session = match account::signed_in(&visit, &chrome, "/account/security") {
        Ok(session) => session,
        Err(response) => return response,
    };
    change(&auth, &chrome, session, &form).await.unwrap_or_else(|error| broken(&chrome, error))
}

async fn change(
    auth: &Auth,
    chrome: &Chrome,
    session: &BrowserSession,
    form: &Form,
) -> Result<Response, Error> {
    let recent = auth.recent_in_browser(session).await?;
    let text = |name: &str| form.get(name).unwrap_or_default();
    match text("action") {
        "totp" => {
            let begun = auth.enroll_totp(&recent, "").await?;
            let at = begun.picture.find("<svg").unwrap_or_default();
            Ok(render(&Totp {
                chrome,
                id: begun.factor.id.as_str(),
                secret: &begun.secret,
                picture: begun.picture.get(at..).unwrap_or_default(),
            }))
        }
        "confirm" => {
            let codes = auth.confirm_totp(&recent, text("id"), text("code")).await?;
            Ok(shown(chrome, codes))
        }
        "codes" => Ok(shown(chrome, auth.renew_codes(&recent).await?)),
        "delete" => {
            auth.delete_factor(&recent, text("id")).await?;
            Ok(go(&chrome.path("/account/security")))
        }
        _ => Ok(go(&chrome.path("/account/security"))),
    }
}

fn shown(chrome: &Chrome, codes: Vec<String>) -> Response {
    if codes.is_empty() {
        return go(&chrome.path("/account/security"));
    }
    render(&Codes { chrome, codes })
}

/// Begins to register a passkey.
pub(crate) async fn begin_passkey(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let begun = async {
        let session = posted.visit.session.as_ref().ok_or(Error::CredentialsInvalid)?;
        auth.begin_passkey(&auth.recent_in_browser(session).await?).await
    };
    begun.await.map_or_else(told, |begun| ceremony(&begun))
}

/// Registers it.
pub(crate) async fn finish_passkey(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let finished = async {
        let session = visit.session.as_ref().ok_or(Error::CredentialsInvalid)?;
        let recent = auth.recent_in_browser(session).await?;
        let id = form.get("ceremony").unwrap_or_default();
        auth.finish_passkey(&recent, id, "", credential(&form)?).await
    };
    let next = visit.chrome(&auth).path("/account/security");
    finished.await.map_or_else(told, |_| answer(&json!({"next": next})))
}

/// Begins to sign in with a passkey.
pub(crate) async fn begin_login(State(auth): State<Arc<Auth>>, _: Posted) -> Response {
    auth.begin_passkey_login().await.map_or_else(told, |begun| ceremony(&begun))
}

/// Signs in with it.
pub(crate) async fn finish_login(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let signed_in = async {
        let id = form.get("ceremony").unwrap_or_default();
        let user = auth.check_passkey(id, credential(&form)?, visit.address).await?;
        let how = Authentication::new(&METHODS, auth.now());
        let before = visit.session.as_ref().or(visit.half.as_ref());
        let (hash, origin) = (visit.secret_hash(), visit.origin.clone());
        auth.login_completed(&user, how, false, before, &hash, origin).await
    };
    match signed_in.await {
        Ok(signed_in) => {
            let next = login::with_about("/account/continue", &login::about(&form));
            let mut response = answer(&json!({"next": visit.chrome(&auth).path(&next)}));
            let max_age = auth.config().browser_session_lifetime.as_secs();
            Cookie::new(&auth.config().issuer).set(&mut response, &signed_in.secret, max_age);
            response
        }
        Err(error) => told(error),
    }
}

fn credential(form: &Form) -> Result<Value, Error> {
    let text = form.get("credential").unwrap_or_default();
    serde_json::from_str(text).map_err(|_| Error::Factor(FactorError::PasskeyRefused))
}

fn ceremony(ceremony: &Ceremony) -> Response {
    answer(&json!({"ceremony": ceremony.id, "options": ceremony.options}))
}

fn answer(value: &Value) -> Response {
    let mut response = Json(value).into_response();
    guard(&mut response);
    response
}

fn told(error: Error) -> Response {
    let status = if matches!(error, Error::AccountLocked { .. }) {
        StatusCode::TOO_MANY_REQUESTS
    } else if matches!(error, Error::Factor(FactorError::LoginTooOld(_))) {
        StatusCode::FORBIDDEN
    } else if super::ask::typed_wrong(&error)
        || matches!(error, Error::Factor(FactorError::PasskeyRefused))
    {
        StatusCode::BAD_REQUEST
    } else {
        return broken(&Chrome::new(""), error);
    };
    let mut response = (status, Json(json!({}))).into_response();
    guard(&mut response);
    response
}

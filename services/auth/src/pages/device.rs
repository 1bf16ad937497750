//! The page on which a person types the code that a device shows, and decides about the device.
//!
//! It names the application, the place the device asked from and what it wants, because somebody may have
//! been talked into typing a code that is not of their own device. The decision counts only in the session
//! in which the code was typed.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};

use super::{
    Chrome, Policy, broken,
    browser::{Posted, Visit},
    failure, go, notice, render, render_with,
};
use crate::{
    Error,
    domain::{
        consents::{in_words, is_about_agents, is_suspicious},
        devices::DeviceLogin,
        requests::givable,
    },
    logic::Auth,
};

/// Where a person who has to sign in first is sent.
const SIGN_IN: &str = "/account/login?next=%2Faccount%2Fdevice";

#[derive(Template)]
#[template(path = "device.html")]
struct Enter<'a> {
    chrome: &'a Chrome,
    wrong: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "device_confirm.html")]
struct Confirm<'a> {
    chrome: &'a Chrome,
    client: &'a str,
    is_unverified: bool,
    user: &'a str,
    device: &'a DeviceLogin,
    asked_at: String,
    scopes: Vec<(String, bool)>,
}

/// Where the code is typed.
pub(crate) async fn page(State(auth): State<Arc<Auth>>, visit: Visit) -> Response {
    let chrome = visit.chrome(&auth);
    let response = if visit.session.is_some() {
        render(&Enter { chrome: &chrome, wrong: None })
    } else {
        go(&chrome.path(SIGN_IN))
    };
    visit.answer(&auth, response)
}

/// A code.
pub(crate) async fn submit(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    match look_up(&auth, &visit, form.get("user_code").unwrap_or_default()).await {
        Ok(response) => response,
        Err(Error::AccountLocked { retry_after }) => {
            let text = "Too many wrong codes were tried. Wait ten minutes and try again.";
            let page = Enter { chrome: &chrome, wrong: Some(text) };
            let status = StatusCode::TOO_MANY_REQUESTS;
            let mut response = render_with(&page, status, &Policy::default());
            let seconds = HeaderValue::from(retry_after.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response
        }
        Err(error) => broken(&chrome, error),
    }
}

async fn look_up(auth: &Auth, visit: &Visit, code: &str) -> Result<Response, Error> {
    let chrome = visit.chrome(auth);
    let Some(session) = &visit.session else { return Ok(go(&chrome.path(SIGN_IN))) };
    let found = auth.device_of_user_code(code, session, visit.address).await?;
    let client = match &found {
        Some(device) => auth.client(&device.client_id).await?,
        None => None,
    };
    let (Some(device), Some(client)) = (found, client) else {
        let text =
            "No device waits with this code. Codes are good for ten minutes; check the letters.";
        let page = Enter { chrome: &chrome, wrong: Some(text) };
        return Ok(render_with(&page, StatusCode::BAD_REQUEST, &Policy::default()));
    };
    let scopes = givable(&device.scopes, &auth.rights_of(&session.user_id).await?);
    let mut words: Vec<(String, bool)> =
        scopes.iter().map(|one| (in_words(one), is_about_agents(one))).collect();
    if device.scopes.is_empty() && client.first_party {
        words.push((in_words("*"), true));
    }
    Ok(render(&Confirm {
        chrome: &chrome,
        client: &client.name,
        is_unverified: client.dynamic || is_suspicious(&client.name) && !client.first_party,
        user: chrome.user.as_deref().unwrap_or_default(),
        asked_at: super::account::when(device.created_at),
        device: &device,
        scopes: words,
    }))
}

/// Yes or no.
pub(crate) async fn decide(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    let Some(session) = &visit.session else { return go(&chrome.path(SIGN_IN)) };
    let approve = form.get("decision") == Some("allow");
    match auth.decide_device(form.get("device").unwrap_or_default(), approve, session).await {
        Ok(true) if approve => {
            notice(&chrome, "The device is signed in", "You can go back to it now.")
        }
        Ok(true) => notice(&chrome, "The device is not signed in", "It gets no access."),
        Ok(false) => {
            let text = "The code has expired or was used. Let the device show a new one.";
            failure(&chrome, StatusCode::BAD_REQUEST, "It is too late", text)
        }
        Err(error) => broken(&chrome, error),
    }
}

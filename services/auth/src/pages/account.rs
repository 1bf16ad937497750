//! What a person sees of their own account: an overview, where they are signed in, and what they allowed
//! applications.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use lightning_mesh::clock::Timestamp;

use super::{
    Chrome, broken,
    browser::{Posted, Visit},
    go, render,
};
use crate::{
    Error,
    domain::{browser_sessions::BrowserSession, consents::in_words, users::User},
    logic::Auth,
};

#[derive(Template)]
#[template(path = "account.html")]
struct Index<'a> {
    chrome: &'a Chrome,
    user: &'a User,
    signed_in: String,
    roles: String,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct Sessions<'a> {
    chrome: &'a Chrome,
    browsers: Vec<Browser>,
    grants: Vec<Grant>,
}

/// A browser as it is listed.
struct Browser {
    id: String,
    name: String,
    address: String,
    since: String,
    seen: String,
    is_this: bool,
}

/// A program that has access, as it is listed.
struct Grant {
    id: String,
    name: String,
    since: String,
    used: String,
}

#[derive(Template)]
#[template(path = "consents.html")]
struct Consents<'a> {
    chrome: &'a Chrome,
    consents: Vec<Allowed>,
}

/// An application as it is listed.
struct Allowed {
    client_id: String,
    name: String,
    is_unverified: bool,
    words: Vec<String>,
    since: String,
}

/// The overview.
pub(crate) async fn index(State(auth): State<Arc<Auth>>, visit: Visit) -> Response {
    let chrome = visit.chrome(&auth);
    let response = match signed_in(&visit, &chrome, "/account") {
        Ok(session) => match auth.user(session.user_id.as_str()).await {
            Ok(user) => render(&Index {
                chrome: &chrome,
                signed_in: when(session.authentication.at),
                roles: user.roles.join(", "),
                user: &user,
            }),
            Err(error) => broken(&chrome, error),
        },
        Err(response) => response,
    };
    visit.answer(&auth, response)
}

/// Where the person is signed in.
pub(crate) async fn sessions(State(auth): State<Arc<Auth>>, visit: Visit) -> Response {
    let chrome = visit.chrome(&auth);
    let response = match signed_in(&visit, &chrome, "/account/sessions") {
        Ok(own) => match list_sessions(&auth, &chrome, own).await {
            Ok(response) => response,
            Err(error) => broken(&chrome, error),
        },
        Err(response) => response,
    };
    visit.answer(&auth, response)
}

async fn list_sessions(
    auth: &Auth,
    chrome: &Chrome,
    own: &BrowserSession,
) -> Result<Response, Error> {
    let browsers = auth.browser_sessions(&own.user_id).await?;
    let browsers = browsers
        .into_iter()
        .map(|session| Browser {
            name: session.origin.browser().to_owned(),
            address: session.origin.address,
            since: when(session.created_at),
            seen: when(session.seen_at),
            is_this: session.id == own.id,
            id: session.id.to_string(),
        })
        .collect();
    let mut grants = Vec::new();
    for grant in auth.grants_of(&own.user_id).await? {
        let name = match grant.client_id.as_str() {
            "" => "Login with the password over the API".to_owned(),
            id => auth.client(id).await?.map_or_else(|| id.to_owned(), |one| one.name.clone()),
        };
        grants.push(Grant {
            id: grant.id.to_string(),
            name,
            since: when(grant.created_at),
            used: when(grant.refreshed_at),
        });
    }
    Ok(render(&Sessions { chrome, browsers, grants }))
}

/// Ends one of them, or all but this one.
pub(crate) async fn end_sessions(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    let own = match signed_in(&visit, &chrome, "/account/sessions") {
        Ok(own) => own,
        Err(response) => return response,
    };
    let text = |name: &str| form.get(name).unwrap_or_default();
    let done = match text("action") {
        "others" => auth.sign_out_others(own).await,
        "browser" => auth.sign_out_one(&own.user_id, text("id")).await,
        "grant" => auth.end_grant(&own.user_id, text("id")).await,
        _ => Ok(()),
    };
    match done {
        Ok(()) => go(&chrome.path("/account/sessions")),
        Err(error) => broken(&chrome, error),
    }
}

/// What the person allowed.
pub(crate) async fn consents(State(auth): State<Arc<Auth>>, visit: Visit) -> Response {
    let chrome = visit.chrome(&auth);
    let response = match signed_in(&visit, &chrome, "/account/consents") {
        Ok(own) => match list_consents(&auth, &chrome, own).await {
            Ok(response) => response,
            Err(error) => broken(&chrome, error),
        },
        Err(response) => response,
    };
    visit.answer(&auth, response)
}

async fn list_consents(
    auth: &Auth,
    chrome: &Chrome,
    own: &BrowserSession,
) -> Result<Response, Error> {
    let mut consents = Vec::new();
    for consent in auth.consents(&own.user_id).await? {
        let client = auth.client(&consent.client_id).await?;
        consents.push(Allowed {
            name: client
                .as_ref()
                .map_or_else(|| consent.client_id.clone(), |client| client.name.clone()),
            is_unverified: client.is_some_and(|client| client.dynamic),
            words: consent.scopes.iter().map(|scope| in_words(scope)).collect(),
            since: when(consent.created_at),
            client_id: consent.client_id,
        });
    }
    Ok(render(&Consents { chrome, consents }))
}

/// Takes one back.
pub(crate) async fn revoke_consent(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    let own = match signed_in(&visit, &chrome, "/account/consents") {
        Ok(own) => own,
        Err(response) => return response,
    };
    let client_id = form.get("client_id").unwrap_or_default();
    match auth.revoke_consent(&own.user_id, client_id).await {
        Ok(()) => go(&chrome.path("/account/consents")),
        Err(error) => broken(&chrome, error),
    }
}

/// The session, or the way to sign in and come back.
#[expect(clippy::result_large_err, reason = "the error is the response that goes out")]
pub(crate) fn signed_in<'a>(
    visit: &'a Visit,
    chrome: &Chrome,
    page: &str,
) -> Result<&'a BrowserSession, Response> {
    visit.session.as_ref().ok_or_else(|| {
        let about = super::login::About { next: page.to_owned(), ..Default::default() };
        go(&chrome.path(&super::login::with_about("/account/login", &about)))
    })
}

/// A time for people, to the minute.
pub(crate) fn when(at: Timestamp) -> String {
    let text = at.to_string();
    let minute = text.get(..16).unwrap_or(&text);
    format!("{} UTC", minute.replace('T', " "))
}

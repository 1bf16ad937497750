//! `/oauth/logout`: an application asks that its user be signed out (OpenID Connect RP-Initiated Logout).
//!
//! An application that shows an ID token of the very session is believed; everybody else, a link in a
//! mail among them, only gets a page that asks. Afterwards the browser goes back to a registered address,
//! to the letter, or stays here. A form is turned into a page for the same reason as at the authorization
//! endpoint.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use bytes::Bytes;
use http::StatusCode;

use super::form::Form;
use crate::{
    Error,
    domain::{browser_sessions::BrowserSession, clients::Client, redirects},
    logic::{Auth, hints::Hint},
    pages::{
        self, Chrome, Policy,
        browser::{Cookie, Posted, Visit},
    },
};

/// The longest `state`, in bytes.
const MAX_STATE: usize = 2_000;

/// What an application asks, checked.
struct Asked {
    client: Option<Arc<Client>>,
    hint: Option<Hint>,
    /// Where to go afterwards: a registered address.
    back_to: Option<String>,
    state: Option<String>,
}

#[derive(Template)]
#[template(path = "logout.html")]
struct Confirm<'a> {
    chrome: &'a Chrome,
    client: Option<&'a str>,
    client_id: &'a str,
    back_to: &'a str,
    state: &'a str,
}

/// As a link.
pub(crate) async fn get(
    State(auth): State<Arc<Auth>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let chrome = visit.chrome(&auth);
    let response = match logout(&auth, &visit, query.as_bytes()).await {
        Ok(response) => response,
        Err(error) => pages::broken(&chrome, error),
    };
    visit.answer(&auth, response)
}

/// As a form of an application.
pub(crate) async fn post(State(auth): State<Arc<Auth>>, body: Bytes) -> Response {
    let chrome = Chrome::new(&auth.config().issuer);
    match Form::parse(&body) {
        Ok(form) => pages::go(&chrome.path(&format!("/oauth/logout?{}", form.encode()))),
        Err(error) => mistake(&chrome, &error.description),
    }
}

async fn logout(auth: &Auth, visit: &Visit, query: &[u8]) -> Result<Response, Error> {
    let chrome = visit.chrome(auth);
    let form = match Form::parse(query) {
        Ok(form) => form,
        Err(error) => return Ok(mistake(&chrome, &error.description)),
    };
    let asked = match read(auth, &form).await? {
        Ok(asked) => asked,
        Err(text) => return Ok(mistake(&chrome, text)),
    };
    let Some(session) = &visit.session else {
        return Ok(done(auth, &asked));
    };
    let is_meant = match &asked.hint {
        Some(hint) => auth.is_hinted(session, hint).await?,
        None => false,
    };
    if is_meant {
        return signed_out(auth, session, &asked).await;
    }
    let page = Confirm {
        chrome: &chrome,
        client: asked.client.as_ref().map(|client| client.name.as_str()),
        client_id: asked.client.as_ref().map_or("", |client| client.id.as_str()),
        back_to: asked.back_to.as_deref().unwrap_or_default(),
        state: asked.state.as_deref().unwrap_or_default(),
    };
    let policy = asked.back_to.as_deref().map(Policy::leading_to).unwrap_or_default();
    Ok(pages::render_with(&page, StatusCode::OK, &policy))
}

/// The answer to the page that asks.
pub(crate) async fn confirm(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    if form.get("decision") == Some("stay") {
        return pages::go(&chrome.path("/account"));
    }
    // What the page sends back is checked again: it went through the browser.
    let form = form.without(&["id_token_hint"]);
    let finished = async {
        let asked = match read(&auth, &form).await? {
            Ok(asked) => asked,
            Err(text) => return Ok(mistake(&chrome, text)),
        };
        match &visit.session {
            Some(session) => signed_out(&auth, session, &asked).await,
            None => Ok(done(&auth, &asked)),
        }
    };
    match finished.await {
        Ok(response) => response,
        Err(error) => pages::broken(&chrome, error),
    }
}

/// Reads a request; the inner error is for the person.
async fn read(auth: &Auth, form: &Form) -> Result<Result<Asked, &'static str>, Error> {
    let hint = match form.get("id_token_hint") {
        Some(text) => match auth.hint(text) {
            Some(hint) => Some(hint),
            None => return Ok(Err("The application showed a token that is not ours.")),
        },
        None => None,
    };
    let named = form.get("client_id");
    if let (Some(named), Some(hint)) = (named, &hint)
        && named != hint.client_id
    {
        return Ok(Err("The application showed a token of another application."));
    }
    let id = named.or_else(|| hint.as_ref().map(|hint| hint.client_id.as_str()));
    let client = match id {
        Some(id) => auth.client(id).await?,
        None => None,
    };
    let asked_for = form.get("post_logout_redirect_uri");
    let back_to = match (asked_for, &client) {
        (Some(uri), Some(client)) => {
            if !client.post_logout_redirect_uris.iter().any(|known| known == uri) {
                return Ok(Err("The application wants to send you to an address that is not \
                               registered for it."));
            }
            Some(uri.to_owned())
        }
        // Nobody knows whose address it would be.
        (Some(_), None) | (None, _) => None,
    };
    let state = form.get("state").filter(|state| state.len() <= MAX_STATE).map(str::to_owned);
    Ok(Ok(Asked { client, hint, back_to, state }))
}

async fn signed_out(
    auth: &Auth,
    session: &BrowserSession,
    asked: &Asked,
) -> Result<Response, Error> {
    auth.sign_out(session).await?;
    let mut response = done(auth, asked);
    Cookie::new(&auth.config().issuer).clear(&mut response);
    Ok(response)
}

/// Where the browser goes when nobody is signed in any more.
fn done(auth: &Auth, asked: &Asked) -> Response {
    let chrome = Chrome::new(&auth.config().issuer);
    let address = asked.back_to.as_deref().and_then(|uri| match &asked.state {
        Some(state) => redirects::with_query(uri, &[("state", state)]),
        None => Some(uri.to_owned()),
    });
    match address {
        Some(address) => pages::go(&address),
        None => pages::notice(&chrome, "You are signed out", "You can close this page."),
    }
}

fn mistake(chrome: &Chrome, text: &str) -> Response {
    let title = "The application made a mistake";
    pages::failure(chrome, StatusCode::BAD_REQUEST, title, text)
}

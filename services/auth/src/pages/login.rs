//! Signing in, and going on with what the browser was about to do.
//!
//! After the password the cookie changes, and the browser is sent to `/account/continue`, which does what
//! the request needs next: a person who has a second factor is sent to its page before that. Where to go
//! on without a request is one of our own pages, by its path.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use lightning_mesh::config::Secret;
use serde::Deserialize;

use super::{
    Chrome, Policy, broken,
    browser::{Cookie, Posted, Visit},
    go, render_with,
};
use crate::{
    Error,
    domain::requests::Progress,
    logic::{Auth, browser::SignedIn},
    oidc::{
        authorize::{self, Asked},
        form::Form,
    },
};

/// Which request a page is about, and where to go after it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct About {
    #[serde(default)]
    pub(crate) request: String,
    #[serde(default)]
    pub(crate) next: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    chrome: &'a Chrome,
    /// The application that waits.
    client: Option<&'a str>,
    /// What is wrong with what was typed.
    wrong: Option<&'a str>,
    username: &'a str,
    /// Whether somebody is signed in who has to prove it again.
    again: bool,
    request: &'a str,
    next: &'a str,
    can_register: bool,
    /// Other providers: names in addresses and on pages.
    upstreams: Vec<(&'a str, &'a str)>,
    /// What stands behind their addresses.
    query: String,
}

#[derive(Template)]
#[template(path = "choose.html")]
struct Choose<'a> {
    chrome: &'a Chrome,
    client: &'a str,
    user: &'a str,
    request: &'a str,
}

/// The page.
pub(crate) async fn page(
    State(auth): State<Arc<Auth>>,
    visit: Visit,
    Query(about): Query<About>,
) -> Response {
    let chrome = visit.chrome(&auth);
    if about.request.is_empty() && visit.session.is_some() {
        return go(&chrome.path(own_path(&about.next)));
    }
    let response = match waiting(&auth, &visit, &about.request).await {
        Ok(waiting) => {
            if !about.request.is_empty() && waiting.is_none() {
                return visit.answer(&auth, authorize::gone(&chrome));
            }
            let hint = waiting.as_ref().and_then(|asked| asked.request.login_hint.clone());
            let hint = hint.filter(|hint| hint.len() <= 254).unwrap_or_default();
            show(&auth, &visit, waiting.as_ref(), &about, &hint, None)
        }
        Err(error) => broken(&chrome, error),
    };
    visit.answer(&auth, response)
}

/// A name and a password.
pub(crate) async fn submit(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let about = about(&form);
    let chrome = visit.chrome(&auth);
    let waiting = match waiting(&auth, &visit, &about.request).await {
        Ok(waiting) => waiting,
        Err(error) => return broken(&chrome, error),
    };
    if !about.request.is_empty() && waiting.is_none() {
        return authorize::gone(&chrome);
    }
    let username = form.get("username").unwrap_or_default();
    let password = Secret::new(form.get("password").unwrap_or_default());
    let before = visit.session.as_ref().or(visit.half.as_ref());
    let hash = visit.secret_hash();
    let signed_in =
        auth.sign_in_with_password(username, &password, before, &hash, visit.origin.clone()).await;
    match signed_in {
        Ok(signed_in) => go_on(&auth, &signed_in, &about),
        Err(error) => {
            let text = error.to_string();
            let username: String = username.chars().take(254).collect();
            let page =
                |text: &str| show(&auth, &visit, waiting.as_ref(), &about, &username, Some(text));
            refused(error, page, &text, &chrome)
        }
    }
}

/// The page again, with the reason and the status that goes with it.
fn refused(error: Error, page: impl Fn(&str) -> Response, text: &str, chrome: &Chrome) -> Response {
    let after =
        if let Error::AccountLocked { retry_after } | Error::Overloaded { retry_after } = &error {
            Some(retry_after.as_secs().max(1))
        } else {
            None
        };
    let is_busy = matches!(error, Error::Overloaded { .. });
    if after.is_none() && !matches!(error, Error::CredentialsInvalid) {
        return broken(chrome, error);
    }
    let status = match (after, is_busy) {
        (None, _) => StatusCode::BAD_REQUEST,
        (Some(_), false) => StatusCode::TOO_MANY_REQUESTS,
        (Some(_), true) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut first = text.chars();
    let text = first
        .next()
        .map(|letter| letter.to_uppercase().chain(first).chain(['.']).collect::<String>())
        .unwrap_or_default();
    let mut response = page(&text);
    *response.status_mut() = status;
    if let Some(seconds) = after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Sends a browser on whose user gave a factor, with its new cookie.
pub(crate) fn go_on(auth: &Auth, signed_in: &SignedIn, about: &About) -> Response {
    let chrome = Chrome::new(&auth.config().issuer);
    let page =
        if signed_in.session.is_half { "/account/second-factor" } else { "/account/continue" };
    let mut response = go(&chrome.path(&with_about(page, about)));
    let max_age = auth.config().browser_session_lifetime.as_secs();
    Cookie::new(&auth.config().issuer).set(&mut response, &signed_in.secret, max_age);
    response
}

/// Does what comes next.
pub(crate) async fn resume(
    State(auth): State<Arc<Auth>>,
    visit: Visit,
    Query(about): Query<About>,
) -> Response {
    let chrome = visit.chrome(&auth);
    if about.request.is_empty() {
        return visit.answer(&auth, go(&chrome.path(own_path(&about.next))));
    }
    let response = match waiting(&auth, &visit, &about.request).await {
        Ok(Some(asked)) => authorize::proceed(&auth, &visit, asked).await,
        Ok(None) => authorize::gone(&chrome),
        Err(error) => broken(&chrome, error),
    };
    visit.answer(&auth, response)
}

/// Which account?
pub(crate) async fn choose(
    State(auth): State<Arc<Auth>>,
    visit: Visit,
    Query(about): Query<About>,
) -> Response {
    let chrome = visit.chrome(&auth);
    let waiting = waiting(&auth, &visit, &about.request).await;
    let response = match (waiting, &chrome.user) {
        (Ok(Some(asked)), Some(user)) => {
            let client = asked.client.name.as_str();
            let page = Choose { chrome: &chrome, client, user, request: &about.request };
            let policy = Policy::leading_to(&asked.request.reply.redirect_uri);
            render_with(&page, StatusCode::OK, &policy)
        }
        (Ok(Some(_)), None) => go(&chrome.path(&with_about("/account/login", &about))),
        (Ok(None), _) => authorize::gone(&chrome),
        (Err(error), _) => broken(&chrome, error),
    };
    visit.answer(&auth, response)
}

/// This account, or another one.
pub(crate) async fn chosen(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let about = about(&form);
    let chrome = visit.chrome(&auth);
    if form.get("decision") != Some("this") {
        return go(&chrome.path(&with_about("/account/login", &about)));
    }
    let noted = async {
        // Only a request of this browser.
        if waiting(&auth, &visit, &about.request).await?.is_some() {
            auth.choose_account(&about.request).await?;
        }
        Ok(())
    };
    match noted.await {
        Ok(()) => go(&chrome.path(&with_about("/account/continue", &about))),
        Err(error) => broken(&chrome, error),
    }
}

fn show(
    auth: &Auth,
    visit: &Visit,
    waiting: Option<&Asked>,
    about: &About,
    username: &str,
    wrong: Option<&str>,
) -> Response {
    let chrome = visit.chrome(auth);
    let page = Login {
        chrome: &chrome,
        client: waiting.map(|asked| asked.client.name.as_str()),
        wrong,
        username,
        again: visit.session.is_some(),
        request: &about.request,
        next: own_path(&about.next),
        can_register: auth.config().registration == crate::Registration::Open,
        upstreams: auth.upstreams(),
        query: with_about("", about),
    };
    let policy = waiting
        .map(|asked| Policy::leading_to(&asked.request.reply.redirect_uri))
        .unwrap_or_default();
    let policy = Policy { scripts: true, ..policy };
    render_with(&page, StatusCode::OK, &policy)
}

/// The request of this name, if it waits for this browser.
pub(crate) async fn waiting(
    auth: &Auth,
    visit: &Visit,
    name: &str,
) -> Result<Option<Asked>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    let pending = auth.pending_request(name, &visit.secret_hash()).await?;
    let Some((progress, parameters)) = pending else { return Ok(None) };
    read(auth, name, progress, &parameters).await
}

async fn read(
    auth: &Auth,
    name: &str,
    progress: Progress,
    parameters: &str,
) -> Result<Option<Asked>, Error> {
    let Ok(form) = Form::parse(parameters.as_bytes()) else { return Ok(None) };
    let Some(client) = auth.client(form.get("client_id").unwrap_or_default()).await? else {
        return Ok(None);
    };
    // It was read before; what changed meanwhile (an address taken off the client) ends it.
    let asked = authorize::asked(auth, client, &form).ok();
    Ok(asked.map(|asked| Asked { pending: Some((name.to_owned(), progress)), ..asked }))
}

/// The request and the page that a form names.
pub(crate) fn about(form: &Form) -> About {
    let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
    About { request: text("request"), next: text("next") }
}

/// A path of ours with both.
pub(crate) fn with_about(path: &str, about: &About) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if !about.request.is_empty() {
        query.append_pair("request", &about.request);
    }
    if !about.next.is_empty() {
        query.append_pair("next", own_path(&about.next));
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// One of our pages, whatever somebody wrote into a link: a path below `/account`, of plain letters.
pub(crate) fn own_path(next: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_');
    let is_own = next.strip_prefix("/account").is_some_and(|rest| {
        (rest.is_empty() || rest.starts_with('/'))
            && rest.len() <= 200
            && rest.bytes().all(is_plain)
            && !rest.contains("//")
    });
    if is_own { next } else { "/account" }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        for own in ["/account", "/account/device", "/account/sessions"] {
            assert_eq!(own_path(own), own);
        }
        for other in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/account//evil.example",
            "/account/../oauth/logout",
            "/account\\@evil",
            "/accountant",
            "/oauth/authorize?x",
            "javascript:alert(1)",
            "/account/\r\nset-cookie: a=b",
            "/account/device?user_code=BCDF",
        ] {
            assert_eq!(own_path(other), "/account", "{other}");
        }
    }
}

//! Asking a person whether an application may have what it asks for.
//!
//! What is agreed to is what was kept when the request came, not what the form sends back: the form only
//! names the request and says yes or no.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;

use super::{
    Chrome, Policy, broken,
    browser::{Posted, Visit},
    go,
    login::{self, About, with_about},
    render_with,
};
use crate::{
    Error,
    domain::{
        browser_sessions::BrowserSession,
        consents::{in_words, is_about_agents, is_suspicious},
        requests::{Prompts, Step, givable},
    },
    logic::Auth,
    oidc::authorize::{self, Asked, Refusal},
};

#[derive(Template)]
#[template(path = "consent.html")]
struct Page<'a> {
    chrome: &'a Chrome,
    client: &'a str,
    user: &'a str,
    /// Whether the application registered itself, so that its name is only a claim.
    is_unverified: bool,
    /// Whether the name looks like one of ours, or has letters that look like others.
    is_suspicious: bool,
    /// What it wants, in words; and whether it can act through agents or tools with it.
    scopes: Vec<(String, bool)>,
    resources: &'a [String],
    /// Where the browser goes on.
    host: &'a str,
    request: &'a str,
}

/// The page.
pub(crate) async fn page(
    State(auth): State<Arc<Auth>>,
    visit: Visit,
    Query(about): Query<About>,
) -> Response {
    let chrome = visit.chrome(&auth);
    let response = match show(&auth, &visit, &about).await {
        Ok(response) => response,
        Err(error) => broken(&chrome, error),
    };
    visit.answer(&auth, response)
}

async fn show(auth: &Auth, visit: &Visit, about: &About) -> Result<Response, Error> {
    let chrome = visit.chrome(auth);
    let Some(asked) = login::waiting(auth, visit, &about.request).await? else {
        return Ok(authorize::gone(&chrome));
    };
    let Some(session) = &visit.session else {
        return Ok(go(&chrome.path(&with_about("/account/login", about))));
    };
    let scopes = scopes(auth, session, &asked).await?;
    let (request, client) = (&asked.request, &asked.client);
    let page = Page {
        chrome: &chrome,
        client: &client.name,
        user: chrome.user.as_deref().unwrap_or_default(),
        is_unverified: client.dynamic,
        is_suspicious: client.dynamic && is_suspicious(&client.name),
        scopes: scopes.iter().map(|one| (in_words(one), is_about_agents(one))).collect(),
        resources: &request.resources,
        host: &host_of(&request.reply.redirect_uri),
        request: &about.request,
    };
    let policy = Policy::leading_to(&request.reply.redirect_uri);
    Ok(render_with(&page, StatusCode::OK, &policy))
}

/// Yes or no.
pub(crate) async fn submit(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let about = login::about(&form);
    let chrome = visit.chrome(&auth);
    let allowed = form.get("decision") == Some("allow");
    match decide(&auth, &visit, &about, allowed).await {
        Ok(response) => response,
        Err(error) => broken(&chrome, error),
    }
}

async fn decide(
    auth: &Auth,
    visit: &Visit,
    about: &About,
    allowed: bool,
) -> Result<Response, Error> {
    let chrome = visit.chrome(auth);
    let Some(asked) = login::waiting(auth, visit, &about.request).await? else {
        return Ok(authorize::gone(&chrome));
    };
    let Some(session) = &visit.session else {
        return Ok(go(&chrome.path(&with_about("/account/login", about))));
    };
    if !allowed {
        auth.finish_request(&about.request).await?;
        auth.declined(&session.user_id, &asked.client.id);
        let text = "the user said no".to_owned();
        let refusal = Refusal::Reply(asked.request.reply, "access_denied", text);
        return Ok(authorize::refuse(auth, &chrome, &refusal));
    }
    // The consent is here now; everything else has to hold as before.
    let mut request = asked.request.clone();
    request.prompts = Prompts { consent: false, ..request.prompts };
    let progress = asked.pending.as_ref().map(|(_, progress)| progress);
    if request.step(Some(session), progress, true, true, auth.now()) != Step::Grant {
        return Ok(go(&chrome.path(&with_about("/account/continue", about))));
    }
    let scopes = scopes(auth, session, &asked).await?;
    let client = &asked.client;
    auth.agree(&session.user_id, client, &scopes, &asked.request.resources).await?;
    authorize::grant(auth, visit, &asked, scopes).await
}

async fn scopes(
    auth: &Auth,
    session: &BrowserSession,
    asked: &Asked,
) -> Result<Vec<String>, Error> {
    Ok(givable(&asked.request.scopes, &auth.rights_of(&session.user_id).await?))
}

/// The host of an address, or its scheme if it has none.
fn host_of(address: &str) -> String {
    let Ok(url) = url::Url::parse(address) else { return String::new() };
    url.host_str().map_or_else(|| format!("{}:", url.scheme()), str::to_owned)
}

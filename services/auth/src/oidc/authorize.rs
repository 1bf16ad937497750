//! `/oauth/authorize`: an application sends a browser here (OpenID Connect Core section 3.1.2, OAuth 2.1).
//!
//! The client and the address for the answer come first: while either is wrong, nothing is sent anywhere
//! and the person in front of the browser is told. Everything else that is wrong goes to the application,
//! with `iss` (RFC 9207) like every answer. A request that comes as a form is kept and asked for again as a
//! page, because browsers do not send the session's cookie with forms of other sites.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::{error::OauthError, form::Form};
use crate::{
    contract,
    domain::{
        clients::{AUTHORIZATION_CODE, Client},
        principals::CLASSES,
        redirects,
        requests::{
            AuthorizationRequest, Progress, Prompts, ReplyTo, ResponseMode, Step, fits, givable,
            known_scopes, may_ask_for,
        },
    },
    logic::Auth,
    pages::{self, Chrome, Policy, browser::Visit},
    store::Kind,
};

/// The longest `state`, `nonce`, `scope` and hints, in bytes.
const MAX_TEXT: usize = 2_000;
/// The longest `max_age` that means anything, in seconds: a hundred years.
const MAX_AGE: u64 = 100 * 365 * 24 * 3600;

/// Why a request is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody can be told but the person in front of the browser.
    Page(String),
    /// The application is told: a code and a description.
    Reply(ReplyTo, &'static str, String),
}

/// A request together with who sent it and how it is kept.
pub(crate) struct Asked {
    pub(crate) client: Arc<Client>,
    pub(crate) request: AuthorizationRequest,
    /// The parameters, as they are kept.
    pub(crate) encoded: String,
    /// Its name and what is known of it, if its user was seen before.
    pub(crate) pending: Option<(String, Progress)>,
}

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPost<'a> {
    chrome: &'a Chrome,
    action: &'a str,
    values: &'a [(&'a str, &'a str)],
}

/// As a link or redirect.
pub(crate) async fn get(
    State(auth): State<Arc<Auth>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let answer = match opened(&auth, query.as_deref().unwrap_or_default().as_bytes()).await {
        Ok(asked) => proceed(&auth, &visit, asked).await,
        Err(refusal) => refuse(&auth, &visit.chrome(&auth), &refusal),
    };
    visit.answer(&auth, answer)
}

/// As a form.
pub(crate) async fn post(
    State(auth): State<Arc<Auth>>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let chrome = Chrome::new(&auth.config().issuer);
    if query.is_some_and(|query| !query.is_empty()) {
        let text = "The application sent its request in two places at once.";
        return refuse(&auth, &chrome, &Refusal::Page(text.to_owned()));
    }
    let asked = match opened(&auth, &body).await {
        Ok(asked) => asked,
        Err(refusal) => return refuse(&auth, &chrome, &refusal),
    };
    match auth.push_request(Kind::Posted, &asked.client.id, &asked.encoded).await {
        Ok(name) => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("client_id", &asked.client.id).append_pair("request_uri", &name);
            pages::go(&chrome.path(&format!("/oauth/authorize?{}", query.finish())))
        }
        Err(error) => pages::broken(&chrome, error),
    }
}

/// Reads a request, and the one that it stands for if it was pushed before.
async fn opened(auth: &Auth, text: &[u8]) -> Result<Asked, Refusal> {
    let page = |text: &str| Refusal::Page(text.to_owned());
    let form = Form::parse(text).map_err(|error| Refusal::Page(error.description))?;
    let id = form.get("client_id").ok_or_else(|| page("The application did not say who it is."))?;
    let found = auth.client(id).await;
    let client = found.map_err(|_| page("The application cannot be looked up now. Try again."))?;
    let client = client.ok_or_else(|| page("The application is not known here."))?;
    let pushed = form.get("request_uri").filter(|uri| uri.starts_with("urn:"));
    let Some(uri) = pushed else {
        if client.require_par {
            let reply = reply_to(&client, &form)?;
            let text = "this client has to push its authorization requests (RFC 9126)";
            return Err(Refusal::Reply(reply, "invalid_request", text.to_owned()));
        }
        return asked(auth, client, &form);
    };
    let taken = auth.take_pushed(uri, &client.id).await.ok().flatten();
    let Some((kind, parameters)) = taken else {
        return Err(page(
            "This request has expired or was used before. Go back to the application and start again.",
        ));
    };
    if client.require_par && kind != Kind::Pushed {
        return Err(page("The application has to push its requests, and this one was not."));
    }
    let form =
        Form::parse(parameters.as_bytes()).map_err(|error| Refusal::Page(error.description))?;
    asked(auth, client, &form)
}

/// Reads the parameters of a request of this client.
pub(crate) fn asked(auth: &Auth, client: Arc<Client>, form: &Form) -> Result<Asked, Refusal> {
    let reply = reply_to(&client, form)?;
    let request = read(auth, &client, form, &reply)
        .map_err(|error| Refusal::Reply(reply, error.code, error.description))?;
    Ok(Asked { client, request, encoded: form.encode(), pending: None })
}

/// Where the answer goes. Errors before this is known are for the person.
fn reply_to(client: &Client, form: &Form) -> Result<ReplyTo, Refusal> {
    let page = |text: &str| Refusal::Page(text.to_owned());
    let uri = form
        .get("redirect_uri")
        .ok_or_else(|| page("The application did not say where to send you back to."))?;
    if fits(uri, &client.redirect_uris).is_none() {
        return Err(page(
            "The application wants to send you to an address that is not registered for it. If you are \
             its developer, register this exact redirect_uri.",
        ));
    }
    if !client.may(AUTHORIZATION_CODE) {
        return Err(page("The application is not one that people sign in to."));
    }
    let state = form.get("state").map(str::to_owned);
    let query = ReplyTo { redirect_uri: uri.to_owned(), mode: ResponseMode::Query, state };
    let wrong = |reply, text: &str| Err(Refusal::Reply(reply, "invalid_request", text.to_owned()));
    if query.state.as_ref().is_some_and(|state| state.len() > MAX_TEXT) {
        let reply = ReplyTo { state: None, ..query };
        return wrong(reply, "state must have at most 2,000 bytes");
    }
    match form.get("response_mode") {
        None | Some("query") => Ok(query),
        Some("form_post") => Ok(ReplyTo { mode: ResponseMode::FormPost, ..query }),
        Some(_) => wrong(query, "response_mode must be query or form_post"),
    }
}

fn read(
    auth: &Auth,
    client: &Client,
    form: &Form,
    reply: &ReplyTo,
) -> Result<AuthorizationRequest, OauthError> {
    let invalid = |text: &str| OauthError::invalid_request(text);
    refuse_unsupported(form)?;
    match form.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(OauthError::new("unsupported_response_type", "use code")),
        None => return Err(invalid("response_type is missing; use code")),
    }
    let challenge = form
        .get("code_challenge")
        .ok_or_else(|| invalid("code_challenge is missing: every client needs PKCE (RFC 7636)"))?;
    if form.get("code_challenge_method") != Some("S256") {
        return Err(invalid("code_challenge_method must be S256"));
    }
    if !is_hash(challenge) {
        return Err(invalid("code_challenge must be BASE64URL(SHA256(code_verifier))"));
    }
    for name in ["nonce", "scope", "login_hint", "acr_values", "prompt"] {
        if form.get(name).is_some_and(|text| text.len() > MAX_TEXT) {
            return Err(invalid(&format!("{name} must have at most 2,000 bytes")));
        }
    }
    let jkt = form.get("dpop_jkt");
    if jkt.is_some_and(|jkt| !is_hash(jkt)) {
        return Err(invalid("dpop_jkt must be a SHA-256 thumbprint (RFC 7638)"));
    }
    let prompts = Prompts::parse(form.get("prompt").unwrap_or_default())
        .ok_or_else(|| invalid("prompt=none cannot be combined with others"))?;
    let hinted_user = match form.get("id_token_hint") {
        Some(hint) => {
            Some(auth.hint(hint).ok_or_else(|| invalid("id_token_hint is not ours"))?.sub)
        }
        None => None,
    };
    let (claims, needs_strong) = claims(form.get("claims"))?;
    Ok(AuthorizationRequest {
        client_id: client.id.clone(),
        is_exact: fits(&reply.redirect_uri, &client.redirect_uris) == Some(true),
        reply: reply.clone(),
        challenge: challenge.to_owned(),
        scopes: scopes(client, form.get("scope").unwrap_or_default())?,
        nonce: form.get("nonce").map(str::to_owned),
        prompts,
        max_age: form.get("max_age").map(max_age).transpose()?,
        login_hint: form.get("login_hint").map(str::to_owned),
        hinted_user,
        claims,
        needs_strong,
        resources: resources(auth, form)?,
        jkt: jkt.map(str::to_owned),
    })
}

/// What OpenID Connect has a code of its own for.
fn refuse_unsupported(form: &Form) -> Result<(), OauthError> {
    for (name, code) in [
        ("request", "request_not_supported"),
        ("request_uri", "request_uri_not_supported"),
        ("registration", "registration_not_supported"),
    ] {
        if form.get(name).is_some() {
            return Err(OauthError::new(code, format!("{name} is not supported")));
        }
    }
    Ok(())
}

/// The scopes of a request, which the client may ask for.
pub(crate) fn scopes(client: &Client, asked: &str) -> Result<Vec<String>, OauthError> {
    let scopes = known_scopes(asked, contract::permissions());
    if scopes.is_empty() && !client.first_party {
        return Err(OauthError::new("invalid_scope", "scope names nothing that is known here"));
    }
    let refused = scopes.iter().find(|scope| !may_ask_for(client, scope));
    match refused {
        None => Ok(scopes),
        Some(scope) => {
            Err(OauthError::new("invalid_scope", format!("this client may not ask for {scope}")))
        }
    }
}

/// The resource indicators (RFC 8707 section 2).
pub(crate) fn resources(auth: &Auth, form: &Form) -> Result<Vec<String>, OauthError> {
    let resources = form.all("resource");
    let is_one = |text: &String| auth.config().resources.contains_key(text);
    if resources.len() > 10 || !resources.iter().all(is_one) {
        let text = "a resource is none that tokens are given for, or there are more than 10";
        return Err(OauthError::new("invalid_target", text));
    }
    Ok(resources)
}

fn max_age(text: &str) -> Result<Duration, OauthError> {
    let seconds: u64 = text
        .parse()
        .map_err(|_| OauthError::invalid_request("max_age must be a number of seconds"))?;
    Ok(Duration::from_secs(seconds.min(MAX_AGE)))
}

/// The `claims` parameter, and whether it insists on two factors (Core section 5.5.1.1).
fn claims(text: Option<&str>) -> Result<(Option<String>, bool), OauthError> {
    let Some(text) = text else { return Ok((None, false)) };
    let invalid = || OauthError::invalid_request("claims must be a JSON object of objects");
    let claims: Value = serde_json::from_str(text).map_err(|_| invalid())?;
    let members = claims.as_object().ok_or_else(invalid)?;
    let is_fine = |name: &str| members.get(name).is_none_or(|one| one.is_object() || one.is_null());
    if !is_fine("id_token") || !is_fine("userinfo") {
        return Err(invalid());
    }
    let acr = &claims["id_token"]["acr"];
    let mut values = acr["values"].as_array().cloned().unwrap_or_default();
    values.extend(acr.get("value").cloned());
    let is_essential = acr["essential"] == Value::Bool(true) && !values.is_empty();
    let wants = |class: &str| values.iter().any(|value| value == class);
    let needs_strong = is_essential && !wants(CLASSES[0]) && wants(CLASSES[1]);
    if is_essential && !wants(CLASSES[0]) && !needs_strong {
        let text = "no authentication context class that is known here is acceptable";
        return Err(OauthError::new("unmet_authentication_requirements", text));
    }
    Ok((Some(text.to_owned()), needs_strong))
}

fn is_hash(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == 43 && text.bytes().all(allowed)
}

/// Does what comes next for a request: shows a page, or answers the application.
pub(crate) async fn proceed(auth: &Auth, visit: &Visit, asked: Asked) -> Response {
    let chrome = visit.chrome(auth);
    match next(auth, visit, &asked).await {
        Ok(response) => response,
        Err(error) => pages::broken(&chrome, error),
    }
}

async fn next(auth: &Auth, visit: &Visit, asked: &Asked) -> Result<Response, crate::Error> {
    let chrome = visit.chrome(auth);
    let (request, client) = (&asked.request, &asked.client);
    let mut scopes = request.scopes.clone();
    let (mut agreed, mut can_be_strong) = (false, false);
    if let Some(session) = &visit.session {
        scopes = givable(&scopes, &auth.rights_of(&session.user_id).await?);
        agreed = auth.has_agreed(&session.user_id, client, request, &scopes).await?;
        can_be_strong =
            request.needs_strong && !auth.second_factors(&session.user_id).await?.is_empty();
    }
    let progress = asked.pending.as_ref().map(|(_, progress)| progress);
    let session = visit.session.as_ref();
    let page = match request.step(session, progress, agreed, can_be_strong, auth.now()) {
        Step::Login => "/account/login",
        Step::Choose => "/account/choose",
        Step::Consent => "/account/consent",
        Step::Refuse(code, text) => {
            if let Some((name, _)) = &asked.pending {
                auth.finish_request(name).await?;
            }
            let refusal = Refusal::Reply(request.reply.clone(), code, text.to_owned());
            return Ok(refuse(auth, &chrome, &refusal));
        }
        Step::Grant => return grant(auth, visit, asked, scopes).await,
    };
    let name = match &asked.pending {
        Some((name, _)) => name.clone(),
        None => {
            let hash = visit.secret_hash();
            auth.suspend_request(&client.id, &asked.encoded, &hash, session).await?
        }
    };
    Ok(pages::go(&chrome.path(&format!("{page}?request={name}"))))
}

/// Gives the application its code.
pub(crate) async fn grant(
    auth: &Auth,
    visit: &Visit,
    asked: &Asked,
    scopes: Vec<String>,
) -> Result<Response, crate::Error> {
    let chrome = visit.chrome(auth);
    if let Some((name, _)) = &asked.pending
        && !auth.finish_request(name).await?
    {
        return Ok(gone(&chrome));
    }
    let Some(session) = &visit.session else { return Ok(gone(&chrome)) };
    let code = auth.give_code(&asked.request, session, scopes).await?;
    Ok(reply(auth, &chrome, &asked.request.reply, &[("code", &code)]))
}

/// Says that a request is over.
pub(crate) fn gone(chrome: &Chrome) -> Response {
    let text = "It took too long, was answered already, or was begun in another browser. Go back to the \
                application and start again.";
    pages::failure(chrome, StatusCode::BAD_REQUEST, "This sign-in has ended", text)
}

/// Tells whoever can be told.
pub(crate) fn refuse(auth: &Auth, chrome: &Chrome, refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Page(text) => {
            let title = "The application made a mistake";
            pages::failure(chrome, StatusCode::BAD_REQUEST, title, text)
        }
        Refusal::Reply(to, code, text) => {
            tracing::debug!(code, text, "an authorization request is refused");
            reply(auth, chrome, to, &[("error", code), ("error_description", text)])
        }
    }
}

/// An answer to the application, with its state and our name.
fn reply(auth: &Auth, chrome: &Chrome, to: &ReplyTo, values: &[(&str, &str)]) -> Response {
    let mut values = values.to_vec();
    if let Some(state) = &to.state {
        values.push(("state", state));
    }
    values.push(("iss", &auth.config().issuer));
    match to.mode {
        ResponseMode::Query => match redirects::with_query(&to.redirect_uri, &values) {
            Some(address) => pages::go(&address),
            None => gone(chrome),
        },
        ResponseMode::FormPost => {
            let page = FormPost { chrome, action: &to.redirect_uri, values: &values };
            let policy = Policy { scripts: true, ..Policy::leading_to(&to.redirect_uri) };
            pages::render_with(&page, StatusCode::OK, &policy)
        }
    }
}

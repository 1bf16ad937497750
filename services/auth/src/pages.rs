//! The pages that people see: signing in, agreeing, their sessions and applications.
//!
//! Rendered here with askama, which escapes every value; they work without JavaScript. Every page goes out
//! through [`render`] or [`render_with`], so none is without its headers: nothing may be loaded from
//! elsewhere, no script runs in the text of a page, no other site may frame it, nothing is kept or told
//! to other sites. Forms carry a token that belongs to the cookie ([`browser::Csrf`]).
//! Another page needs a template that extends `base.html` and has a field `chrome: Chrome`.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::{Error, logic::Auth, oidc::logout};

pub(crate) mod account;
mod ask;
pub(crate) mod assets;
pub(crate) mod browser;
mod consent;
mod device;
pub(crate) mod login;
mod security;
mod upstream;

/// The prefix of the pages, declared in the contract.
pub(crate) const PREFIX: &str = "/account";

/// All pages.
pub(crate) fn router(auth: Arc<Auth>) -> Router {
    Router::new()
        .route("/account", get(account::index))
        .route("/account/assets/{name}", get(assets::asset))
        .route("/account/choose", get(login::choose).post(login::chosen))
        .route("/account/consent", get(consent::page).post(consent::submit))
        .route("/account/consents", get(account::consents).post(account::revoke_consent))
        .route("/account/continue", get(login::resume))
        .route("/account/device", get(device::page).post(device::submit))
        .route("/account/device/decide", post(device::decide))
        .route("/account/login", get(login::page).post(login::submit))
        .route("/account/logout", post(logout::confirm))
        .route("/account/passkeys/login", post(security::finish_login))
        .route("/account/passkeys/login/begin", post(security::begin_login))
        .route("/account/passkeys/register", post(security::finish_passkey))
        .route("/account/passkeys/register/begin", post(security::begin_passkey))
        .route("/account/password", get(ask::password).post(ask::password_given))
        .route("/account/register", get(ask::register).post(ask::register_given))
        .route("/account/reset", get(ask::reset).post(ask::reset_given))
        .route("/account/second-factor", get(ask::second_factor).post(ask::second_factor_given))
        .route("/account/security", get(security::page).post(security::submit))
        .route("/account/upstream/{name}", get(upstream::begin).post(upstream::link))
        .route("/account/upstream/{name}/callback", get(upstream::back))
        .route("/account/verify", get(ask::verify).post(ask::verify_given))
        .route("/account/sessions", get(account::sessions).post(account::end_sessions))
        .layer(axum::middleware::from_fn(crate::oidc::arrival::arrive))
        .with_state(auth)
}

/// What every page shows around its content.
#[derive(Debug, Clone)]
pub(crate) struct Chrome {
    /// The path of the issuer, before every link.
    base: String,
    pub(crate) issuer: String,
    /// The name of whoever is signed in.
    pub(crate) user: Option<String>,
    /// For the hidden field `csrf` of every form.
    pub(crate) csrf: String,
}

/// What a page may do beyond the strictest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    /// Where its forms lead besides this server: browsers count the redirects that follow a form too.
    pub(crate) form_action: Vec<String>,
    /// Whether it loads scripts from this server, and may send requests to it.
    pub(crate) scripts: bool,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    chrome: &'a Chrome,
    title: &'a str,
    text: &'a str,
    is_error: bool,
    link: Option<(&'a str, &'a str)>,
}

#[derive(Template)]
#[template(path = "onward.html")]
struct Onward<'a> {
    chrome: &'a Chrome,
    url: &'a str,
}

// === impl Chrome ===

impl Chrome {
    /// For an issuer, with nobody signed in.
    pub(crate) fn new(issuer: &str) -> Self {
        let path = url::Url::parse(issuer).map(|url| url.path().trim_end_matches('/').to_owned());
        let base = path.unwrap_or_default();
        Self { base, issuer: issuer.to_owned(), user: None, csrf: String::new() }
    }

    /// A link to a page of ours.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A link to a file of ours, under a name that changes with its content.
    pub(crate) fn asset(&self, name: &str) -> String {
        self.path(&assets::path(name))
    }
}

// === impl Policy ===

impl Policy {
    /// Forms that end at an address of an application.
    pub(crate) fn leading_to(address: &str) -> Self {
        Self { form_action: form_source(address).into_iter().collect(), scripts: false }
    }

    fn text(&self) -> String {
        let mut text = "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; \
                        frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
            .to_owned();
        for source in &self.form_action {
            text.push(' ');
            text.push_str(source);
        }
        if self.scripts {
            text.push_str("; script-src 'self'; connect-src 'self'");
        }
        text
    }
}

/// The source expression that covers an address: its origin, or its scheme if it has none.
fn form_source(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    let source = match url.scheme() {
        "http" | "https" => url.origin().ascii_serialization(),
        scheme => format!("{scheme}:"),
    };
    // Nothing that could end the directive or begin another.
    let is_plain = source.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.:/[]".contains(&b));
    is_plain.then_some(source)
}

/// A page with the strictest policy.
pub(crate) fn render(page: &impl Template) -> Response {
    render_with(page, StatusCode::OK, &Policy::default())
}

/// A page.
pub(crate) fn render_with(page: &impl Template, status: StatusCode, policy: &Policy) -> Response {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(error = %error, "a page cannot be rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&policy.text()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    guard(&mut response);
    response
}

/// The headers of everything that a browser gets from here.
pub(crate) fn guard(response: &mut Response) {
    // No Cross-Origin-Opener-Policy: applications open these pages in windows of theirs and wait.
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// A redirect that turns a form into a page (303).
pub(crate) fn go(to: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(to) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    guard(&mut response);
    response
}

/// A page that says what went wrong.
pub(crate) fn failure(chrome: &Chrome, status: StatusCode, title: &str, text: &str) -> Response {
    let link = Some(("/account", "Go to your account"));
    render_with(&Message { chrome, title, text, is_error: true, link }, status, &Policy::default())
}

/// A page that says that something is done.
pub(crate) fn notice(chrome: &Chrome, title: &str, text: &str) -> Response {
    let link = Some(("/account", "Go to your account"));
    render(&Message { chrome, title, text, is_error: false, link })
}

/// A page with a link that leads elsewhere.
pub(crate) fn onward(chrome: &Chrome, url: &str) -> Response {
    render(&Onward { chrome, url })
}

/// A page for an error of the service.
pub(crate) fn broken(chrome: &Chrome, error: Error) -> Response {
    let text = error.to_string();
    let fault = lightning_mesh::fault::Fault::from(error);
    match fault.code() {
        tonic::Code::Internal | tonic::Code::Unknown | tonic::Code::DataLoss => {
            tracing::error!(error = %fault, "a page failed");
            let text = "Something went wrong on our side. Try again in a moment.";
            failure(chrome, StatusCode::INTERNAL_SERVER_ERROR, "This did not work", text)
        }
        tonic::Code::Unavailable | tonic::Code::ResourceExhausted => {
            let mut page =
                failure(chrome, StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment", &text);
            page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            page
        }
        tonic::Code::Ok
        | tonic::Code::Cancelled
        | tonic::Code::InvalidArgument
        | tonic::Code::DeadlineExceeded
        | tonic::Code::NotFound
        | tonic::Code::AlreadyExists
        | tonic::Code::PermissionDenied
        | tonic::Code::FailedPrecondition
        | tonic::Code::Aborted
        | tonic::Code::OutOfRange
        | tonic::Code::Unimplemented
        | tonic::Code::Unauthenticated => {
            failure(chrome, StatusCode::BAD_REQUEST, "This did not work", &text)
        }
    }
}

#[cfg(test)]
mod tests;

//! The browser behind a request: its cookie, its session, and the proof that a form came from a page of
//! ours.
//!
//! Every browser gets a random secret in one cookie, before it signs in too, and forms carry a token that
//! is made of it: another site can send a form here, but not read the token. What browsers say about
//! where a request comes from is checked as well. Before anybody signs in nothing is kept here of a
//! browser, so visitors cost no row.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Request},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};

use super::{Chrome, failure};
use crate::{
    domain::browser_sessions::{BrowserSession, CookieSecret, Origin},
    logic::Auth,
    oidc::{
        CallerAddress,
        form::{Form, MAX_FORM},
    },
};

/// The hidden field of every form.
pub(crate) const CSRF_FIELD: &str = "csrf";

/// The token for the forms of one browser.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Csrf(String);

/// A browser that asks for a page.
pub(crate) struct Visit {
    secret: CookieSecret,
    /// Whether the browser has the secret already.
    is_known: bool,
    /// Who is signed in.
    pub(crate) session: Option<BrowserSession>,
    /// Who gave a password and still has to give a further factor.
    pub(crate) half: Option<BrowserSession>,
    /// The name of whoever is signed in.
    user_name: Option<String>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) origin: Origin,
}

/// A form that a page of ours sent.
pub(crate) struct Posted {
    pub(crate) visit: Visit,
    pub(crate) form: Form,
}

/// Sets cookies; one for each issuer scheme.
pub(crate) struct Cookie {
    name: &'static str,
    is_secure: bool,
}

// === impl Csrf ===

impl Csrf {
    pub(crate) fn of(secret: &CookieSecret) -> Self {
        Self(secret.form_token())
    }

    /// For the hidden field.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    fn fits(&self, sent: Option<&str>) -> bool {
        let sent = sent.unwrap_or_default().as_bytes();
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), sent).is_ok()
    }
}

// === impl Cookie ===

impl Cookie {
    /// With the `__Host-` prefix no other host and no plain connection can set it; over plain HTTP, which
    /// is for one machine alone, browsers refuse such a cookie.
    pub(crate) fn new(issuer: &str) -> Self {
        let is_secure = issuer.starts_with("https://");
        let name = if is_secure { "__Host-lightning_session" } else { "lightning_session" };
        Self { name, is_secure }
    }

    fn read(&self, headers: &HeaderMap) -> Option<CookieSecret> {
        let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut found = values
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name)
            .map(|(_, value)| CookieSecret::parse(value));
        // Two of the same name: one was planted, and nobody can tell which.
        let first = found.next().flatten();
        if found.next().is_some() { None } else { first }
    }

    fn write(&self, secret: &str, max_age: u64) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!(
            "{}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}",
            self.name
        );
        HeaderValue::from_str(&text).expect("the secret is letters and digits")
    }

    /// Gives a browser its secret.
    pub(crate) fn set(&self, response: &mut Response, secret: &CookieSecret, max_age: u64) {
        let value = self.write(secret.expose(), max_age);
        response.headers_mut().append(header::SET_COOKIE, value);
    }

    /// Takes it away.
    pub(crate) fn clear(&self, response: &mut Response) {
        response.headers_mut().append(header::SET_COOKIE, self.write("", 0));
    }
}

// === impl Visit ===

impl Visit {
    pub(crate) fn csrf(&self) -> Csrf {
        Csrf::of(&self.secret)
    }

    /// What is kept of the cookie.
    pub(crate) fn secret_hash(&self) -> String {
        self.secret.hash()
    }

    /// What every page shows.
    pub(crate) fn chrome(&self, auth: &Auth) -> Chrome {
        Chrome {
            user: self.user_name.clone(),
            csrf: self.csrf().expose().to_owned(),
            ..Chrome::new(&auth.config().issuer)
        }
    }

    /// The response, with the cookie if the browser has none.
    pub(crate) fn answer(&self, auth: &Auth, mut response: Response) -> Response {
        if !self.is_known {
            let max_age = auth.config().browser_session_lifetime.as_secs();
            Cookie::new(&auth.config().issuer).set(&mut response, &self.secret, max_age);
        }
        response
    }

    async fn read(parts: &Parts, auth: &Auth) -> Result<Self, Response> {
        let CallerAddress(address) = CallerAddress::of(parts);
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let origin = Origin::new(address, agent.unwrap_or_default());
        let sent = Cookie::new(&auth.config().issuer).read(&parts.headers);
        let is_known = sent.is_some();
        let secret = sent.unwrap_or_else(CookieSecret::generate);
        let mut visit =
            Self { secret, is_known, session: None, half: None, user_name: None, address, origin };
        if is_known {
            let found = auth.signed_in(&visit.secret).await;
            let found = found.map_err(|e| super::broken(&visit.chrome(auth), e))?;
            match found {
                Some((session, _)) if session.is_half => visit.half = Some(session),
                Some((session, user)) => {
                    visit.user_name = Some(user.name().to_owned());
                    visit.session = Some(session);
                }
                None => {}
            }
        }
        Ok(visit)
    }
}

impl FromRequestParts<Arc<Auth>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self, Response> {
        Self::read(parts, auth).await
    }
}

// === impl Posted ===

impl FromRequest<Arc<Auth>> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, auth: &Arc<Auth>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let visit = Visit::read(&parts, auth).await?;
        let chrome = visit.chrome(auth);
        let refuse = |text: &str| {
            visit.answer(auth, failure(&chrome, StatusCode::FORBIDDEN, "Please try again", text))
        };
        if !comes_from_us(&parts.headers, &auth.config().issuer) {
            return Err(refuse("The form came from another site, so nothing was done."));
        }
        let is_form = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let bytes = to_bytes(body, MAX_FORM).await.unwrap_or_default();
        let form = if is_form { Form::parse(&bytes).ok() } else { None };
        let Some(form) = form else {
            return Err(refuse("The form could not be read."));
        };
        if !visit.csrf().fits(form.get(CSRF_FIELD)) {
            return Err(refuse(
                "The form was too old, or cookies are blocked. Go back, load the page again and retry.",
            ));
        }
        Ok(Self { visit, form })
    }
}

/// Whether what the browser says about the origin of a form speaks for us. A browser that says nothing
/// is left to the token in the form. Our pages send no referrer, for which browsers write the origin of
/// their forms as `null`; `Sec-Fetch-Site` tells even then.
fn comes_from_us(headers: &HeaderMap, issuer: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match text("origin") {
        None | Some("null") => true,
        Some(origin) => {
            let host = text("host");
            let name = origin.split_once("://").map(|(_, name)| name);
            origin == origin_of(issuer) || (host.is_some() && name == host)
        }
    }
}

fn origin_of(issuer: &str) -> String {
    url::Url::parse(issuer).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

#[cfg(test)]
mod tests;

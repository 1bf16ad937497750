//! Pages that ask for one thing and say what became of it: a code after the password, a new password, a
//! confirmed address, a new account.
//!
//! A link out of a message only shows a page; what it is for happens when its button is pressed, because
//! programs that look through messages open links too.

use crate::error::FactorError;
use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;
use lightning_mesh::{config::Secret, identity::Caller};
use serde::Deserialize;

use super::{
    Chrome, Policy, account, broken,
    browser::{Posted, Visit},
    go,
    login::{self, About},
    notice, render_with,
};
use crate::{Error, domain::users::Draft, logic::Auth};

/// A page with a form.
#[derive(Template)]
#[template(path = "ask.html")]
struct Ask<'a> {
    chrome: &'a Chrome,
    title: &'a str,
    lead: &'a str,
    wrong: Option<String>,
    action: &'a str,
    hidden: Vec<(&'a str, &'a str)>,
    fields: Vec<Field<'a>>,
    button: &'a str,
    back: (&'a str, &'a str),
}

#[derive(Clone, Copy)]
struct Field<'a> {
    name: &'a str,
    label: &'a str,
    kind: &'a str,
    complete: &'a str,
    hint: &'a str,
    value: &'a str,
    required: bool,
}

/// The number of a link.
#[derive(Default, Deserialize)]
pub(crate) struct Token {
    #[serde(default)]
    token: String,
}

const NEW_PASSWORD: &str = "At least 15 characters; a few unrelated words make a good one.";
const TO_LOGIN: (&str, &str) = ("/account/login", "Back to signing in");

// === impl Field ===

impl<'a> Field<'a> {
    const fn text(name: &'a str, label: &'a str, complete: &'a str, value: &'a str) -> Self {
        Self { name, label, kind: "text", complete, hint: "", value, required: true }
    }

    const fn password(name: &'a str, label: &'a str, complete: &'a str) -> Self {
        Self { name, label, kind: "password", complete, hint: "", value: "", required: true }
    }

    const fn hint(self, hint: &'a str) -> Self {
        Self { hint, ..self }
    }
}

/// Shows a form, again if something was wrong with it.
fn show(page: &Ask<'_>) -> Response {
    let status = if page.wrong.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    render_with(page, status, &Policy::default())
}

/// Whether an error is about what was typed, so that the form is shown again.
pub(super) fn typed_wrong(error: &Error) -> bool {
    let fault = matches!(error, Error::CredentialsInvalid | Error::AccountLocked { .. });
    fault
        || matches!(
            error,
            Error::PasswordWeak(_)
                | Error::UserInvalid(_)
                | Error::UserExists { .. }
                | Error::Factor(FactorError::FactorInvalid(_))
        )
}

fn sentence(error: &Error) -> String {
    let text = if matches!(error, Error::CredentialsInvalid) {
        "the code is wrong, or was used before".to_owned()
    } else {
        error.to_string()
    };
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).chain(['.']).collect()
    })
}

fn second_factor_page<'a>(chrome: &'a Chrome, about: &'a About, wrong: Option<String>) -> Ask<'a> {
    Ask {
        chrome,
        title: "One more step",
        lead: "Type the code that your authenticator app shows, or a recovery code.",
        wrong,
        action: "/account/second-factor",
        hidden: vec![("request", &about.request), ("next", &about.next)],
        fields: vec![Field::text("code", "Code", "one-time-code", "")],
        button: "Continue",
        back: TO_LOGIN,
    }
}

/// Asks for the code of somebody whose password was right.
pub(crate) async fn second_factor(
    State(auth): State<Arc<Auth>>,
    visit: Visit,
    Query(about): Query<About>,
) -> Response {
    let chrome = visit.chrome(&auth);
    if visit.half.is_none() {
        return go(&chrome.path(&login::with_about("/account/login", &about)));
    }
    show(&second_factor_page(&chrome, &about, None))
}

/// Takes it.
pub(crate) async fn second_factor_given(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let (chrome, about) = (visit.chrome(&auth), login::about(&form));
    let Some(half) = &visit.half else {
        return go(&chrome.path(&login::with_about("/account/login", &about)));
    };
    let (code, hash) = (form.get("code").unwrap_or_default(), visit.secret_hash());
    match auth.sign_in_with_code(half, code, &hash, visit.origin.clone()).await {
        Ok(signed_in) => login::go_on(&auth, &signed_in, &about),
        Err(error) if typed_wrong(&error) => {
            show(&second_factor_page(&chrome, &about, Some(sentence(&error))))
        }
        Err(error) => broken(&chrome, error),
    }
}

fn reset_page<'a>(chrome: &'a Chrome, token: &'a str, wrong: Option<String>) -> Ask<'a> {
    let (lead, fields, button) = if token.is_empty() {
        let name = Field::text("username", "User name or e-mail address", "username", "");
        ("A link to set it anew goes to the e-mail address of the account.", name, "Send the link")
    } else {
        let new = Field::password("new_password", "New password", "new-password");
        ("It signs you out everywhere else.", new.hint(NEW_PASSWORD), "Set the password")
    };
    Ask {
        chrome,
        title: "Set your password anew",
        lead,
        wrong,
        action: "/account/reset",
        hidden: vec![("token", token)],
        fields: vec![fields],
        button,
        back: TO_LOGIN,
    }
}

/// Asks whose password it is, or for the new one.
pub(crate) async fn reset(
    State(auth): State<Arc<Auth>>,
    visit: Visit,
    Query(token): Query<Token>,
) -> Response {
    let chrome = visit.chrome(&auth);
    let response = if token.token.is_empty() && auth.config().mail.is_none() {
        broken(&chrome, Error::Factor(FactorError::MailOff))
    } else {
        show(&reset_page(&chrome, &token.token, None))
    };
    visit.answer(&auth, response)
}

/// Sends the link, or sets the password.
pub(crate) async fn reset_given(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    let token = form.get("token").unwrap_or_default();
    if token.is_empty() {
        return match auth.request_reset(form.get("username").unwrap_or_default(), visit.address) {
            Ok(()) => notice(
                &chrome,
                "Look into your mailbox",
                "If there is such an account with an e-mail address, a link is on its way. It is good \
                 for 30 minutes.",
            ),
            Err(error) => broken(&chrome, error),
        };
    }
    let new = Secret::new(form.get("new_password").unwrap_or_default());
    match auth.complete_reset(token, &new, visit.address).await {
        Ok(()) => notice(&chrome, "The password is set", "Sign in with it now."),
        Err(error) if typed_wrong(&error) => {
            show(&reset_page(&chrome, token, Some(sentence(&error))))
        }
        Err(error) => broken(&chrome, error),
    }
}

/// Asks to press the button that confirms an address.
pub(crate) async fn verify(
    State(auth): State<Arc<Auth>>,
    visit: Visit,
    Query(token): Query<Token>,
) -> Response {
    let chrome = visit.chrome(&auth);
    let page = Ask {
        chrome: &chrome,
        title: "Confirm your e-mail address",
        lead: "Press the button to confirm that the message reached you.",
        wrong: None,
        action: "/account/verify",
        hidden: vec![("token", &token.token)],
        fields: Vec::new(),
        button: "Confirm",
        back: ("/account", "Go to your account"),
    };
    visit.answer(&auth, show(&page))
}

/// Confirms it.
pub(crate) async fn verify_given(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    match auth.prove_email(form.get("token").unwrap_or_default(), visit.address).await {
        Ok(()) => notice(&chrome, "Thank you", "Your e-mail address is confirmed."),
        Err(error) => broken(&chrome, error),
    }
}

fn register_page<'a>(
    chrome: &'a Chrome,
    username: &'a str,
    email: &'a str,
    wrong: Option<String>,
) -> Ask<'a> {
    let email = Field::text("email", "E-mail address (optional)", "email", email);
    let new = Field::password("password", "Password", "new-password");
    Ask {
        chrome,
        title: "Create an account",
        lead: "You need a name and a password.",
        wrong,
        action: "/account/register",
        hidden: Vec::new(),
        fields: vec![
            Field::text("username", "User name", "username", username)
                .hint("1 to 64 of the letters a to z, digits, dot, underscore and hyphen."),
            Field { required: false, ..email },
            new.hint(NEW_PASSWORD),
        ],
        button: "Create the account",
        back: TO_LOGIN,
    }
}

/// Asks for what makes an account, if anyone may have one.
pub(crate) async fn register(State(auth): State<Arc<Auth>>, visit: Visit) -> Response {
    let chrome = visit.chrome(&auth);
    let response = match auth.config().registration {
        crate::Registration::Open => show(&register_page(&chrome, "", "", None)),
        crate::Registration::Closed => broken(&chrome, Error::RegistrationClosed),
    };
    visit.answer(&auth, response)
}

/// Makes it.
pub(crate) async fn register_given(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    let text = |name: &str| form.get(name).unwrap_or_default();
    let mut caller = Caller::anonymous();
    caller.address = visit.address;
    let password = Secret::new(text("password"));
    let registered = match Draft::try_new(text("username"), text("email"), "", Vec::new()) {
        Ok(draft) => auth.register(&caller, draft, &password).await,
        Err(wrong) => Err(Error::user_invalid(wrong)),
    };
    match registered {
        Ok(_) => notice(&chrome, "Welcome", "Your account is there. Sign in with it now."),
        Err(error) if typed_wrong(&error) => {
            let wrong = Some(sentence(&error));
            show(&register_page(&chrome, text("username"), text("email"), wrong))
        }
        Err(error) => broken(&chrome, error),
    }
}

fn password_page(chrome: &Chrome, wrong: Option<String>) -> Ask<'_> {
    let new = Field::password("new_password", "New password", "new-password");
    Ask {
        chrome,
        title: "Change the password",
        lead: "It signs you out everywhere else.",
        wrong,
        action: "/account/password",
        hidden: Vec::new(),
        fields: vec![
            Field::password("current_password", "Present password", "current-password"),
            new.hint(NEW_PASSWORD),
        ],
        button: "Change the password",
        back: ("/account/security", "Back to security"),
    }
}

/// Asks for the old and the new password.
pub(crate) async fn password(State(auth): State<Arc<Auth>>, visit: Visit) -> Response {
    let chrome = visit.chrome(&auth);
    let response = match account::signed_in(&visit, &chrome, "/account/password") {
        Ok(_) => show(&password_page(&chrome, None)),
        Err(response) => response,
    };
    visit.answer(&auth, response)
}

/// Changes it.
pub(crate) async fn password_given(State(auth): State<Arc<Auth>>, posted: Posted) -> Response {
    let Posted { visit, form } = posted;
    let chrome = visit.chrome(&auth);
    let session = match account::signed_in(&visit, &chrome, "/account/password") {
        Ok(session) => session,
        Err(response) => return response,
    };
    let text = |name: &str| Secret::new(form.get(name).unwrap_or_default());
    let changed = match auth.recent_in_browser(session).await {
        Ok(recent) => {
            auth.change_password(&recent, &text("current_password"), &text("new_password")).await
        }
        Err(error) => Err(error),
    };
    match changed {
        Ok(()) => notice(&chrome, "The password is changed", "All other sessions have ended."),
        Err(error) if typed_wrong(&error) => show(&password_page(&chrome, Some(sentence(&error)))),
        Err(error) => broken(&chrome, error),
    }
}

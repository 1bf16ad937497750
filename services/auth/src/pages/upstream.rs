//! To another provider and back.
//!
//! A link is enough to set out for a login, because it leads to one's own account there and nowhere
//! else; linking an account changes the one here and takes a form. On the way back the state fits only
//! the cookie of the browser that set out.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{
    account, broken,
    browser::{Posted, Visit},
    go,
    login::{self, About},
    notice,
};
use crate::{
    Error,
    domain::principals::Authentication,
    logic::{
        Auth,
        upstream::{Arrival, Return},
    },
};

/// What the provider sends along.
#[derive(Default, Deserialize)]
pub(crate) struct Answer {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    iss: Option<String>,
}

/// Sets out for a login.
pub(crate) async fn begin(
    State(auth): State<Arc<Auth>>,
    Path(name): Path<String>,
    visit: Visit,
    Query(about): Query<About>,
) -> Response {
    let then = login::with_about("", &about);
    let response = match auth.begin_upstream(&name, &visit.secret_hash(), None, &then).await {
        Ok(url) => go(&url),
        Err(error) => broken(&visit.chrome(&auth), error),
    };
    visit.answer(&auth, response)
}

/// Sets out to link an account.
pub(crate) async fn link(
    State(auth): State<Arc<Auth>>,
    Path(name): Path<String>,
    posted: Posted,
) -> Response {
    let visit = posted.visit;
    let chrome = visit.chrome(&auth);
    let session = match account::signed_in(&visit, &chrome, "/account/security") {
        Ok(session) => session,
        Err(response) => return response,
    };
    let begun = match auth.recent_in_browser(session).await {
        Ok(recent) => {
            auth.begin_upstream(&name, &visit.secret_hash(), Some(&recent.user.id), "").await
        }
        Err(error) => Err(error),
    };
    match begun {
        // A form that ends elsewhere would need a policy for it; a link does not.
        Ok(url) => super::onward(&chrome, &url),
        Err(error) => broken(&chrome, error),
    }
}

/// Comes back.
pub(crate) async fn back(
    State(auth): State<Arc<Auth>>,
    Path(name): Path<String>,
    visit: Visit,
    Query(answer): Query<Answer>,
) -> Response {
    let chrome = visit.chrome(&auth);
    let hash = visit.secret_hash();
    let back = Return {
        name: &name,
        state: &answer.state,
        code: &answer.code,
        iss: answer.iss.as_deref(),
        browser: &hash,
    };
    let arrived = async {
        let (arrival, then) = auth.finish_upstream(&back).await?;
        let user = match arrival {
            Arrival::Linked(_) => return Ok(None),
            Arrival::Login(user) => user,
        };
        // Whoever has a second factor here gives it, whatever was asked there.
        let is_half = !auth.second_factors(&user.id).await?.is_empty();
        let how = Authentication::new(&["fed"], auth.now());
        let before = visit.session.as_ref().or(visit.half.as_ref());
        let origin = visit.origin.clone();
        let signed_in = auth.login_completed(&user, how, is_half, before, &hash, origin).await?;
        Ok::<_, Error>(Some((signed_in, then)))
    };
    match arrived.await {
        Ok(None) => notice(&chrome, "Linked", "You can sign in with that account from now on."),
        Ok(Some((signed_in, then))) => {
            let query = then.trim_start_matches('?').as_bytes();
            let text = |wanted: &str| {
                url::form_urlencoded::parse(query)
                    .find(|(name, _)| name == wanted)
                    .map(|(_, value)| value.into_owned())
                    .unwrap_or_default()
            };
            let about = About { request: text("request"), next: text("next") };
            login::go_on(&auth, &signed_in, &about)
        }
        Err(error) => broken(&chrome, error),
    }
}

//! Authorization requests: what an application asks of a user, and what has to happen before it gets it.
//!
//! Types and decisions only. How the parameters are read is in `oidc::authorize`; what is kept of a
//! request while its user signs in and agrees is the request itself, sealed, so that nothing of it can
//! change between two pages.

use std::{collections::BTreeSet, time::Duration};

use lightning_mesh::clock::Timestamp;

use super::{
    SessionId,
    browser_sessions::BrowserSession,
    clients::{Client, is_oidc_scope},
    permissions,
    principals::CLASSES,
    redirects,
};

/// How long a pushed request is good (RFC 9126 section 2.2).
pub(crate) const PUSHED_LIFETIME: Duration = Duration::from_secs(90);
/// How long somebody may take to sign in and agree.
pub(crate) const PENDING_LIFETIME: Duration = Duration::from_mins(30);
/// What the name of a pushed request begins with.
pub(crate) const PUSHED_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// An authorization request, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client_id: String,
    pub(crate) reply: ReplyTo,
    /// Whether the address is the registered one to the letter, and not only up to a loopback port.
    pub(crate) is_exact: bool,
    pub(crate) challenge: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) prompts: Prompts,
    /// How long ago the user may have proved who they are, at most.
    pub(crate) max_age: Option<Duration>,
    pub(crate) login_hint: Option<String>,
    /// Who the application thinks it is (`sub` of `id_token_hint`).
    pub(crate) hinted_user: Option<String>,
    /// The `claims` parameter.
    pub(crate) claims: Option<String>,
    /// Whether the application insists on two factors.
    pub(crate) needs_strong: bool,
    pub(crate) resources: Vec<String>,
    pub(crate) jkt: Option<String>,
}

/// Where an answer goes, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplyTo {
    pub(crate) redirect_uri: String,
    pub(crate) mode: ResponseMode,
    pub(crate) state: Option<String>,
}

/// How an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    /// In the query of a redirect.
    Query,
    /// In a form that the browser sends (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// The `prompt` parameter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent words of one parameter")]
pub(crate) struct Prompts {
    pub(crate) none: bool,
    pub(crate) login: bool,
    pub(crate) consent: bool,
    pub(crate) select_account: bool,
}

/// What is known of a request that waits for its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The browser session that there was when the request came. Every login makes a new one, so a
    /// different one now means that the user signed in for this request.
    pub(crate) session_before: Option<SessionId>,
    /// Whether the user chose the account.
    pub(crate) is_chosen: bool,
}

/// What has to happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Somebody has to sign in, again or with more.
    Login,
    /// The user has to choose an account.
    Choose,
    /// The user has to agree.
    Consent,
    /// A code can be given.
    Grant,
    /// The application gets an error: a code and what it means.
    Refuse(&'static str, &'static str),
}

// === impl Prompts ===

impl Prompts {
    /// Reads the parameter; none if it contradicts itself. Unknown words are left to those who know
    /// them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: BTreeSet<&str> = text.split_ascii_whitespace().collect();
        let none = words.contains("none");
        (!none || words.len() == 1).then(|| Self {
            none,
            login: words.contains("login"),
            consent: words.contains("consent"),
            select_account: words.contains("select_account"),
        })
    }
}

// === impl AuthorizationRequest ===

impl AuthorizationRequest {
    /// What has to happen next. `agreed`: whether nobody needs to be asked, `can_be_strong`: whether the
    /// user has a second factor.
    pub(crate) fn step(
        &self,
        session: Option<&BrowserSession>,
        progress: Option<&Progress>,
        agreed: bool,
        can_be_strong: bool,
        now: Timestamp,
    ) -> Step {
        let Some(session) = session else {
            return self.or(Step::Login, "login_required", "nobody is signed in");
        };
        let is_fresh =
            progress.is_some_and(|progress| progress.session_before.as_ref() != Some(&session.id));
        if let Some(step) = self.login_step(session, is_fresh, can_be_strong, now) {
            return step;
        }
        let is_chosen = is_fresh || progress.is_some_and(|progress| progress.is_chosen);
        if self.prompts.select_account && !is_chosen {
            return Step::Choose;
        }
        if self.prompts.consent || !agreed {
            return self.or(Step::Consent, "consent_required", "the user has not agreed yet");
        }
        Step::Grant
    }

    /// Whether the session is not enough to go on.
    fn login_step(
        &self,
        session: &BrowserSession,
        is_fresh: bool,
        can_be_strong: bool,
        now: Timestamp,
    ) -> Option<Step> {
        let is_old = self.max_age.is_some_and(|age| now.since(session.authentication.at) > age);
        if (self.prompts.login || is_old) && !is_fresh {
            let why = "the user has to prove again who they are";
            return Some(self.or(Step::Login, "login_required", why));
        }
        let is_other = self.hinted_user.as_ref().is_some_and(|id| *id != session.user_id.as_str());
        if is_other {
            let why = "another user is signed in than id_token_hint names";
            let fail = Step::Refuse("login_required", why);
            return Some(if is_fresh { fail } else { self.or(Step::Login, "login_required", why) });
        }
        if self.needs_strong && session.authentication.class() != CLASSES[1] {
            let unmet = "the user cannot sign in with a second factor";
            let why = "the user has to sign in with a second factor";
            return Some(if is_fresh || !can_be_strong {
                Step::Refuse("unmet_authentication_requirements", unmet)
            } else {
                self.or(Step::Login, "login_required", why)
            });
        }
        None
    }

    /// What needs the user, or the error if the user must not be bothered.
    fn or(&self, step: Step, code: &'static str, why: &'static str) -> Step {
        if self.prompts.none { Step::Refuse(code, why) } else { step }
    }
}

/// How an address fits those that were registered: `Some(true)` to the letter, `Some(false)` up to the
/// port of a loopback address (RFC 8252 section 7.3), none if it does not.
pub(crate) fn fits(address: &str, registered: &[String]) -> Option<bool> {
    let is_exact = registered.iter().any(|one| one == address);
    registered.iter().any(|one| redirects::matches(address, one)).then_some(is_exact)
}

/// The scopes that a client may be given of those asked for: identity scopes and permissions of the
/// contract; words that nobody knows are left out (RFC 6749 section 3.3).
pub(crate) fn known_scopes(asked: &str, contract: &[String]) -> Vec<String> {
    let is_known = |scope: &&str| {
        is_oidc_scope(scope)
            || (permissions::Pattern::parse(scope).is_some()
                && contract.iter().any(|name| permissions::allows(&[(*scope).to_owned()], name)))
    };
    let known: BTreeSet<&str> = asked.split_ascii_whitespace().filter(is_known).collect();
    known.into_iter().map(str::to_owned).collect()
}

/// Whether a client may ask for a scope: those about who the user is, and what it is registered for.
pub(crate) fn may_ask_for(client: &Client, scope: &str) -> bool {
    let asked = [scope.to_owned()];
    client.scopes.is_empty()
        || is_oidc_scope(scope)
        || permissions::intersection(&client.scopes, &asked).contains(&asked[0])
}

/// Those of the scopes that are left when a user gives them: identity scopes, and permissions of which
/// the user holds at least a part.
pub(crate) fn givable(scopes: &[String], held: &[String]) -> Vec<String> {
    let one = |scope: &&String| {
        is_oidc_scope(scope) || !permissions::intersection(held, &[(*scope).clone()]).is_empty()
    };
    scopes.iter().filter(one).cloned().collect()
}

#[cfg(test)]
mod tests;

//! One token for another, for whoever acts for somebody (RFC 8693).
//!
//! Always delegation, never impersonation: the subject stays, and the one who acts is written in front of
//! the chain of those who act. Who may act is decided by an administrator: the client needs the grant, and
//! the actor is the client itself or whoever `actor_token` speaks for (an agent, a service account). What
//! comes out can only be less: the permissions of the subject as they are now, of the subject's token, of
//! the actor and of the client; the audience of the subject's token; the shorter of both lives. Chains end
//! at four, nobody acts twice in one, nobody acts for themselves, and organisations do not mix.

use std::sync::Arc;

use lightning_mesh::clock::Timestamp;

use super::{Asking, Auth, EVERY_SERVICE};
use crate::{
    Error,
    audit::{Event, Outcome},
    contract,
    domain::{
        SessionId, permissions,
        principals::{Authentication, Principal, Subject},
    },
    logic::sessions::Tokens,
    oidc::error::{OauthError, OauthResult},
    signing::{AccessClaims, AccessToken},
};

/// The one type of token that is taken and given.
pub(crate) const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The other name that the RFC has for it.
const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";
/// The most who act for one subject.
const MAX_ACTORS: usize = 4;

impl Auth {
    pub(super) async fn exchange_grant(&self, asking: &Asking<'_>) -> OauthResult<Tokens> {
        let client = &asking.client;
        check_types(asking)?;
        let subject_token =
            self.given(asking.form.require("subject_token")?, "subject_token", asking.now).await?;
        let (subject, held) = self.authority_of(&subject_token).await?;
        let (actor, actor_permissions, actor_expires) = self.actor(asking).await?;
        if subject.organization_id != client.organization_id
            || actor.organization_id != client.organization_id
        {
            return Err(OauthError::invalid_grant("the tokens are another organisation's"));
        }
        let chain = chain(&subject, &actor, &subject_token)?;
        let held = permissions::intersection(&held, &actor_permissions);
        let asked = asking.scopes();
        let granted = if asked.is_empty() {
            held
        } else {
            permissions::check_scopes(&asked, &held, contract::permissions())
                .map_err(Error::scope)?
        };
        let audiences = self.narrower_audiences(asking, &subject_token)?;
        let ends = actor_expires.map_or(subject_token.exp, |exp| exp.min(subject_token.exp));
        let authentication = authentication(&subject_token);
        let token = AccessToken {
            audiences: &audiences,
            jkt: asking.jkt.as_deref(),
            session_id: subject_token.sid.as_deref(),
            authentication: authentication.as_ref(),
            actors: &chain,
            not_after: Some(seconds(ends)),
            ..AccessToken::new(&subject, &granted, &client.id)
        };
        let access_token = self.signing.access_token(&token, asking.now)?;
        let event = asking.event("token.issued", Outcome::Success, &subject.subject.full());
        self.audit(&Event { actors: chain, ..event.with("grant", "token-exchange") });
        let life = seconds(ends).since(asking.now).min(self.signing.ttl());
        Ok(Tokens {
            bound: asking.jkt.is_some(),
            scope: granted.join(" "),
            issued_token_type: ACCESS_TOKEN_TYPE,
            ..Tokens::alone(access_token, life)
        })
    }

    /// Who acts, what they may do, and until when at most.
    async fn actor(
        &self,
        asking: &Asking<'_>,
    ) -> OauthResult<(Principal, Vec<String>, Option<i64>)> {
        let client = &asking.client;
        let limits = client.principal().permissions;
        let Some(text) = asking.form.get("actor_token") else {
            let actor = self.principal_of_client(client)?;
            let allowed = actor.permissions.clone();
            return Ok((actor, allowed, None));
        };
        let token = self.given(text, "actor_token", asking.now).await?;
        let subject = Subject::parse(&token.sub);
        if matches!(subject, Subject::User(_)) {
            return Err(OauthError::invalid_grant(
                "an actor is an agent, a service account or a client, not a user",
            ));
        }
        let bound = token.cnf.as_ref().map(|bound| bound.jkt.as_str());
        if bound.is_some() && bound != asking.jkt.as_deref() {
            return Err(OauthError::invalid_grant("the actor_token is bound to another key"));
        }
        if token.act.is_some() {
            return Err(OauthError::invalid_grant("an actor acts for itself in its own token"));
        }
        let actor = self.principal(&subject).await?;
        let allowed = permissions::intersection(&actor.permissions, &token.permissions);
        // The client may be narrower than the actor; without scopes of its own it only passes on.
        Ok((actor, permissions::under(&allowed, &limits), Some(token.exp)))
    }

    /// A token that somebody shows, if it is ours, good, and its session alive.
    pub(in crate::logic) async fn given(
        &self,
        text: &str,
        what: &'static str,
        now: Timestamp,
    ) -> OauthResult<Arc<AccessClaims>> {
        let refused =
            || OauthError::invalid_grant(format!("the {what} is not a good access token"));
        let given = self.read_access_token(text).ok_or_else(refused)?;
        if let Some(id) = &given.sid {
            let id = SessionId::parse(id).map_err(|_| refused())?;
            let session = self.store.session(&id).await?;
            if !session.is_some_and(|session| session.is_alive(now)) {
                return Err(refused());
            }
        }
        Ok(given)
    }

    /// Whom a token speaks for, as they are now, and what they may do with it.
    pub(in crate::logic) async fn authority_of(
        &self,
        token: &AccessClaims,
    ) -> OauthResult<(Principal, Vec<String>)> {
        let principal = self.principal(&Subject::parse(&token.sub)).await?;
        let held = permissions::intersection(&principal.permissions, &token.permissions);
        Ok((principal, held))
    }

    fn narrower_audiences(
        &self,
        asking: &Asking<'_>,
        token: &AccessClaims,
    ) -> OauthResult<Vec<String>> {
        let is_for_all = token.aud.iter().any(|audience| audience == EVERY_SERVICE);
        self.audiences(asking.form, if is_for_all { &[] } else { &token.aud })
    }
}

/// How the user of a token proved who they are.
fn authentication(token: &AccessClaims) -> Option<Authentication> {
    let methods = token.amr.clone()?;
    Some(Authentication { at: seconds(token.auth_time?), methods })
}

fn check_types(asking: &Asking<'_>) -> OauthResult<()> {
    let form = asking.form;
    let is_access = |name: &str| matches!(form.get(name), Some(ACCESS_TOKEN_TYPE | JWT_TYPE));
    if !is_access("subject_token_type") {
        return Err(OauthError::invalid_request(format!(
            "subject_token_type must be {ACCESS_TOKEN_TYPE}"
        )));
    }
    if form.get("actor_token").is_some() != form.get("actor_token_type").is_some()
        || (form.get("actor_token").is_some() && !is_access("actor_token_type"))
    {
        return Err(OauthError::invalid_request(format!(
            "actor_token comes with actor_token_type {ACCESS_TOKEN_TYPE}"
        )));
    }
    if form.get("requested_token_type").is_some() && !is_access("requested_token_type") {
        return Err(OauthError::invalid_request("only access tokens are given"));
    }
    Ok(())
}

/// The chain with the actor in front.
fn chain(subject: &Principal, actor: &Principal, token: &AccessClaims) -> OauthResult<Vec<String>> {
    let actor = actor.subject.full();
    let before = token.actors();
    if actor == subject.subject.full() || before.contains(&actor) {
        return Err(OauthError::invalid_grant("the actor is in the chain already"));
    }
    let mut chain = vec![actor];
    chain.extend(before);
    if chain.len() > MAX_ACTORS {
        return Err(OauthError::invalid_grant("at most 4 act for one subject"));
    }
    Ok(chain)
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

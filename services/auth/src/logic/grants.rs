//! Giving tokens: which grant a request is for, who asks, and what all grants have in common.
//!
//! `POST /oauth/token` and `IssueToken` are the same from here on. There is no password grant and no
//! implicit one: a client never sees a password, and a token never travels in a redirect. Who the subject
//! is and what they may do is looked up anew at every grant, refreshes among them: a token says what holds
//! now, not what held when somebody logged in.
//!
//! A refresh token is given to clients that registered the grant `refresh_token`, whatever scopes were
//! asked for; `offline_access` says that it outlives the browser session in which the user agreed.

use std::{net::IpAddr, sync::Arc};

use http::HeaderMap;
use lightning_mesh::{
    clock::Timestamp,
    identity::{Caller, dpop},
};

use super::{
    Auth,
    sessions::{Tokens, session_of},
};
use crate::{
    Error,
    audit::{Event, Outcome},
    domain::{
        UserId,
        clients::{
            AUTHORIZATION_CODE, CLIENT_CREDENTIALS, Client, DEVICE_CODE, GRANT_TYPES, JWT_BEARER,
            REFRESH_TOKEN, TOKEN_EXCHANGE, is_oidc_scope,
        },
        codes::{Code, Demand},
        redirects,
        sessions::Terms,
        users::User,
    },
    error::CredentialError,
    oidc::{
        error::{OauthError, OauthResult},
        form::Form,
    },
};

mod bearer;
mod code;
mod credentials;
mod device;
mod exchange;
mod refresh;

/// Whom tokens are for that name nobody: every service of the mesh.
const EVERY_SERVICE: &str = "lightning";
/// The most resources of one token.
const MAX_RESOURCES: usize = 10;

/// A code for an application.
pub(crate) struct Grant {
    pub(crate) code: String,
    pub(crate) redirect_to: String,
}

/// A request for tokens by a client that proved itself.
struct Asking<'a> {
    client: Arc<Client>,
    form: &'a Form,
    /// The thumbprint of the key whose possession was shown (RFC 9449).
    jkt: Option<String>,
    address: Option<IpAddr>,
    now: Timestamp,
}

impl Auth {
    /// Gives an application a code in the name of the caller.
    pub(crate) async fn authorize(&self, caller: &Caller, demand: &Demand) -> Result<Grant, Error> {
        let (user_id, session_id) = session_of(caller)?;
        let user = self.user(user_id.as_str()).await?;
        let unknown =
            || Error::Credential(CredentialError::ClientNotFound { id: demand.client_id.clone() });
        let client = self.client(&demand.client_id).await?.ok_or_else(unknown)?;
        let (mut scopes, asked): (Vec<String>, Vec<String>) =
            demand.scopes.iter().cloned().partition(|scope| is_oidc_scope(scope));
        if !asked.is_empty() || client.first_party {
            scopes.extend(self.scopes_for(caller, &user, &asked)?);
        }
        let agreed = self.store.session(&session_id).await?.ok_or_else(Error::grant_invalid)?;
        let terms = Terms { audiences: Vec::new(), jkt: None, ..agreed.terms };
        let (code, text) = Code::give(demand, user_id, session_id, scopes, terms, self.clock.now());
        let mut values = vec![("code", text.as_str())];
        if !demand.state.is_empty() {
            values.push(("state", &demand.state));
        }
        values.push(("iss", &self.config.issuer));
        let redirect_to = redirects::with_query(&demand.redirect_uri, &values)
            .ok_or(Error::Row { what: "address" })?;
        self.store.insert_code(&code).await?;
        let event = Event::by(caller, "code.given", Outcome::Success);
        self.audit(&event.on("client", &demand.client_id));
        Ok(Grant { code: text, redirect_to })
    }

    /// Answers a request for tokens. `urls` are the addresses that a proof of possession may name.
    pub(crate) async fn issue(
        &self,
        headers: &HeaderMap,
        form: &Form,
        address: Option<IpAddr>,
        urls: &[String],
    ) -> OauthResult<Tokens> {
        let grant = form.require("grant_type")?;
        let Some(grant) = GRANT_TYPES.into_iter().find(|known| *known == grant) else {
            let given = grant.chars().take(100).collect();
            return Err(Error::Credential(CredentialError::GrantUnsupported { given }).into());
        };
        let now = self.clock.now();
        let names_client = headers.contains_key(http::header::AUTHORIZATION)
            || form.get("client_id").is_some()
            || form.get("client_assertion").is_some();
        if grant == JWT_BEARER && !names_client {
            let jkt = self.possession(headers, urls, now)?;
            return self.bearer_grant(None, form, jkt.as_deref(), address, now).await;
        }
        let client = self.authenticate_client(headers, form, address).await?;
        if !client.may(grant) {
            return Err(OauthError::new(
                "unauthorized_client",
                format!("the client is not registered for the grant {grant}"),
            ));
        }
        let jkt = self.possession(headers, urls, now)?;
        if client.dpop_bound && jkt.is_none() {
            return Err(OauthError::new(
                "invalid_dpop_proof",
                "the client is registered for tokens that are bound to a key; send a DPoP proof",
            ));
        }
        let asking = Asking { client, form, jkt, address, now };
        let result = match grant {
            AUTHORIZATION_CODE => self.code_grant(&asking).await,
            REFRESH_TOKEN => self.refresh_grant(&asking).await,
            CLIENT_CREDENTIALS => self.credentials_grant(&asking),
            TOKEN_EXCHANGE => self.exchange_grant(&asking).await,
            DEVICE_CODE => self.device_grant(&asking).await,
            JWT_BEARER => {
                let Asking { client, form, jkt, address, now } = &asking;
                self.bearer_grant(Some(client), form, jkt.as_deref(), *address, *now).await
            }
            _ => Err(Error::Credential(CredentialError::GrantUnsupported {
                given: grant.to_owned(),
            })
            .into()),
        };
        match &result {
            Ok(_) => self.note_client_use(&asking.client, now),
            Err(error) => {
                let event = asking.event("token.refused", Outcome::Failure, "anonymous");
                self.audit(&event.with("grant", grant).with("why", error.code));
            }
        }
        result
    }

    /// The thumbprint of the key that the request shows possession of, if it shows any.
    fn possession(
        &self,
        headers: &HeaderMap,
        urls: &[String],
        now: Timestamp,
    ) -> OauthResult<Option<String>> {
        let mut proofs = headers.get_all("dpop").iter();
        let Some(proof) = proofs.next() else {
            return Ok(None);
        };
        let refused = |why: String| OauthError::new("invalid_dpop_proof", why);
        if proofs.next().is_some() {
            return Err(refused("there are two DPoP headers".to_owned()));
        }
        let proof =
            proof.to_str().map_err(|_| refused("the DPoP header is not text".to_owned()))?;
        dpop::verify(proof, "POST", urls, None, now, &self.proofs)
            .map(|proof| Some(proof.jkt))
            .map_err(|error| refused(error.to_string()))
    }

    /// The user, if they may act.
    pub(super) async fn acting_user(&self, id: &UserId) -> Result<User, Error> {
        let user = self.store.user(id).await?.filter(|user| self.may_act(user));
        user.ok_or_else(Error::grant_invalid)
    }

    /// The resources that a token is asked for (RFC 8707), out of those that were agreed on; none of them
    /// for every service. Only narrows.
    fn audiences(&self, form: &Form, agreed: &[String]) -> OauthResult<Vec<String>> {
        let target = |text: &str| OauthError::new("invalid_target", text.to_owned());
        let mut asked = form.all("resource");
        asked.extend(form.all("audience"));
        asked.sort();
        asked.dedup();
        if asked.len() > MAX_RESOURCES {
            return Err(target("a token is for at most 10 resources"));
        }
        let is_agreed = |asked: &String| agreed.is_empty() || agreed.contains(asked);
        if !asked.iter().all(is_agreed) {
            return Err(target("a resource is not among those that were agreed on"));
        }
        if !asked.iter().all(|one| one == EVERY_SERVICE || self.config.resources.contains_key(one))
        {
            return Err(target("a resource is none that tokens are given for"));
        }
        Ok(if asked.is_empty() { agreed.to_vec() } else { asked })
    }
}

// === impl Asking ===

impl Asking<'_> {
    fn event(&self, action: &'static str, outcome: Outcome, subject: &str) -> Event {
        Event {
            client_id: Some(self.client.id.clone()),
            organization_id: self.client.organization_id.clone(),
            address: self.address,
            ..Event::new(action, outcome, subject)
        }
    }

    /// The scopes that are named.
    fn scopes(&self) -> Vec<String> {
        let named = self.form.get("scope").unwrap_or_default();
        named.split_ascii_whitespace().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests;

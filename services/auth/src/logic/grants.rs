//! Codes and refresh tokens (OAuth 2.1): giving them, and exchanging them for tokens.

use lightning_mesh::{clock::Timestamp, identity::Caller};

use super::{
    Auth, scopes_for,
    sessions::{Tokens, session_of},
};
use crate::{
    Error, contract,
    domain::{
        UserId,
        clients::OWN_CLIENT,
        codes::{Code, Demand},
        permissions, redirects,
        sessions::{RefreshToken, Session, Terms, Worth},
        users::User,
    },
    secrets,
};

/// A code for an application.
pub(crate) struct Grant {
    pub(crate) code: String,
    pub(crate) redirect_to: String,
}

/// What is sent with a code.
pub(crate) struct Exchange<'a> {
    pub(crate) code: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) verifier: &'a str,
}

impl Auth {
    /// Gives an application a code in the name of the caller.
    pub(crate) async fn authorize(&self, caller: &Caller, demand: &Demand) -> Result<Grant, Error> {
        let (user_id, session_id) = session_of(caller)?;
        let user = self.user(user_id.as_str()).await?;
        let scopes = scopes_for(caller, &user, &demand.scopes)?;
        let agreed = self.store.session(&session_id).await?.ok_or(Error::GrantInvalid)?;
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
        Ok(Grant { code: text, redirect_to })
    }

    /// Exchanges a code for the tokens of a new session. A code that is sent twice has been stolen on
    /// one of the two ways, so the session that came of it ends.
    pub(crate) async fn exchange(&self, sent: &Exchange<'_>) -> Result<Tokens, Error> {
        let hash = secrets::hash(sent.code);
        let now = self.clock.now();
        let code = self.store.code(&hash).await?.ok_or(Error::GrantInvalid)?;
        if code.issued.is_some() {
            return self.code_came_twice(&code, now).await;
        }
        if !code.fits(sent.client_id, sent.redirect_uri, sent.verifier, now) {
            return Err(Error::GrantInvalid);
        }
        let agreed = self.store.session(&code.session_id).await?;
        if !agreed.is_some_and(|session| session.is_alive(now)) {
            return Err(Error::GrantInvalid);
        }
        let user = self.acting_user(&code.user_id).await?;
        let (session, token) = Session::begin(
            code.user_id.clone(),
            code.client_id.clone(),
            code.scopes.clone(),
            code.terms.clone(),
            self.lifetime(),
            now,
        );
        if !self.store.spend_code(&hash, &session).await? {
            let code = self.store.code(&hash).await?.ok_or(Error::GrantInvalid)?;
            return self.code_came_twice(&code, now).await;
        }
        tracing::info!(user_id = %user.id, session_id = %session.id, client_id = session.client_id, "code exchanged");
        self.end_excess(&user.id, now).await?;
        self.tokens(&user, &session, &token, &[], now).await
    }

    async fn code_came_twice(&self, code: &Code, now: Timestamp) -> Result<Tokens, Error> {
        if let Some(session) = &code.issued {
            tracing::warn!(session_id = %session, client_id = code.client_id, "a code came twice; its session ends");
            self.end(session, now).await?;
        }
        Err(Error::GrantInvalid)
    }

    /// Exchanges a refresh token for new tokens. An older one than the newest has been copied, so the
    /// session ends.
    pub(crate) async fn refresh(
        &self,
        text: &str,
        client_id: &str,
        scope: &str,
    ) -> Result<Tokens, Error> {
        let token = RefreshToken::parse(text).ok_or(Error::GrantInvalid)?;
        let now = self.clock.now();
        let session = self.live_session(&token, now).await?;
        let is_own = session.client_id.is_empty() && client_id == OWN_CLIENT;
        if session.client_id != client_id && !is_own {
            return Err(Error::GrantInvalid);
        }
        let user = self.acting_user(&session.user_id).await?;
        let scopes = narrower(&user, &session, scope)?;
        let lifetime = self.lifetime();
        let (refreshed, next) =
            session.refreshed(&token, lifetime, now).ok_or(Error::GrantInvalid)?;
        if !self.store.refresh_session(&refreshed).await? {
            // Somebody else used the same token between the two looks.
            self.live_session(&token, now).await?;
            return Err(Error::GrantInvalid);
        }
        self.tokens(&user, &refreshed, &next, &scopes, now).await
    }

    /// The session of a refresh token that is good. Ends the session of one that was good before.
    async fn live_session(&self, token: &RefreshToken, now: Timestamp) -> Result<Session, Error> {
        let session = self.store.session(&token.session_id()).await?.ok_or(Error::GrantInvalid)?;
        match session.worth(token, now) {
            Worth::Good => Ok(session),
            Worth::Nothing => Err(Error::GrantInvalid),
            Worth::Replayed => {
                tracing::warn!(session_id = %session.id, user_id = %session.user_id,
                    "a refresh token came twice; its session ends");
                self.end(&session.id, now).await?;
                Err(Error::GrantInvalid)
            }
        }
    }

    /// The user, if they may act.
    pub(super) async fn acting_user(&self, id: &UserId) -> Result<User, Error> {
        let user = self.store.user(id).await?.filter(|user| !user.disabled);
        user.ok_or(Error::GrantInvalid)
    }
}

/// Scopes that are asked for at a refresh: no more than the session has (RFC 6749 section 6).
fn narrower(user: &User, session: &Session, scope: &str) -> Result<Vec<String>, Error> {
    let asked: Vec<String> = scope.split_whitespace().map(str::to_owned).collect();
    let contract = contract::permissions();
    let held = permissions::granted(&user.roles, &session.scopes, contract);
    permissions::check_scopes(&asked, &held, contract).map_err(Error::scope)
}

//! What a token of ours is worth (RFC 7662), taking it back (RFC 7009), and whom it is about.
//!
//! Access tokens are checked without the database: the signature, the time, and what was revoked, as
//! every service is told. Refresh tokens are looked up.

use std::{net::IpAddr, sync::Arc};

use lightning_mesh::clock::Timestamp;
use serde_json::{Map, Value};

use super::{
    Auth,
    claims::{Requested, claims_for},
};
use crate::{
    Error,
    audit::{Event, Outcome},
    domain::{
        SessionId, UserId,
        clients::Client,
        principals::Subject,
        sessions::{self, RefreshToken, Session},
    },
    error::CredentialError,
    signing::{AUDIENCE, AccessClaims},
};

/// What a token is worth.
#[derive(Debug, Clone)]
pub(crate) enum Worth {
    /// Nothing, or nothing that this client may know of.
    Nothing,
    Access(Arc<AccessClaims>),
    Refresh(Box<Session>),
}

impl Auth {
    /// An access token of ours that is good: not expired, not revoked, its session not ended,
    /// its subject and those who act for it not stopped.
    pub(crate) fn read_access_token(&self, token: &str) -> Option<Arc<AccessClaims>> {
        let claims = self.signing.read_access_token(token, self.clock.now())?;
        let is_revoked = self.access.is_revoked(claims.sid.as_deref(), &claims.jti);
        let mut subjects = claims.actors();
        subjects.push(Subject::parse(&claims.sub).full());
        (!is_revoked && !self.access.is_stopped(&subjects)).then_some(claims)
    }

    /// What a token is worth, as far as the client may know: it got the token itself, the token is for
    /// it, or it is one of our own and the token is for the mesh. A client of another organisation
    /// learns of none but its own.
    pub(crate) async fn introspect(&self, client: &Client, token: &str) -> Result<Worth, Error> {
        if token.starts_with(sessions::PREFIX) {
            let session = self.session_of_refresh_token(token).await?;
            let known = session
                .filter(|(session, is_newest)| *is_newest && session.application() == client.id);
            return Ok(known.map_or(Worth::Nothing, |(session, _)| Worth::Refresh(session)));
        }
        let Some(claims) = self.read_access_token(token) else {
            return Ok(Worth::Nothing);
        };
        let is_own = claims.client_id == client.id;
        let is_for_it = claims.aud.contains(&client.id);
        let is_for_mesh = client.first_party
            && claims.aud.iter().any(|audience| {
                audience == AUDIENCE || self.config.resources.contains_key(audience)
            });
        let is_same_organization = claims.org_id == client.organization_id;
        let may_know = is_own || (is_same_organization && is_for_it) || is_for_mesh;
        Ok(if may_know { Worth::Access(claims) } else { Worth::Nothing })
    }

    /// Takes a token back. One that is unknown, over or another client's stays as it is, and who asks
    /// does not learn which.
    pub(crate) async fn revoke(
        &self,
        client: &Client,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        let event = |subject: String, outcome| Event {
            client_id: Some(client.id.clone()),
            organization_id: client.organization_id.clone(),
            address,
            ..Event::new("token.revoked", outcome, subject)
        };
        if token.starts_with(sessions::PREFIX) {
            let Some((session, _)) = self.session_of_refresh_token(token).await? else {
                return Ok(());
            };
            let subject = Subject::User(session.user_id.to_string()).full();
            if session.application() != client.id {
                let denied = event(subject, Outcome::Denied);
                self.audit(&denied.on("session", session.id.as_str()));
                return Ok(());
            }
            self.end(&session.id, self.clock.now()).await?;
            let done = event(subject, Outcome::Success);
            self.audit(&done.on("session", session.id.as_str()));
            return Ok(());
        }
        let Some(claims) = self.read_access_token(token) else {
            return Ok(());
        };
        let subject = Subject::parse(&claims.sub).full();
        if claims.client_id != client.id {
            let denied = event(subject, Outcome::Denied);
            self.audit(&denied.on("token", &claims.jti));
            return Ok(());
        }
        let expires = Timestamp::from_micros(claims.exp.saturating_mul(1_000_000));
        if !self.store.revoke_token(&claims.jti, expires, self.clock.now()).await? {
            return Err(Error::Credential(CredentialError::TooManyRevocations));
        }
        self.access.changed().await;
        self.audit(&event(subject, Outcome::Success).on("token", &claims.jti));
        Ok(())
    }

    /// The living session of a refresh token that was ours at any time, and whether it is the newest.
    async fn session_of_refresh_token(
        &self,
        text: &str,
    ) -> Result<Option<(Box<Session>, bool)>, Error> {
        let Some(token) = RefreshToken::parse(text) else {
            return Ok(None);
        };
        let session = self.store.session(&token.session_id()).await?;
        Ok(session.and_then(|session| match session.worth(&token, self.clock.now()) {
            sessions::Worth::Nothing => None,
            sessions::Worth::Good => Some((Box::new(session), true)),
            sessions::Worth::Replayed => Some((Box::new(session), false)),
        }))
    }

    /// What is told about the user of an access token (OpenID Connect Core section 5.3.2); `None` if it
    /// is about nobody who may log in.
    pub(crate) async fn user_info(
        &self,
        token: &AccessClaims,
    ) -> Result<Option<Map<String, Value>>, Error> {
        let Subject::User(id) = Subject::parse(&token.sub) else {
            return Ok(None);
        };
        let Ok(id) = UserId::parse(&id) else {
            return Ok(None);
        };
        let Some(user) = self.store.user(&id).await?.filter(|user| !user.disabled) else {
            return Ok(None);
        };
        let principal = self.principal_of(&user);
        let session = match token.sid.as_deref().map(SessionId::parse) {
            Some(Ok(id)) => self.store.session(&id).await?,
            Some(Err(_)) | None => None,
        };
        let requested = session.and_then(|session| session.terms.claims);
        let requested = Requested::kept(requested.as_deref());
        let scopes: Vec<String> = token.scope.split(' ').map(str::to_owned).collect();
        let is_proven = self.is_email_proven(&user.id).await?;
        let mut claims = claims_for(&user, &principal, &scopes, &requested.userinfo, is_proven);
        claims.insert("sub".to_owned(), Value::from(token.sub.as_str()));
        Ok(Some(claims))
    }
}

#[cfg(test)]
mod tests;

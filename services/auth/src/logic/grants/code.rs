//! Codes for tokens (RFC 6749 section 4.1.3, RFC 7636).
//!
//! A code is good once. One that comes a second time was stolen on one of the two ways, so the session that
//! came of it ends with all its tokens. One that comes from the right client with a wrong address or
//! verifier was intercepted, and is burned; one that another client sends stays good for its owner, or
//! anybody could break anybody's login.

use lightning_mesh::clock::Timestamp;

use super::{Asking, Auth};
use crate::{
    Error,
    audit::Outcome,
    domain::{
        codes::Code,
        sessions::{Session, Terms},
    },
    logic::sessions::{Minting, Tokens},
    oidc::error::{OauthError, OauthResult},
    secrets,
};

impl Auth {
    pub(super) async fn code_grant(&self, asking: &Asking<'_>) -> OauthResult<Tokens> {
        let hash = secrets::hash(asking.form.require("code")?);
        let now = asking.now;
        let code = self.store.code(&hash).await?.ok_or_else(Error::grant_invalid)?;
        if code.client_id != asking.client.id {
            return Err(Error::grant_invalid().into());
        }
        if code.issued.is_some() {
            return Err(self.code_came_twice(asking, &code, now).await);
        }
        if !code.is_open_to(&asking.client.id, now) {
            return Err(Error::grant_invalid().into());
        }
        let redirect_uri = asking.form.get("redirect_uri").unwrap_or_default();
        let verifier = asking.form.get("code_verifier").unwrap_or_default();
        let key_fits = code.terms.jkt.is_none() || code.terms.jkt == asking.jkt;
        if !code.fits(redirect_uri, verifier) || !key_fits {
            self.store.burn_code(&hash).await?;
            self.audit(&asking.event("code.refused", Outcome::Denied, &owner(&code)));
            return Err(Error::grant_invalid().into());
        }
        self.agreed_still(&code, now).await?;
        let user = self.acting_user(&code.user_id).await?;
        let audiences = self.audiences(asking.form, &code.terms.audiences)?;
        let terms = Terms { jkt: asking.jkt.clone(), ..code.terms.clone() };
        let (session, token) = Session::begin(
            code.user_id.clone(),
            code.client_id.clone(),
            code.scopes.clone(),
            terms,
            self.lifetime(),
            now,
        );
        if !self.store.spend_code(&hash, &session).await? {
            let code = self.store.code(&hash).await?.ok_or_else(Error::grant_invalid)?;
            return Err(self.code_came_twice(asking, &code, now).await);
        }
        self.end_excess(&user.id, now).await?;
        let event = asking.event("token.issued", Outcome::Success, &owner(&code));
        self.audit(&event.on("session", session.id.as_str()).with("grant", "authorization_code"));
        let minting =
            Minting { audiences: &audiences, jkt: asking.jkt.as_deref(), ..Minting::of(&session) };
        Ok(self.mint(&user, &session, Some(&token), &minting, now).await?)
    }

    /// Whether whoever agreed is still logged in where they did.
    async fn agreed_still(&self, code: &Code, now: Timestamp) -> OauthResult<()> {
        match self.agreement_stands(code, now).await? {
            true => Ok(()),
            false => Err(Error::grant_invalid().into()),
        }
    }

    async fn code_came_twice(
        &self,
        asking: &Asking<'_>,
        code: &Code,
        now: Timestamp,
    ) -> OauthError {
        let event = asking.event("code.reused", Outcome::Denied, &owner(code));
        let Some(session) = &code.issued else {
            return Error::grant_invalid().into();
        };
        self.audit(&event.on("session", session.as_str()));
        match self.end(session, now).await {
            Ok(()) => Error::grant_invalid().into(),
            Err(error) => error.into(),
        }
    }
}

fn owner(code: &Code) -> String {
    format!("user:{}", code.user_id)
}

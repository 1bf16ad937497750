//! Tokens for a device whose user agreed elsewhere (RFC 8628 section 3.4).

use super::{Asking, Auth};
use crate::{
    Error,
    audit::Outcome,
    domain::sessions::{Session, Terms},
    logic::sessions::{Minting, Tokens},
    oidc::error::OauthResult,
};

impl Auth {
    pub(super) async fn device_grant(&self, asking: &Asking<'_>) -> OauthResult<Tokens> {
        let device_code = asking.form.require("device_code")?;
        let now = asking.now;
        let approved = self.redeem_device_code(&asking.client, device_code, now).await?;
        if approved.terms.jkt.is_some() && approved.terms.jkt != asking.jkt {
            return Err(Error::grant_invalid().into());
        }
        let user = self.acting_user(&approved.user_id).await?;
        let audiences = self.audiences(asking.form, &approved.terms.audiences)?;
        let terms = Terms { jkt: asking.jkt.clone(), ..approved.terms };
        let (session, token) = Session::begin(
            approved.user_id,
            asking.client.id.clone(),
            approved.scopes,
            terms,
            self.lifetime(),
            now,
        );
        self.store.insert_session(&session).await?;
        self.end_excess(&user.id, now).await?;
        let subject = format!("user:{}", user.id);
        let event = asking.event("token.issued", Outcome::Success, &subject);
        self.audit(&event.on("session", session.id.as_str()).with("grant", "device_code"));
        let minting = Minting { audiences: &audiences, ..Minting::of(&session) };
        Ok(self.mint(&user, &session, Some(&token), &minting, now).await?)
    }
}

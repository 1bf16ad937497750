//! Tokens for a client in its own name (RFC 6749 section 4.4).
//!
//! The hot path of machines: nothing here reads the database once client and principal are known. There is
//! no session and no refresh token; a client that may ask again just asks again.

use super::{Asking, Auth};
use crate::{
    Error, audit::Outcome, contract, domain::permissions, logic::sessions::Tokens,
    oidc::error::OauthResult, signing::AccessToken,
};

impl Auth {
    pub(super) fn credentials_grant(&self, asking: &Asking<'_>) -> OauthResult<Tokens> {
        let client = &asking.client;
        let principal = self.principal_of_client(client)?;
        let asked = asking.scopes();
        let granted = if asked.is_empty() {
            principal.permissions.clone()
        } else {
            permissions::check_scopes(&asked, &principal.permissions, contract::permissions())
                .map_err(Error::scope)?
        };
        let audiences = self.audiences(asking.form, &[])?;
        let token = AccessToken {
            audiences: &audiences,
            jkt: asking.jkt.as_deref(),
            ..AccessToken::new(&principal, &granted, &client.id)
        };
        let access_token = self.signing.access_token(&token, asking.now)?;
        let subject = principal.subject.full();
        let event = asking.event("token.issued", Outcome::Success, &subject);
        self.audit(&event.with("grant", "client_credentials"));
        Ok(Tokens {
            bound: asking.jkt.is_some(),
            scope: granted.join(" "),
            ..Tokens::alone(access_token, self.signing.ttl())
        })
    }
}

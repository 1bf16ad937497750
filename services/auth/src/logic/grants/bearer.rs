//! Tokens for a service account or an agent that signs an assertion with its own key (RFC 7523 section
//! 2.1): no secret is shared, and nothing but the public key is kept here.
//!
//! The assertion is all that is needed; a client that names itself beside it has to be registered for the
//! grant. Who signs is `iss` and `sub` alike: the id of the service account, or `agent:<id>`.

use std::net::IpAddr;

use lightning_mesh::clock::Timestamp;

use super::{Auth, Form};
use crate::{
    Error,
    audit::{Event, Outcome},
    contract,
    domain::{
        assertions,
        clients::Client,
        jwks, permissions,
        principals::{Principal, Subject},
        service_accounts::ServiceAccount,
    },
    logic::sessions::Tokens,
    oidc::error::{OauthError, OauthResult},
    signing::AccessToken,
};

impl Auth {
    pub(super) async fn bearer_grant(
        &self,
        client: Option<&Client>,
        form: &Form,
        jkt: Option<&str>,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> OauthResult<Tokens> {
        let account = match self.asserted(form.require("assertion")?, now).await {
            Ok(account) => account,
            Err(error) => {
                let event = Event::new("token.refused", Outcome::Failure, "anonymous");
                self.audit(&Event { address, ..event.with("grant", "jwt-bearer") });
                return Err(error);
            }
        };
        let principal: Principal =
            self.principal_of_account(&account).ok_or_else(Error::grant_invalid)?;
        if client.is_some_and(|client| client.organization_id != principal.organization_id) {
            return Err(OauthError::invalid_grant("the account is another organisation's"));
        }
        let named = form.get("scope").unwrap_or_default();
        let asked: Vec<String> = named.split_ascii_whitespace().map(str::to_owned).collect();
        let granted = if asked.is_empty() {
            principal.permissions.clone()
        } else {
            permissions::check_scopes(&asked, &principal.permissions, contract::permissions())
                .map_err(Error::scope)?
        };
        let audiences = self.audiences(form, &[])?;
        let subject = principal.subject.full();
        let client_id = client.map_or(subject.as_str(), |client| client.id.as_str());
        let token = AccessToken {
            audiences: &audiences,
            jkt,
            ..AccessToken::new(&principal, &granted, client_id)
        };
        let access_token = self.signing.access_token(&token, now)?;
        let organization_id = principal.organization_id.clone();
        let event = Event::new("token.issued", Outcome::Success, &subject);
        let event = Event { address, organization_id, ..event };
        self.audit(&event.with("grant", "jwt-bearer"));
        Ok(Tokens {
            bound: jkt.is_some(),
            scope: granted.join(" "),
            ..Tokens::alone(access_token, self.signing.ttl())
        })
    }

    /// The account whose key signed an assertion, which counts once. What exactly is wrong is not told
    /// before the signature is right.
    async fn asserted(&self, text: &str, now: Timestamp) -> OauthResult<ServiceAccount> {
        let refused = || OauthError::invalid_grant("the assertion is of no account, or not good");
        let claimed = assertions::claimed_issuer(text).ok_or_else(refused)?;
        let account = match claimed.split_once(':') {
            Some(("agent", id)) => self.access.directory().account_of_agent(id).cloned(),
            Some(("service-account", id)) => self.service_account(id),
            Some(_) => None,
            None => self.service_account(&claimed),
        };
        let account = account.filter(|account| !account.jwks.is_empty()).ok_or_else(refused)?;
        let keys = jwks::parse(&account.jwks).map_err(|_| refused())?;
        let assertion = assertions::check(text, &keys, &self.config.issuer, now)
            .map_err(OauthError::invalid_grant)?;
        let is_agent = matches!(account.subject(), Subject::Agent(_));
        let named_right = is_agent == assertion.issuer.starts_with("agent:");
        if assertion.issuer != claimed || assertion.subject != claimed || !named_right {
            return Err(refused());
        }
        let whose = account.subject().full();
        if !self.spend_assertion(&whose, &assertion).await? {
            return Err(OauthError::invalid_grant("the assertion was used before"));
        }
        Ok(account)
    }
}

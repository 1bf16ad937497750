//! Passkeys: the ceremonies of WebAuthn Level 3, as the `webauthn-rs` library runs them.
//!
//! Every passkey here is discoverable and proves its user (a fingerprint, a PIN), so one is a whole
//! login. The relying party is the host of the configured issuer and the origin is exactly the issuer's:
//! neither a subdomain nor a request's `Host` changes that. An issuer at an IP address has no name that a
//! passkey could belong to, so there are none. What a ceremony must remember between its halves goes
//! back to the caller as text; keeping it on the server, once, is the tickets' work.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;
use webauthn_rs::{
    Webauthn, WebauthnBuilder,
    prelude::{
        CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration,
        PublicKeyCredential, RegisterPublicKeyCredential, WebauthnError,
    },
};

use crate::{
    Error,
    domain::{UserId, users::User},
    error::FactorError,
};

/// What authenticators show as the place they log in to.
const NAME: &str = "Agent Lightning";

/// Runs ceremonies.
pub(crate) struct Passkeys(Option<Webauthn>);

/// The first half of a ceremony.
pub(crate) struct Begun {
    /// For the browser.
    pub(crate) options: Value,
    /// For the second half; stays on the server.
    pub(crate) state: String,
}

/// A passkey as it is kept: nothing of it is secret.
pub(crate) struct Kept {
    /// What it calls itself, in base64url.
    pub(crate) credential_id: String,
    /// Its public key and properties, as JSON.
    pub(crate) data: String,
    /// Its own count of its uses; zero for those that do not count.
    pub(crate) counter: i64,
}

/// Whom an answer claims to come from, before anything of it is checked.
pub(crate) struct Claim {
    pub(crate) user_id: Option<UserId>,
    pub(crate) credential_id: String,
}

// === impl Passkeys ===

impl Passkeys {
    /// Ceremonies for this issuer.
    pub(crate) fn new(issuer: &str) -> Self {
        let Ok(origin) = Url::parse(issuer) else {
            return Self(None);
        };
        let Some(host) = origin.domain() else {
            return Self(None);
        };
        let builder = WebauthnBuilder::new(host, &origin);
        Self(builder.and_then(|builder| builder.rp_name(NAME).build()).ok())
    }

    fn ceremonies(&self) -> Result<&Webauthn, Error> {
        self.0.as_ref().ok_or(Error::Factor(FactorError::PasskeysOff))
    }

    /// Begins to register a passkey of a user who has others already.
    pub(crate) fn begin_registration(
        &self,
        user: &User,
        others: &[String],
    ) -> Result<Begun, Error> {
        let handle = Uuid::parse_str(user.id.as_str()).map_err(|_| Error::Row { what: "user" })?;
        let others: Vec<CredentialID> =
            others.iter().filter_map(|id| URL_SAFE_NO_PAD.decode(id).ok()).collect();
        let (options, state) = self
            .ceremonies()?
            .start_passkey_registration(handle, &user.username, user.name(), Some(others))
            .map_err(refused)?;
        let mut options = value_of(&options)?;
        // The library leaves it to the authenticator; without it there is no login by passkey alone.
        let selection = &mut options["publicKey"]["authenticatorSelection"];
        selection["residentKey"] = json!("required");
        selection["requireResidentKey"] = json!(true);
        Ok(Begun { options, state: text_of(&state)? })
    }

    /// Takes what the authenticator made.
    pub(crate) fn finish_registration(&self, state: &str, answer: Value) -> Result<Kept, Error> {
        let state: PasskeyRegistration =
            serde_json::from_str(state).map_err(|_| Error::Row { what: "ticket" })?;
        let answer: RegisterPublicKeyCredential = serde_json::from_value(answer)
            .map_err(|_| Error::Factor(FactorError::PasskeyRefused))?;
        let key =
            self.ceremonies()?.finish_passkey_registration(&answer, &state).map_err(refused)?;
        Ok(Kept {
            credential_id: URL_SAFE_NO_PAD.encode(key.cred_id()),
            data: text_of(&key)?,
            counter: 0,
        })
    }

    /// Begins a login that names nobody.
    pub(crate) fn begin_login(&self) -> Result<Begun, Error> {
        let (options, state) =
            self.ceremonies()?.start_discoverable_authentication().map_err(refused)?;
        let mut options = value_of(&options)?;
        // Whether it is offered while typing or after a click is the page's choice.
        if let Some(options) = options.as_object_mut() {
            options.remove("mediation");
        }
        // An empty list and none mean the same to the standard, but not to every authenticator.
        if let Some(options) = options["publicKey"].as_object_mut() {
            options.remove("allowCredentials");
        }
        Ok(Begun { options, state: text_of(&state)? })
    }

    /// Reads whom an answer claims to come from.
    pub(crate) fn claim(answer: &Value) -> Result<Claim, Error> {
        let answer: PublicKeyCredential = serde_json::from_value(answer.clone())
            .map_err(|_| Error::Factor(FactorError::PasskeyRefused))?;
        let handle = answer.get_user_unique_id().and_then(|id| Uuid::from_slice(id).ok());
        Ok(Claim {
            user_id: handle.and_then(|id| UserId::parse(&id.to_string()).ok()),
            credential_id: URL_SAFE_NO_PAD.encode(answer.get_credential_id()),
        })
    }

    /// Checks what the authenticator of a kept passkey signed; answers the passkey after this use.
    pub(crate) fn finish_login(
        &self,
        state: &str,
        answer: Value,
        data: &str,
    ) -> Result<Kept, Error> {
        let state: DiscoverableAuthentication =
            serde_json::from_str(state).map_err(|_| Error::Row { what: "ticket" })?;
        let answer: PublicKeyCredential = serde_json::from_value(answer)
            .map_err(|_| Error::Factor(FactorError::PasskeyRefused))?;
        let mut key: Passkey =
            serde_json::from_str(data).map_err(|_| Error::Row { what: "passkey" })?;
        let result = self
            .ceremonies()?
            .finish_discoverable_authentication_v2(&answer, state, &key)
            .map_err(refused)?;
        if !result.user_verified() {
            return Err(Error::Factor(FactorError::PasskeyRefused));
        }
        key.update_credential(&result);
        Ok(Kept {
            credential_id: URL_SAFE_NO_PAD.encode(key.cred_id()),
            data: text_of(&key)?,
            counter: i64::from(result.counter()),
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "given to map_err")]
fn refused(error: WebauthnError) -> Error {
    tracing::debug!(error = %error, "a passkey's ceremony was refused");
    Error::Factor(FactorError::PasskeyRefused)
}

fn value_of(options: &impl serde::Serialize) -> Result<Value, Error> {
    serde_json::to_value(options).map_err(|_| Error::Row { what: "ceremony" })
}

fn text_of(state: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(state).map_err(|_| Error::Row { what: "ceremony" })
}

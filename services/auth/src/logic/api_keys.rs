//! API keys.

use lightning_mesh::{clock::Timestamp, idempotency::Key, identity::Caller, task};
use lightning_store::{Once, Outcome};

use super::{
    Auth, check_scopes,
    directory::cut,
    organization_of,
    sessions::{Visible, session_of, visible},
};
use crate::{
    Error,
    domain::{
        ApiKeyId, UserId,
        api_keys::{ApiKey, KeyText, Owner},
        permissions,
        principals::Principal,
    },
    error::CredentialError,
    store::{Slice, Which},
};

/// Microseconds of a minute: how exactly the last use is kept.
const MINUTE: i64 = 60_000_000;

/// A key that is to be, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) allowed_addresses: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
    /// The service account that it shall belong to, if not to the caller.
    pub(crate) account: Option<String>,
}

/// Whose key it is and what it may do.
pub(crate) struct Verified {
    pub(crate) key: ApiKey,
    pub(crate) owner: Principal,
    pub(crate) permissions: Vec<String>,
}

impl Auth {
    /// Makes a key of the caller, or of a service account that may do no more than the caller; answers
    /// what `answer` writes, now or when the same request came before. It is kept sealed for a
    /// repetition, because the key stands in it.
    pub(crate) async fn create_api_key(
        &self,
        caller: &Caller,
        draft: Draft,
        repeat: Option<Key>,
        answer: impl FnOnce(&ApiKey, &KeyText) -> Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let (owner, organization_id, scopes) = self.owner_of_new_key(caller, &draft).await?;
        let text = KeyText::generate();
        let key = ApiKey {
            id: ApiKeyId::generate(),
            organization_id,
            owner,
            name: draft.name,
            prefix: text.prefix(),
            suffix: text.suffix(),
            scopes,
            allowed_addresses: draft.allowed_addresses,
            expires_at: draft.expires_at,
            used_at: None,
            created_at: self.clock.now(),
        };
        let plain = answer(&key, &text);
        let about = repeat.as_ref().map(|repeat| format!("{} {}", repeat.scope, repeat.key));
        let once = repeat.zip(about.as_ref()).map(|(repeat, about)| Once {
            scope: repeat.scope,
            key: repeat.key,
            fingerprint: repeat.fingerprint,
            reply: self.seal.close(about, &plain),
        });
        match self.store.insert_api_key(&key, &text.hash(), once).await? {
            Outcome::Done(_) => {
                tracing::info!(owner_id = key.owner.id(), api_key_id = %key.id, "API key created");
                let details = vec![
                    ("name", key.name.clone()),
                    ("owner_id", key.owner.id().to_owned()),
                    ("scopes", key.scopes.join(" ")),
                ];
                let resource = ("api-key", key.id.as_str());
                self.note(caller, "api_key.created", resource, details).await?;
                Ok(plain)
            }
            Outcome::Replayed(sealed) => Ok(self.seal.open(&about.unwrap_or_default(), &sealed)?),
            Outcome::Mismatch => Err(Error::RequestIdReused),
        }
    }

    /// Whose a new key is, and what it may do.
    async fn owner_of_new_key(
        &self,
        caller: &Caller,
        draft: &Draft,
    ) -> Result<(Owner, String, Vec<String>), Error> {
        // A key cannot make keys: it would outlive itself.
        let (user_id, _) = session_of(caller)?;
        let Some(account) = &draft.account else {
            let user = self.user(user_id.as_str()).await?;
            let scopes = self.scopes_for(caller, &user, &draft.scopes)?;
            return Ok((Owner::User(user_id), user.organization_id, scopes));
        };
        if !caller.permits("auth.write") {
            return Err(Error::Denied { permission: "auth.write".to_owned() });
        }
        let account = self.account(caller, account)?;
        let directory = self.access.directory();
        self.may_speak_for(caller, &directory, &account)?;
        let held = Self::rights_of_account(&directory, &account);
        let scopes = check_scopes(&account.organization_id, &draft.scopes, &held)?;
        Ok((Owner::Account(account.id), account.organization_id, scopes))
    }

    /// Keys: the caller's own, or with `auth.read` everybody's of the organisation.
    pub(crate) async fn api_keys(
        &self,
        caller: &Caller,
        slice: &Slice,
        which: &Which<'_>,
    ) -> Result<Vec<ApiKey>, Error> {
        match visible(caller, which.user) {
            Visible::Nothing => Ok(Vec::new()),
            Visible::Of(user) => {
                let which = Which { user, ..*which };
                self.store.api_keys_in(slice, organization_of(caller)?, &which).await
            }
        }
    }

    /// Deletes a key: one's own, or with `auth.write` anybody's of the organisation.
    pub(crate) async fn delete_api_key(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let unknown = || Error::Credential(CredentialError::ApiKeyNotFound { id: cut(id) });
        let known = ApiKeyId::parse(id).map_err(|_| unknown())?;
        let key = self.store.api_key(&known).await?.ok_or_else(unknown)?;
        let is_own = caller.user_id().is_some()
            && caller.user_id() == key.owner.user_id().map(UserId::as_str);
        let is_here = caller.organization_id == key.organization_id;
        let may = is_own || (is_here && caller.permits("auth.write"));
        if !may || !self.store.delete_api_key(&key.id).await? {
            return Err(unknown());
        }
        self.access.changed().await;
        tracing::info!(api_key_id = %key.id, "API key deleted");
        let details = vec![("name", key.name), ("owner_id", key.owner.id().to_owned())];
        self.note(caller, "api_key.deleted", ("api-key", key.id.as_str()), details).await
    }

    /// Whose key a text is. One and the same error for everything that is not a good key.
    pub(crate) async fn verify_api_key(&self, text: &str) -> Result<Verified, Error> {
        let hash =
            KeyText::parse(text).ok_or(Error::Credential(CredentialError::ApiKeyRefused))?.hash();
        let key = self
            .store
            .api_key_by_hash(&hash)
            .await?
            .ok_or(Error::Credential(CredentialError::ApiKeyRefused))?;
        let now = self.clock.now();
        if key.is_expired(now) {
            return Err(Error::Credential(CredentialError::ApiKeyRefused));
        }
        let owner = match &key.owner {
            Owner::User(id) => match self.acting_user(id).await {
                Ok(user) => self.principal_of(&user),
                Err(Error::Credential(CredentialError::GrantInvalid)) => {
                    return Err(Error::Credential(CredentialError::ApiKeyRefused));
                }
                Err(error) => return Err(error),
            },
            Owner::Account(id) => self
                .service_account(id.as_str())
                .and_then(|account| self.principal_of_account(&account))
                .ok_or(Error::Credential(CredentialError::ApiKeyRefused))?,
        };
        self.note_use(&key, now);
        let permissions = permissions::under(&owner.permissions, &key.scopes);
        Ok(Verified { key, owner, permissions })
    }

    /// Keeps the minute of the last use, beside the call: a slow or full disk must not refuse a key.
    fn note_use(&self, key: &ApiKey, now: Timestamp) {
        let minute = Timestamp::from_micros(now.as_micros().div_euclid(MINUTE) * MINUTE);
        if key.used_at.is_some_and(|used| used >= minute) {
            return;
        }
        let (store, id) = (self.store.clone(), key.id.clone());
        task::spawn("auth-key-use", async move {
            if let Err(error) = store.api_key_used(&id, minute).await {
                tracing::warn!(api_key_id = %id, error = %error, "the last use of an API key is not kept");
            }
        });
    }
}

//! API keys.

use lightning_mesh::{clock::Timestamp, idempotency::Key, identity::Caller, task};
use lightning_store::{Once, Outcome};

use super::{
    Auth, scopes_for,
    sessions::{Visible, session_of, visible},
};
use crate::{
    Error,
    domain::{
        ApiKeyId,
        api_keys::{ApiKey, KeyText},
        permissions,
        principals::Principal,
    },
    store::Slice,
};

/// Microseconds of a minute: how exactly the last use is kept.
const MINUTE: i64 = 60_000_000;

/// A key that is to be, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Whose key it is and what it may do.
pub(crate) struct Verified {
    pub(crate) key: ApiKey,
    pub(crate) owner: Principal,
    pub(crate) permissions: Vec<String>,
}

impl Auth {
    /// Makes a key of the caller; answers what `answer` writes, now or when the same request came
    /// before. It is kept sealed for a repetition, because the key stands in it.
    pub(crate) async fn create_api_key(
        &self,
        caller: &Caller,
        draft: Draft,
        repeat: Option<Key>,
        answer: impl FnOnce(&ApiKey, &KeyText) -> Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let (user_id, _) = session_of(caller)?;
        let user = self.user(user_id.as_str()).await?;
        let scopes = scopes_for(caller, &user, &draft.scopes)?;
        let text = KeyText::generate();
        let key = ApiKey {
            id: ApiKeyId::generate(),
            user_id,
            name: draft.name,
            prefix: text.prefix(),
            scopes,
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
                tracing::info!(user_id = %key.user_id, api_key_id = %key.id, "API key created");
                Ok(plain)
            }
            Outcome::Replayed(sealed) => Ok(self.seal.open(&about.unwrap_or_default(), &sealed)?),
            Outcome::Mismatch => Err(Error::RequestIdReused),
        }
    }

    /// Keys: the caller's own, or with `auth.read` everybody's.
    pub(crate) async fn api_keys(
        &self,
        caller: &Caller,
        slice: &Slice,
        user: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<ApiKey>, Error> {
        match visible(caller, user) {
            Visible::Nothing => Ok(Vec::new()),
            Visible::Of(user) => self.store.api_keys_in(slice, user, name).await,
        }
    }

    /// Deletes a key: one's own, or with `auth.write` anybody's.
    pub(crate) async fn delete_api_key(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let unknown = || Error::ApiKeyNotFound { id: id.chars().take(128).collect() };
        let known = ApiKeyId::parse(id).map_err(|_| unknown())?;
        let key = self.store.api_key(&known).await?.ok_or_else(unknown)?;
        let is_own = caller.user_id() == Some(key.user_id.as_str());
        if !(is_own || caller.permits("auth.write")) || !self.store.delete_api_key(&key.id).await? {
            return Err(unknown());
        }
        self.access.changed().await;
        tracing::info!(api_key_id = %key.id, "API key deleted");
        Ok(())
    }

    /// Whose key a text is. One and the same error for everything that is not a good key.
    pub(crate) async fn verify_api_key(&self, text: &str) -> Result<Verified, Error> {
        let hash = KeyText::parse(text).ok_or(Error::ApiKeyRefused)?.hash();
        let key = self.store.api_key_by_hash(&hash).await?.ok_or(Error::ApiKeyRefused)?;
        let now = self.clock.now();
        if key.is_expired(now) {
            return Err(Error::ApiKeyRefused);
        }
        let owner = match self.acting_user(&key.user_id).await {
            Ok(user) => self.principal_of(&user).await?,
            Err(Error::GrantInvalid) => return Err(Error::ApiKeyRefused),
            Err(error) => return Err(error),
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

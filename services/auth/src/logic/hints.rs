//! ID tokens that applications show to say whom they mean (`id_token_hint`).
//!
//! A hint may have expired: it is no credential. It must be ours, signed with a key that is published, and
//! really an ID token: an access token or a logout token, which the same keys sign, is not taken for one.

use super::Auth;
use crate::{Error, domain::browser_sessions::BrowserSession};

/// Whom a token means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) sub: String,
    /// The client that it was made for.
    pub(crate) client_id: String,
    pub(crate) sid: Option<String>,
}

impl Auth {
    /// Reads a hint; none if it is not an ID token of ours.
    pub(crate) fn hint(&self, text: &str) -> Option<Hint> {
        let hint = self.signing.read_id_hint(text, self.clock.now())?;
        Some(Hint { sub: hint.sub, client_id: hint.aud, sid: hint.sid })
    }

    /// Whether a hint means the user of this session, and, if it names a session, this one or one before
    /// it in the same browser.
    pub(crate) async fn is_hinted(
        &self,
        session: &BrowserSession,
        hint: &Hint,
    ) -> Result<bool, Error> {
        if hint.sub != session.user_id.as_str() {
            return Ok(false);
        }
        let Some(sid) = &hint.sid else { return Ok(true) };
        let Ok(sid) = crate::domain::SessionId::parse(sid) else { return Ok(false) };
        let named = self.store.browser_session(&sid).await?;
        Ok(named.is_some_and(|named| named.chain_id == session.chain_id))
    }
}

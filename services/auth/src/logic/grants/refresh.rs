//! Refresh tokens for tokens (RFC 6749 section 6, RFC 9700 section 4.14).
//!
//! Each use gives a successor and voids the token, by a number that one compare-and-swap moves: of many
//! uses at once one wins. Whoever comes with the token before the present one within the grace gets the very
//! same successor, which was kept sealed for that: a client whose answer was lost, or that asked twice,
//! goes on, and there is never a second successor. After that, and for any older token, somebody has a
//! copy, and the session ends.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lightning_mesh::clock::Timestamp;

use super::{Asking, Auth};
use crate::{
    Error,
    audit::Outcome,
    contract,
    domain::{
        clients::{OWN_CLIENT, is_oidc_scope},
        permissions,
        sessions::{RefreshToken, Session, Worth},
    },
    logic::sessions::{Minting, Tokens},
    oidc::error::{OauthError, OauthResult},
};

/// A session with the token that follows the one that came.
struct Turn {
    session: Session,
    next: RefreshToken,
}

impl Auth {
    pub(super) async fn refresh_grant(&self, asking: &Asking<'_>) -> OauthResult<Tokens> {
        let sent = asking.form.require("refresh_token")?;
        let token = RefreshToken::parse(sent).ok_or_else(Error::grant_invalid)?;
        let now = asking.now;
        let session =
            self.store.session(&token.session_id()).await?.ok_or_else(Error::grant_invalid)?;
        // Everything about who asks comes before what the token is worth: a stranger with a copy learns
        // nothing from it and ends nothing.
        may_refresh(&session, asking)?;
        if self.worth_of(&session, &token, now) == Worth::Replayed {
            return Err(self.token_came_twice(asking, &session, now).await);
        }
        let user = self.acting_user(&session.user_id).await?;
        let principal = self.principal_of(&user);
        let held = asking.client.permitted(&principal.permissions, &session.scopes);
        let scopes = narrower(&held, &session, asking)?;
        let audiences = self.audiences(asking.form, &session.terms.audiences)?;
        let turn = self.turn(asking, session, &token).await?;
        let subject = format!("user:{}", user.id);
        let event = asking.event("token.issued", Outcome::Success, &subject);
        self.audit(&event.on("session", turn.session.id.as_str()).with("grant", "refresh_token"));
        let minting = Minting {
            scopes: scopes.as_deref(),
            audiences: &audiences,
            jkt: asking.jkt.as_deref(),
        };
        Ok(self.mint(&user, &turn.session, Some(&turn.next), &minting, now).await?)
    }

    /// The next token of a session, once, whoever is first.
    async fn turn(
        &self,
        asking: &Asking<'_>,
        session: Session,
        token: &RefreshToken,
    ) -> OauthResult<Turn> {
        let now = asking.now;
        match self.worth_of(&session, token, now) {
            Worth::Good => {}
            Worth::Nothing => return Err(Error::grant_invalid().into()),
            Worth::Replayed => return Err(self.token_came_twice(asking, &session, now).await),
        }
        if session.is_repeated(token, self.config.refresh_grace, now) {
            return self.same_again(session);
        }
        let (mut refreshed, next) =
            session.refreshed(token, self.lifetime(), now).ok_or_else(Error::grant_invalid)?;
        if !self.config.refresh_grace.is_zero() {
            let sealed = self.seal.close(&about(&refreshed), next.expose().as_bytes());
            refreshed.successor = Some(STANDARD.encode(sealed));
        }
        if self.store.refresh_session(&refreshed).await? {
            return Ok(Turn { session: refreshed, next });
        }
        // Somebody else used the same token between the two looks.
        let session = self.store.session(&session.id).await?.ok_or_else(Error::grant_invalid)?;
        if session.is_repeated(token, self.config.refresh_grace, now) {
            return self.same_again(session);
        }
        if session.worth(token, now) == Worth::Replayed {
            return Err(self.token_came_twice(asking, &session, now).await);
        }
        Err(Error::grant_invalid().into())
    }

    /// What a token is worth, one that comes again within the grace being good.
    fn worth_of(&self, session: &Session, token: &RefreshToken, now: Timestamp) -> Worth {
        let worth = session.worth(token, now);
        let is_repeated = session.is_repeated(token, self.config.refresh_grace, now);
        if worth == Worth::Replayed && is_repeated { Worth::Good } else { worth }
    }

    fn same_again(&self, session: Session) -> OauthResult<Turn> {
        let sealed = session.successor.as_ref().and_then(|text| STANDARD.decode(text).ok());
        let sealed = sealed.ok_or_else(Error::grant_invalid)?;
        let opened = self.seal.open(&about(&session), &sealed).map_err(Error::from)?;
        let next = std::str::from_utf8(&opened).ok().and_then(RefreshToken::parse);
        Ok(Turn { next: next.ok_or_else(Error::grant_invalid)?, session })
    }

    async fn token_came_twice(
        &self,
        asking: &Asking<'_>,
        session: &Session,
        now: Timestamp,
    ) -> OauthError {
        let subject = format!("user:{}", session.user_id);
        let event = asking.event("refresh_token.reused", Outcome::Denied, &subject);
        self.audit(&event.on("session", session.id.as_str()));
        match self.end(&session.id, now).await {
            Ok(()) => Error::grant_invalid().into(),
            Err(error) => error.into(),
        }
    }
}

/// What the sealed successor is bound to.
fn about(session: &Session) -> String {
    format!("successor {} {}", session.id, session.generation)
}

/// Whether the client may refresh the session: it is its own, and it holds the key of a bound one. A
/// client with a secret may come with a new key (RFC 9449 section 5), but not without one.
fn may_refresh(session: &Session, asking: &Asking<'_>) -> OauthResult<()> {
    let is_own = session.client_id.is_empty() && asking.client.id == OWN_CLIENT;
    let key_fits = match (&session.terms.jkt, &asking.jkt) {
        (None, _) => true,
        (Some(bound), Some(shown)) => bound == shown || !asking.client.is_public(),
        (Some(_), None) => false,
    };
    if (session.client_id == asking.client.id || is_own) && key_fits {
        Ok(())
    } else {
        Err(Error::grant_invalid().into())
    }
}

/// Scopes that are asked for at a refresh: no more than the session has (RFC 6749 section 6). None for
/// those of the session.
fn narrower(
    held: &[String],
    session: &Session,
    asking: &Asking<'_>,
) -> OauthResult<Option<Vec<String>>> {
    let asked = asking.scopes();
    if asked.is_empty() {
        return Ok(None);
    }
    let (oidc, wanted): (Vec<String>, Vec<String>) =
        asked.into_iter().partition(|scope| is_oidc_scope(scope));
    if let Some(more) = oidc.iter().find(|scope| !session.scopes.contains(scope)) {
        let text = format!("the scope {more} was not agreed on");
        return Err(OauthError::new("invalid_scope", text));
    }
    let wanted =
        permissions::check_scopes(&wanted, held, contract::permissions()).map_err(Error::scope)?;
    Ok(Some([oidc, wanted].concat()))
}

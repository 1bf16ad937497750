//! Authorization requests on their way through the pages.
//!
//! A request is read once, sealed, and kept under a random name that only its browser may use; what the
//! user agrees to is what was kept, whatever the pages send back. It is taken out when it is answered, so
//! it gives one code.

use super::Auth;
use crate::{
    Error,
    domain::{
        browser_sessions::BrowserSession,
        codes::{Code, Demand},
        requests::{
            AuthorizationRequest, PENDING_LIFETIME, PUSHED_LIFETIME, PUSHED_PREFIX, Progress,
        },
        sessions::Terms,
    },
    secrets,
    store::{Kind, Waiting},
};

/// How many letters and digits the name of a request has: 256 bits.
const NAME_LENGTH: usize = 43;

impl Auth {
    /// Keeps the parameters of a request that a client pushed or a browser posted; answers its
    /// `request_uri`.
    pub(crate) async fn push_request(
        &self,
        kind: Kind,
        client_id: &str,
        parameters: &str,
    ) -> Result<String, Error> {
        let name = self.keep_request(kind, client_id, parameters, None, None).await?;
        Ok(format!("{PUSHED_PREFIX}{name}"))
    }

    /// Keeps a request while its user signs in or agrees; answers its name. It belongs to the browser
    /// whose cookie has this hash.
    pub(crate) async fn suspend_request(
        &self,
        client_id: &str,
        parameters: &str,
        browser_hash: &str,
        session: Option<&BrowserSession>,
    ) -> Result<String, Error> {
        self.keep_request(Kind::Pending, client_id, parameters, Some(browser_hash), session).await
    }

    async fn keep_request(
        &self,
        kind: Kind,
        client_id: &str,
        parameters: &str,
        browser_hash: Option<&str>,
        session: Option<&BrowserSession>,
    ) -> Result<String, Error> {
        let name = secrets::random_base62(NAME_LENGTH);
        let (hash, now) = (secrets::hash(&name), self.clock.now());
        let lifetime = if kind == Kind::Pending { PENDING_LIFETIME } else { PUSHED_LIFETIME };
        let waiting = Waiting {
            parameters: self.seal.close(&hash, parameters.as_bytes()),
            hash,
            kind,
            client_id: client_id.to_owned(),
            browser_hash: browser_hash.map(str::to_owned),
            progress: Progress {
                session_before: session.map(|session| session.id.clone()),
                is_chosen: false,
            },
            created_at: now,
            expires_at: now + lifetime,
        };
        if !self.store.insert_waiting(&waiting).await? {
            return Err(Error::Overloaded { retry_after: std::time::Duration::from_mins(1) });
        }
        Ok(name)
    }

    /// Takes a pushed or posted request out: it works once (RFC 9126 section 4). None if it is unknown,
    /// used, too old, or another client's.
    pub(crate) async fn take_pushed(
        &self,
        request_uri: &str,
        client_id: &str,
    ) -> Result<Option<(Kind, String)>, Error> {
        let Some(name) = request_uri.strip_prefix(PUSHED_PREFIX) else { return Ok(None) };
        let hash = secrets::hash(name);
        let Some(waiting) = self.store.waiting(&hash).await? else { return Ok(None) };
        // Another client's request stays where it is: knowing its name must not be enough to end it.
        if waiting.kind == Kind::Pending || waiting.client_id != client_id {
            return Ok(None);
        }
        let Some(waiting) = self.store.take_waiting(&hash).await? else { return Ok(None) };
        if self.clock.now() >= waiting.expires_at {
            return Ok(None);
        }
        Ok(Some((waiting.kind, self.parameters_of(&waiting)?)))
    }

    /// A request that waits for the user of this browser.
    pub(crate) async fn pending_request(
        &self,
        name: &str,
        browser_hash: &str,
    ) -> Result<Option<(Progress, String)>, Error> {
        let waiting = self.store.waiting(&secrets::hash(name)).await?;
        let own = waiting.filter(|waiting| {
            waiting.kind == Kind::Pending
                && waiting.browser_hash.as_deref() == Some(browser_hash)
                && self.clock.now() < waiting.expires_at
        });
        own.map(|waiting| Ok((waiting.progress.clone(), self.parameters_of(&waiting)?))).transpose()
    }

    /// Takes a request out to answer it. False if somebody was faster.
    pub(crate) async fn finish_request(&self, name: &str) -> Result<bool, Error> {
        Ok(self.store.take_waiting(&secrets::hash(name)).await?.is_some())
    }

    /// Notes that the user chose the account.
    pub(crate) async fn choose_account(&self, name: &str) -> Result<(), Error> {
        self.store.choose(&secrets::hash(name)).await
    }

    fn parameters_of(&self, waiting: &Waiting) -> Result<String, Error> {
        let plain = self.seal.open(&waiting.hash, &waiting.parameters)?;
        String::from_utf8(plain).map_err(|_| Error::Row { what: "authorization request" })
    }

    /// A code for what the user agreed to.
    pub(crate) async fn give_code(
        &self,
        request: &AuthorizationRequest,
        session: &BrowserSession,
        scopes: Vec<String>,
    ) -> Result<String, Error> {
        let demand = Demand {
            client_id: request.client_id.clone(),
            redirect_uri: request.reply.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            scopes: scopes.clone(),
            state: request.reply.state.clone().unwrap_or_default(),
        };
        let terms = Terms {
            browser_session_id: Some(session.id.to_string()),
            authentication: session.authentication.clone(),
            audiences: request.resources.clone(),
            jkt: request.jkt.clone(),
            claims: request.claims.clone(),
            nonce: request.nonce.clone(),
        };
        let now = self.clock.now();
        let (code, text) =
            Code::give(&demand, session.user_id.clone(), session.id.clone(), scopes, terms, now);
        self.store.insert_code(&code).await?;
        tracing::info!(user_id = %session.user_id, client_id = request.client_id, "code given");
        Ok(text)
    }
}

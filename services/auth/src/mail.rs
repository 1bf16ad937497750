//! Messages to people, over SMTP.
//!
//! A message is handed over and sent in the background: how long a mail server takes must not tell
//! whether there was anybody to write to. Only so many may be on their way at once; one that the server
//! does not take is given up and logged, because its reader can ask for another. Nothing that people
//! chose freely (names) stands in a message, only addresses that were checked and links to the
//! configured issuer.

use std::{sync::Arc, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::authentication::Credentials,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, config::Mail};

/// The most messages that are on their way at once.
const MOST: usize = 64;
/// How long a server may take for each step.
const PATIENCE: Duration = Duration::from_secs(20);
/// What an overloaded server asks for.
const RETRY: Duration = Duration::from_secs(10);

/// Sends messages. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Mailer {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    places: Arc<Semaphore>,
}

/// The right to send one message, whether or not there turns out to be anybody to send it to.
pub(crate) struct Stamp(OwnedSemaphorePermit);

// === impl Mailer ===

impl Mailer {
    /// Reads the password; connects when there is something to send.
    pub(crate) fn open(config: &Mail) -> Result<Self, Error> {
        let wrong = |what: String| Error::Config { key: "mail", what };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&config.url)
            .map_err(|error| wrong(format!("url cannot be used: {error}")))?
            .timeout(Some(PATIENCE));
        let password = config.password.load().map_err(|error| wrong(error.to_string()))?;
        let builder = match password {
            Some(password) => builder.credentials(Credentials::new(
                config.username.clone(),
                password.expose().to_owned(),
            )),
            None => builder,
        };
        let from = config.from.parse().map_err(|_| wrong("from is not an address".to_owned()))?;
        Ok(Self { server: builder.build(), from, places: Arc::new(Semaphore::new(MOST)) })
    }

    /// Takes a place for one message.
    pub(crate) fn stamp(&self) -> Result<Stamp, Error> {
        let place = self.places.clone().try_acquire_owned();
        place.map(Stamp).map_err(|_| Error::Overloaded { retry_after: RETRY })
    }

    /// Sends a message; gives it up if the server does not take it.
    pub(crate) async fn send(&self, stamp: Stamp, to: &str, subject: &str, text: String) {
        let message = to.parse().ok().and_then(|address| {
            Message::builder()
                .from(self.from.clone())
                .to(Mailbox::new(None, address))
                .subject(subject)
                .header(ContentType::TEXT_PLAIN)
                .body(text)
                .ok()
        });
        let Some(message) = message else {
            tracing::warn!("a message cannot be written: its address is malformed");
            return;
        };
        if let Err(error) = self.server.send(message).await {
            tracing::warn!(error = %error, "the mail server did not take a message");
        }
        drop(stamp.0);
    }
}

//! The client's end: shaking hands with a service, by its word.

use std::io;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Tls,
    figures::{Outcome, Side},
};

/// A connection to a service that proved who it is.
pub(crate) type ClientStream = TlsStream<TcpStream>;

impl Tls {
    /// Shakes hands with the service of this word: it must show the certificate of that word, and is
    /// shown ours. The caller bounds the time.
    pub(crate) async fn connect(&self, stream: TcpStream, word: &str) -> io::Result<ClientStream> {
        let name = ServerName::try_from(word.to_owned()).map_err(|_| {
            io::Error::other(format!("{word:?} cannot be the name of a service in a certificate"))
        })?;
        let connector = TlsConnector::from(self.current().client.clone());
        match connector.connect(name, stream).await {
            Ok(stream) => {
                self.0.figures.handshake(Side::Client, Outcome::Ok);
                Ok(stream)
            }
            Err(error) => {
                self.0.figures.handshake(Side::Client, Outcome::Failed);
                let reason = self.failed(&error);
                if self.0.figures.may_speak() {
                    let service = &self.0.service;
                    tracing::warn!(service, peer = word, error = reason, "TLS handshake failed");
                }
                Err(io::Error::other(reason))
            }
        }
    }
}

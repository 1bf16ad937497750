//! The server's end: the handshake of a connection, and what may be asked over it.

use std::{io, net::SocketAddr, time::Duration};

use http::Request;
use lightning_proto::mesh::v1::ErrorReason;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Mode, PeerIdentity, Tls,
    figures::{Outcome, Side},
    material::end_of,
    spiffe::SpiffeId,
};
use crate::fault::Fault;

/// How long, and for how many bytes, a refused client may go on talking. Closing at once with unread
/// bytes would reset the connection, and the client might lose the alert that says why.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: u64 = 64 * 1024;
/// Paths of probes, which carry no certificate. They tell nothing that is secret.
const PROBES: [&str; 4] =
    ["/health", "/metrics", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];

/// What a request came over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// A pipe inside the process.
    Pipe,
    /// TCP in plain text.
    Plain,
    /// TLS, with a client certificate or without.
    Tls(Option<PeerIdentity>),
}

/// A connection after its handshake.
pub(crate) struct Secured<T> {
    pub(crate) stream: TlsStream<T>,
    pub(crate) identity: Option<PeerIdentity>,
    /// How long it may live: until one of the two certificates ends. One that has ended already (ours, and
    /// the client did not mind) does not count.
    pub(crate) lifetime: Option<Duration>,
}

impl Tls {
    /// Shakes hands with a client; `None` if that fails, which is counted and told of here.
    pub(crate) async fn accept<T>(&self, stream: T, peer: Option<SocketAddr>) -> Option<Secured<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let material = self.current();
        let handshake = TlsAcceptor::from(material.server.clone()).accept(stream).into_fallible();
        let outcome = tokio::time::timeout(self.0.config.handshake_timeout, handshake).await;
        let figures = &self.0.figures;
        let (error, stream) = match outcome {
            Ok(Ok(stream)) => {
                figures.handshake(Side::Server, Outcome::Ok);
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let ends = certificate.and_then(|certificate| end_of(certificate));
                let ends = ends.into_iter().chain([material.not_after]);
                let now = self.0.clock.now();
                let lifetime = ends.filter(|end| *end > now).min().map(|end| end.since(now));
                // The verifier read the same name before, so this cannot fail.
                let id = certificate.and_then(|der| SpiffeId::of_certificate(der).ok());
                let identity = id.map(|id| PeerIdentity {
                    spiffe_id: id.to_string(),
                    service: id.service().to_owned(),
                });
                return Some(Secured { stream, identity, lifetime });
            }
            Ok(Err((error, stream))) => (error, Some(stream)),
            Err(_) => (io::ErrorKind::TimedOut.into(), None),
        };
        figures.handshake(Side::Server, Outcome::Failed);
        let reason = self.failed(&error);
        if figures.may_speak() {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(service = self.0.service, peer, error = reason, "TLS handshake failed");
        }
        if let Some(stream) = stream {
            linger(stream).await;
        }
        None
    }

    /// Whether a request may be answered that came over this link; else why not. `Off` has no `Tls`.
    pub(crate) fn admit<B>(&self, link: &Link, request: &Request<B>) -> Result<(), Fault> {
        let strict = match self.0.config.mode {
            Mode::Off | Mode::Permissive => false,
            Mode::Strict => true,
        };
        if !strict {
            return Ok(());
        }
        match link {
            Link::Pipe | Link::Tls(Some(_)) => Ok(()),
            Link::Plain => Err(Fault::denied(ErrorReason::TlsRequired)
                .message("this port answers over TLS alone; use https")),
            Link::Tls(None) => {
                let open = self.0.config.open_to_clients.iter().any(|word| *word == self.0.service);
                if open || PROBES.contains(&request.uri().path()) {
                    return Ok(());
                }
                Err(Fault::denied(ErrorReason::CertificateRequired).message(
                    "this port answers services of the mesh alone: show a client certificate of its \
                     authority, or ask the gateway",
                ))
            }
        }
    }
}

/// Says goodbye and reads on for a moment.
async fn linger<T: AsyncRead + AsyncWrite + Unpin>(mut stream: T) {
    let goodbye = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // However it ends, the connection is over.
    let _ = tokio::time::timeout(LINGER, goodbye).await;
}

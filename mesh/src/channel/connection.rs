//! One connection to one endpoint ("lane"): how it is made, and how a call goes over it.
//!
//! An HTTP/2 connection is one mutex for all its calls, so an endpoint has several lanes and takes the
//! least busy one. What was never written to a lane comes back as it was, so that it can go elsewhere;
//! what was written is answered here, whatever happens, and never repeated.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::{
    Request, Response, Uri, header,
    uri::{Authority, Scheme},
};
use tokio::net::TcpStream;
use tonic::Status;

use self::attempt::Attempt;
use super::{
    Body, ChannelConfig,
    deadline::CallBounds,
    http2::{self, Driver, Keepalive, SendError, Sender},
    outcome::NotSent,
    pipe::Pipe,
};
use crate::{body::Bounds, tls::Tls};

mod answer;
pub(super) mod attempt;

/// Where an endpoint is.
#[derive(Clone)]
pub(super) enum Place {
    /// In this process.
    Pipe(Pipe),
    /// At a socket; requests name the authority that was configured.
    Socket { at: SocketAddr, authority: Authority, secure: bool },
}

/// Makes the connections of one endpoint.
pub(super) struct Connector {
    /// The word of the peer, which its certificate must name.
    peer: String,
    pub(super) place: Place,
    tls: Option<Tls>,
    connect_timeout: Duration,
    keepalive: Keepalive,
}

/// An open connection.
pub(super) struct Lane {
    sender: Sender,
    busy: AtomicUsize,
}

// === impl Place ===

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pipe(ours), Self::Pipe(theirs)) => ours.is(theirs),
            (
                Self::Socket { at, authority, secure },
                Self::Socket { at: other_at, authority: other_authority, secure: other_secure },
            ) => (at, authority, secure) == (other_at, other_authority, other_secure),
            (Self::Pipe(_), Self::Socket { .. }) | (Self::Socket { .. }, Self::Pipe(_)) => false,
        }
    }
}

// === impl Connector ===

impl Connector {
    pub(super) fn new(peer: &str, place: Place, tls: Option<&Tls>, config: &ChannelConfig) -> Self {
        Self {
            peer: peer.to_owned(),
            place,
            tls: tls.cloned(),
            connect_timeout: config.connect_timeout,
            keepalive: Keepalive {
                interval: config.keepalive_interval,
                timeout: config.keepalive_timeout,
            },
        }
    }

    /// Makes a connection, within the time it may take.
    pub(super) async fn connect(&self) -> io::Result<(Lane, Driver)> {
        let connecting = tokio::time::timeout(self.connect_timeout, self.open());
        connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn open(&self) -> io::Result<(Lane, Driver)> {
        let (sender, driver) = match &self.place {
            // The other end cannot vanish without a word.
            Place::Pipe(pipe) => http2::handshake(pipe.connect().await?, None).await?,
            Place::Socket { at, secure, .. } => {
                let stream = TcpStream::connect(at).await?;
                stream.set_nodelay(true)?;
                let keepalive = Some(self.keepalive);
                match (secure, &self.tls) {
                    (false, _) => http2::handshake(stream, keepalive).await?,
                    (true, Some(tls)) => {
                        http2::handshake(tls.connect(stream, &self.peer).await?, keepalive).await?
                    }
                    // A node whose TLS is off does not start with such an address.
                    (true, None) => return Err(io::Error::other("https needs [mesh.tls]")),
                }
            }
        };
        Ok((Lane { sender, busy: AtomicUsize::new(0) }, driver))
    }

    /// Puts the endpoint's authority into a request.
    pub(super) fn address(&self, request: &mut Request<Body>) {
        let (authority, scheme) = match &self.place {
            Place::Socket { authority, secure: true, .. } => (authority.clone(), Scheme::HTTPS),
            Place::Socket { authority, secure: false, .. } => (authority.clone(), Scheme::HTTP),
            Place::Pipe(_) => (Authority::from_static("pipe"), Scheme::HTTP),
        };
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(scheme);
        parts.authority = Some(authority);
        if parts.path_and_query.is_none() {
            parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        }
        *request.uri_mut() =
            Uri::from_parts(parts).expect("scheme, authority and path are all set");
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().remove(header::HOST);
    }
}

// === impl Lane ===

impl Lane {
    /// Calls on it that have not ended.
    pub(super) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request; gives it back if it was never written, because the connection was closing.
    pub(super) async fn send(
        &self,
        request: Request<Body>,
        mut attempt: Attempt,
    ) -> Result<Response<Body>, Box<Request<Body>>> {
        let bounds = request.extensions().get::<CallBounds>().map_or_else(Bounds::default, |b| b.0);
        match self.sender.send(request).await {
            Ok(response) => Ok(answer::checked(response, bounds, Some(attempt))),
            Err(SendError::Unsent(request)) => {
                attempt.nothing();
                Err(request)
            }
            Err(SendError::Failed(error)) => {
                let error = error.into();
                let status = answer::read_error(&error);
                let refused = answer::is_refused(&error);
                if refused {
                    attempt.nothing();
                } else {
                    attempt.ended(status.code(), None);
                }
                Ok(failure(status, refused))
            }
        }
    }

    /// Sends a request that is no call: nothing is learned from it.
    pub(super) async fn watch(&self, request: Request<Body>) -> Response<Body> {
        match self.sender.send(request).await {
            Ok(response) => answer::checked(response, Bounds::default(), None),
            Err(SendError::Unsent(_)) => {
                failure(Status::unavailable("the connection closed"), true)
            }
            Err(SendError::Failed(error)) => failure(answer::read_error(&error.into()), false),
        }
    }
}

/// The answer for a call that has none; `refused` if its request was not looked at.
fn failure(status: Status, refused: bool) -> Response<Body> {
    let mut response = status.into_http::<Body>().map(|_| Body::empty());
    if refused {
        response.extensions_mut().insert(NotSent);
    }
    response
}

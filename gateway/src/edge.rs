//! What stands around every request at the edge, in the order in which it meets it: who is at the other
//! end, what it may not claim, its id, other sites, compressed bodies; then the request is answered; then
//! headers, compression and the log, on the way out.
//!
//! Nothing here knows a route, reads a message or decides who may call: that is asked in the gate.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
    request::Parts,
};
use ipnet::IpNet;
use lightning_mesh::{
    body::{Body, boxed, empty},
    fault::Fault,
    id,
    identity::{ADDRESS, ClientAddress},
    policy::{Next, Wrap},
    serve::{Secured, plain_error_as},
};
use lightning_proto::mesh::v1::ErrorReason;
use tonic::Status;

use crate::{
    Config, Error,
    access_log::Line,
    client::Client,
    compress::{self, Wish},
    config::CompressionConfig,
    cors::Cors,
    hygiene,
    notes::Notes,
    security::Security,
};

/// The header by which a request is found again, in our logs and in the caller's.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest one that is taken over.
const MAX_REQUEST_ID: usize = 128;

/// The edge.
pub(crate) struct Edge {
    trusted: Vec<IpNet>,
    cors: Option<Cors>,
    compression: CompressionConfig,
    security: Security,
    log: bool,
    /// Most bytes of a request body, decoded.
    max_body: usize,
}

/// How a request wants to be answered.
#[derive(Clone)]
enum Tongue {
    Http,
    /// gRPC or gRPC-Web, by its content type.
    Grpc(HeaderValue),
}

/// Why a request is not even looked at.
struct Refused {
    fault: Fault,
    http: StatusCode,
}

impl Edge {
    /// `max_body` is the most bytes of a request body that anything behind the edge takes.
    pub(crate) fn new(config: &Config, max_body: usize) -> Result<Self, Error> {
        Ok(Self {
            trusted: config.trusted_proxies.clone(),
            cors: Cors::new(&config.cors)?,
            compression: config.compression.clone(),
            security: Security::new(config.hsts),
            log: config.access_log,
            max_body,
        })
    }

    async fn serve(&self, request: Request<Body>, next: Next<'_>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let client = Client::of(&parts.extensions, &parts.headers, &self.trusted);
        let tongue = Tongue::of(&parts);
        let id = request_id(&mut parts.headers);
        let notes = Notes::default();
        let line = Line::begin(&parts.method, client, text(&id), &notes).filter(|_| self.log);
        let granted = self.cors.as_ref().and_then(|cors| cors.grant(&parts.headers));
        let wish = Wish::of(&parts);
        let asks = parts.method == Method::OPTIONS;
        parts.extensions.insert(client);
        parts.extensions.insert(notes.clone());

        let mut response = match self.prepare(&mut parts, body, client, &tongue) {
            Ok(body) => match self.cors.as_ref().and_then(|cors| cors.preflight(&parts)) {
                Some(preflight) => preflight,
                None => next.run(Request::from_parts(parts, body)).await,
            },
            Err(refused) => tongue.refuse(refused),
        };
        if asks {
            tell_methods(&mut response);
        }
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        if let Some(cors) = &self.cors {
            cors.vary(headers);
        }
        if let Some(granted) = granted
            && !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        {
            granted.tell(headers);
        }
        notes.with(|known| {
            if let Some(limit) = &known.limit {
                limit.tell(headers);
            }
        });
        if matches!(tongue, Tongue::Http) {
            self.security.tell(headers, client);
            response = wish.grant(&self.compression, response);
        }
        match line {
            Some(line) => line.watch(response),
            None => response,
        }
    }

    /// Makes the request one that can be believed, or says what is wrong with it.
    fn prepare(
        &self,
        parts: &mut Parts,
        body: Body,
        client: Client,
        tongue: &Tongue,
    ) -> Result<Body, Refused> {
        if let Some(why) = hygiene::fault(parts) {
            let fault = Fault::invalid(ErrorReason::InvalidArgument).message(why);
            return Err(Refused { fault, http: StatusCode::BAD_REQUEST });
        }
        hygiene::strip_claims(&mut parts.headers, client.proxied);
        tell_address(parts, client);
        match tongue {
            // What belongs to the connection of HTTP/1 must not reach a service over HTTP/2. The
            // transcoder and the proxy see to it themselves.
            Tongue::Grpc(_) => {
                hygiene::strip_hop_by_hop(&mut parts.headers);
                Ok(body)
            }
            Tongue::Http if self.compression.requests => {
                let decoded = compress::decode(parts, body, self.max_body);
                decoded.map_err(|compress::Unsupported| {
                    let fault = Fault::invalid(ErrorReason::InvalidArgument)
                        .message("content-encoding may be one of gzip, br and zstd");
                    Refused { fault, http: StatusCode::UNSUPPORTED_MEDIA_TYPE }
                })
            }
            Tongue::Http => Ok(body),
        }
    }
}

impl Wrap for Edge {
    fn wrap<'a>(&'a self, request: Request<Body>, next: Next<'a>) -> BoxFuture<'a, Response<Body>> {
        Box::pin(self.serve(request, next))
    }
}

impl Tongue {
    fn of(parts: &Parts) -> Self {
        let kind = parts.headers.get(header::CONTENT_TYPE);
        match kind.filter(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            Some(kind) => Self::Grpc(kind.clone()),
            None => Self::Http,
        }
    }

    /// Says no in the caller's protocol.
    fn refuse(&self, Refused { fault, http }: Refused) -> Response<Body> {
        let mut response = match self {
            Self::Http => plain_error_as(fault, http),
            Self::Grpc(kind) => {
                let mut response = Status::from(fault).into_http::<tonic::body::Body>();
                response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
                response.map(boxed)
            }
        };
        if http == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            response.headers_mut().insert(header::ACCEPT_ENCODING, compress::ACCEPTED);
        }
        response
    }
}

/// Tells the gate here, and the services behind, where the client is. Nobody else can: what came under
/// this name from outside is off already.
fn tell_address(parts: &mut Parts, client: Client) {
    if client.secure {
        parts.extensions.insert(Secured);
    }
    let Some(address) = client.address else { return };
    parts.extensions.insert(ClientAddress(address));
    if let Ok(value) = HeaderValue::try_from(address.to_string()) {
        parts.headers.insert(ADDRESS, value);
    }
}

/// Takes over the id of a request if it can stand in a log and a header, or makes one; passes it on.
fn request_id(headers: &mut HeaderMap) -> HeaderValue {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let taken = headers.get(REQUEST_ID).filter(|value| {
        let value = value.as_bytes();
        (1..=MAX_REQUEST_ID).contains(&value.len()) && value.iter().all(fits)
    });
    let id = taken.cloned().unwrap_or_else(|| {
        HeaderValue::try_from(id::generate()).expect("an id is letters, digits and dashes")
    });
    headers.insert(REQUEST_ID, id.clone());
    id
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// Routers of pages refuse `OPTIONS` and say what they allow, which is the answer.
fn tell_methods(response: &mut Response<Body>) {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let Some(allow) = response.headers().get(header::ALLOW).and_then(|it| it.to_str().ok()) else {
        return;
    };
    let allow = format!("{}, OPTIONS", allow.replace(',', ", "));
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.body_mut() = empty();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_TYPE);
    if let Ok(allow) = HeaderValue::try_from(allow) {
        headers.insert(header::ALLOW, allow);
    }
}

/// Puts the edge around a service.
pub(crate) fn around(edge: Edge) -> Arc<dyn Wrap> {
    Arc::new(edge)
}

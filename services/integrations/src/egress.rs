//! The one way out: every call of an external system goes through here.
//!
//! A target is judged by the addresses that its name resolves to, at the moment of connecting and again
//! on each redirect, so neither a name that points inwards, nor one that changes its mind, nor a
//! redirect gets past. What is private is refused unless the operator's allow list names it. There is
//! one client per port, because the resolver of a client is told only the host and must know the port
//! to judge it. Proxies from the environment are not used: they would resolve names for us, unjudged.
//! It knows no connector, and repeats nothing.

use std::{
    collections::HashMap,
    error::Error as StdError,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Client, Method, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{self, HeaderMap},
    redirect,
};
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::Error;

mod guard;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use guard::{Guard, Refusal};

/// The largest answer that is read, in bytes: 10 MiB.
pub(crate) const MAX_BODY: usize = 10 << 20;
/// The longest that a call may take.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(120);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most redirects that are followed.
pub(crate) const MAX_REDIRECTS: usize = 5;
/// The most ports with a client of their own; beyond that all are made anew.
const MAX_CLIENTS: usize = 64;
/// The longest URL, in bytes.
const MAX_URL: usize = 8 << 10;

type Addresses = Vec<SocketAddr>;

/// The guarded client.
pub(crate) struct Egress {
    guard: Arc<Guard>,
    clients: Mutex<HashMap<u16, Client>>,
}

/// One call. No `Debug`: it holds secrets.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Headers that go along to wherever a redirect points.
    pub(crate) headers: HeaderMap,
    /// Headers that prove who is calling: they never leave the origin they are meant for.
    pub(crate) secret_headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Duration,
    /// How many redirects are followed, [`MAX_REDIRECTS`] at most; 0 hands the redirect back.
    pub(crate) redirects: usize,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Host and port that answered.
    pub(crate) target: String,
}

// === impl Egress ===

impl Egress {
    /// Nothing is connected yet.
    pub(crate) fn new(guard: Guard) -> Self {
        Self { guard: Arc::new(guard), clients: Mutex::new(HashMap::new()) }
    }

    /// Calls, follows redirects, and reads the whole answer, within the time of the call.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Error> {
        let (after, name) = (call.timeout.min(MAX_TIMEOUT), target(&call.url));
        match tokio::time::timeout(after, self.follow(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::UpstreamTimeout { target: name, after }),
        }
    }

    /// Says whether a URL may be called now, without calling it.
    pub(crate) async fn check(&self, url: &Url) -> Result<(), Error> {
        let port = self.check_url(url)?;
        if let Some(Host::Domain(host)) = url.host() {
            self.guard.resolve(host, port).await?;
        }
        Ok(())
    }

    /// Connects without HTTP, under the same judgement.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        let name = format!("{host}:{port}");
        let addresses = self.guard.resolve(host, port).await?;
        let connecting = TcpStream::connect(addresses.as_slice());
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                Err(Error::UpstreamUnavailable { target: name, why: error.kind().to_string() })
            }
            Err(_) => Err(Error::UpstreamTimeout { target: name, after: CONNECT_TIMEOUT }),
        }
    }

    async fn follow(&self, mut call: Call) -> Result<Answer, Error> {
        let allowed = call.redirects.min(MAX_REDIRECTS);
        let mut followed = 0;
        loop {
            let response = self.once(&call).await?;
            let next = redirect_of(&response, &call.url);
            match next {
                Some(next) if allowed > 0 => {
                    if followed == allowed {
                        return Err(Error::UpstreamRejected {
                            target: target(&call.url),
                            status: Some(response.status().as_u16()),
                            message: format!("it redirects more than {allowed} times"),
                        });
                    }
                    followed += 1;
                    redirect_to(&mut call, next?, response.status())?;
                }
                Some(_) | None => return read(response, &call.url).await,
            }
        }
    }

    async fn once(&self, call: &Call) -> Result<reqwest::Response, Error> {
        let port = self.check_url(&call.url)?;
        let mut headers = call.headers.clone();
        headers.extend(call.secret_headers.clone());
        let request = self
            .client(port)?
            .request(call.method.clone(), call.url.clone())
            .headers(headers)
            .body(call.body.clone());
        request.send().await.map_err(|error| failure(&error, &call.url))
    }

    /// Judges everything about a URL that needs no resolving; answers its port.
    fn check_url(&self, url: &Url) -> Result<u16, Error> {
        let refuse =
            |why: &str| Err(Error::TargetRefused { target: target(url), why: why.to_owned() });
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("only http and https are called");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("a user or password in the URL is not accepted; use credentials");
        }
        if url.as_str().len() > MAX_URL {
            return refuse("the URL is longer than 8,192 bytes");
        }
        let Some(port) = url.port_or_known_default().filter(|port| *port != 0) else {
            return refuse("it has no port");
        };
        match url.host() {
            None => refuse("it has no host"),
            Some(Host::Domain(_)) => Ok(port),
            Some(Host::Ipv4(ip)) => {
                self.guard.judge(&ip.to_string(), ip.into(), port).map(|()| port)
            }
            Some(Host::Ipv6(ip)) => {
                self.guard.judge(&ip.to_string(), ip.into(), port).map(|()| port)
            }
        }
    }

    fn client(&self, port: u16) -> Result<Client, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&port) {
            return Ok(client.clone());
        }
        let resolver = PortResolver { guard: self.guard.clone(), port };
        let client = Client::builder()
            .dns_resolver(Arc::new(resolver))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(8)
            .referer(false)
            .user_agent(concat!("agent-lightning/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::BuiltIn { what: "HTTP client", why: error.to_string() })?;
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(port, client.clone());
        Ok(client)
    }
}

/// Resolves for one port, and hands on only what may be called.
struct PortResolver {
    guard: Arc<Guard>,
    port: u16,
}

impl Resolve for PortResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, port) = (self.guard.clone(), self.port);
        Box::pin(async move {
            let addresses = guard.lookup(name.as_str(), port).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Where an answer redirects to, if it does.
fn redirect_of(response: &reqwest::Response, from: &Url) -> Option<Result<Url, Error>> {
    let follows = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(header::LOCATION).filter(|_| follows)?;
    let next = location.to_str().ok().and_then(|text| from.join(text).ok());
    Some(next.ok_or_else(|| Error::UpstreamRejected {
        target: target(from),
        status: Some(response.status().as_u16()),
        message: "it redirects to an address that cannot be read".to_owned(),
    }))
}

/// Points the call at the next address, leaving behind what must not go there.
fn redirect_to(call: &mut Call, next: Url, status: StatusCode) -> Result<(), Error> {
    if call.url.scheme() == "https" && next.scheme() != "https" {
        return Err(Error::TargetRefused {
            target: target(&next),
            why: "a redirect from https to http is not followed".to_owned(),
        });
    }
    let keeps_method =
        matches!(status.as_u16(), 307 | 308) || matches!(call.method, Method::GET | Method::HEAD);
    if !keeps_method {
        call.method = Method::GET;
        call.body.clear();
        for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
            call.headers.remove(name);
        }
    }
    if next.origin() != call.url.origin() {
        call.secret_headers.clear();
        for name in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
            call.headers.remove(name);
        }
    }
    call.url = next;
    Ok(())
}

async fn read(mut response: reqwest::Response, url: &Url) -> Result<Answer, Error> {
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error, url))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Error::ResultTooLarge { limit: MAX_BODY });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body, target: target(url) })
}

fn failure(error: &reqwest::Error, url: &Url) -> Error {
    let name = target(url);
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    let mut root = None;
    while let Some(inner) = cause {
        if let Some(refusal) = inner.downcast_ref::<Refusal>() {
            return refusal.clone().into();
        }
        root = Some(inner);
        cause = inner.source();
    }
    if error.is_timeout() {
        return Error::UpstreamTimeout { target: name, after: CONNECT_TIMEOUT };
    }
    // The innermost cause names neither path nor query, which may hold secrets.
    let root = root.map_or_else(|| "the exchange failed".to_owned(), ToString::to_string);
    let what = if error.is_connect() { "connecting failed" } else { "the exchange broke off" };
    Error::UpstreamUnavailable {
        target: name,
        why: format!("{what}: {}", crate::domain::cut(&root, 200)),
    }
}

/// Host and port of a URL: all of it that messages show.
pub(crate) fn target(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

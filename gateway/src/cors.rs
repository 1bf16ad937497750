//! Which other sites may call from a browser (the CORS protocol of the Fetch standard).
//!
//! Origins are compared whole: no suffixes, no patterns, and `null` is nobody. An origin that is not
//! allowed is answered as if there were no CORS, and the browser keeps the answer from it. Nothing here
//! makes a caller of anybody: open mode looks at the origin by itself, and answers only loopback.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header,
    request::Parts,
    uri::{Authority, Scheme, Uri},
};
use lightning_mesh::body::{Body, empty};

use crate::{Error, config::CorsConfig};

/// What scripts may read beside the few headers that they always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "etag, grpc-message, grpc-status, grpc-status-details-bin, location, ratelimit, ratelimit-limit, \
     ratelimit-policy, ratelimit-remaining, ratelimit-reset, retry-after, www-authenticate, \
     x-request-id",
);
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The configured rules.
pub(crate) struct Cors {
    /// None means all.
    origins: Option<Vec<HeaderValue>>,
    credentials: bool,
    max_age: HeaderValue,
}

/// What an answer must say to the origin that asked.
pub(crate) struct Granted {
    origin: HeaderValue,
    credentials: bool,
}

impl Cors {
    /// None if no origin is configured.
    pub(crate) fn new(config: &CorsConfig) -> Result<Option<Self>, Error> {
        let fault = |why: String| Error::Cors { why };
        let any = config.origins.iter().any(|origin| origin == "*");
        if any && (config.credentials || config.origins.len() > 1) {
            return Err(fault("origin \"*\" goes neither with credentials nor with others".into()));
        }
        if config.origins.is_empty() {
            return Ok(None);
        }
        let read = |text: &String| origin(text).ok_or_else(|| fault(wrong(text)));
        let origins = match any {
            true => None,
            false => Some(config.origins.iter().map(read).collect::<Result<_, _>>()?),
        };
        let max_age = HeaderValue::from(config.max_age.as_secs());
        Ok(Some(Self { origins, credentials: config.credentials, max_age }))
    }

    /// What the origin of a request is granted; none if it is not allowed, or there is not exactly one.
    pub(crate) fn grant(&self, headers: &HeaderMap) -> Option<Granted> {
        let mut given = headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (given.next(), given.next()) else { return None };
        let origin = match &self.origins {
            None => ANY,
            Some(origins) => origins.iter().find(|allowed| *allowed == origin)?.clone(),
        };
        Some(Granted { origin, credentials: self.credentials })
    }

    /// The answer to a browser that asks before it calls, if this is one and its site may.
    pub(crate) fn preflight(&self, request: &Parts) -> Option<Response<Body>> {
        let asks = request.method == Method::OPTIONS
            && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let granted = self.grant(&request.headers)?;
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        granted.tell(headers);
        headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        // A site that may call may send any header: SDKs have many of their own, and what a header
        // may do is decided where it is read.
        let wanted = request.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if let Some(wanted) = wanted.filter(|wanted| is_list_of_names(wanted)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        headers.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
        Some(response)
    }

    /// Marks an answer as one that depends on who asks.
    pub(crate) fn vary(&self, headers: &mut HeaderMap) {
        if self.origins.is_some() {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }
}

impl Granted {
    /// Tells the browser.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// An origin as browsers write it: scheme, host in lower case, port unless it is the usual one.
fn origin(text: &str) -> Option<HeaderValue> {
    let uri: Uri = text.parse().ok()?;
    let scheme = uri.scheme().filter(|it| **it == Scheme::HTTP || **it == Scheme::HTTPS)?;
    let authority: &Authority = uri.authority()?;
    let host = authority.host();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    let whole = match authority.port_u16() {
        Some(port) => format!("{host}:{port}") == authority.as_str(),
        None => host == authority.as_str(),
    };
    let usual = if *scheme == Scheme::HTTP { 80 } else { 443 };
    let written = format!("{scheme}://{authority}");
    let as_browsers_do = written == text
        && text.to_ascii_lowercase() == text
        && whole
        && host.bytes().all(plain)
        && authority.port_u16() != Some(usual);
    as_browsers_do.then(|| HeaderValue::try_from(text).ok()).flatten()
}

fn wrong(text: &str) -> String {
    format!(
        "{text:?} is not an origin as browsers send it, such as \"https://app.example.com\" or \
         \"http://localhost:3000\""
    )
}

/// A list that can be repeated without saying anything else.
fn is_list_of_names(value: &HeaderValue) -> bool {
    let names = value.to_str().unwrap_or_default().split(',');
    names.map(str::trim).all(|name| HeaderName::try_from(name).is_ok())
}

#[cfg(test)]
mod tests;

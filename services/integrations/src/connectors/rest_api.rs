//! `rest_api`: any HTTP API below a base URL.
//!
//! The credentials belong to the base URL: a path cannot lead out of it, a redirect to another origin
//! loses them, and a payload cannot set the header they travel in. A call that may be repeated is,
//! twice, when the API cannot be reached; every other repetition is the caller's decision.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{FutureExt, future::BoxFuture};
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Access, Connector, Work, duration,
    http::{self, Http, Send},
    text, typed,
};
use crate::{
    Error,
    domain::{Violation, is_too_deep},
    egress::Answer,
};

/// How long to wait before each repetition.
const WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];
/// The header of an API key unless the configuration names one.
const API_KEY: &str = "x-api-key";

/// The connector.
pub(super) struct RestApi {
    http: Http,
}

#[derive(Deserialize)]
struct Settings {
    base_url: String,
    #[serde(default)]
    headers: Map<String, Value>,
    timeout: Option<String>,
    test_path: Option<String>,
    auth: Option<Auth>,
}

#[derive(Deserialize)]
struct Auth {
    r#type: String,
    header: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    idempotent: bool,
    #[serde(default)]
    accept_any_status: bool,
}

fn get() -> String {
    "GET".to_owned()
}

// === impl RestApi ===

impl RestApi {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    async fn request(&self, work: Work<'_>) -> Result<Value, Error> {
        let settings: Settings = typed(Value::Object(work.access.config.clone()))?;
        let payload: Payload = typed(work.payload)?;
        let method = Method::from_bytes(payload.method.as_bytes())
            .map_err(|_| Error::payload("method", "is not an HTTP method"))?;
        let repeatable = payload.idempotent
            || !work.idempotency_key.is_empty()
            || matches!(
                method,
                Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
            );
        let mut waits = WAITS.iter().filter(|_| repeatable);
        loop {
            let send =
                build(&settings, work.access, &payload, method.clone(), work.idempotency_key)?;
            let answer = self.http.send(send).await;
            match (answer, waits.next()) {
                (Err(Error::UpstreamUnavailable { .. }), Some(wait)) => {
                    tokio::time::sleep(*wait).await
                }
                (Ok(answer), Some(wait)) if matches!(answer.status.as_u16(), 502..=504) => {
                    drop(answer);
                    tokio::time::sleep(*wait).await;
                }
                (answer, _) => {
                    let answer = answer?;
                    if !answer.status.is_success() && !payload.accept_any_status {
                        return Err(http::refusal(&answer, None));
                    }
                    return Ok(result(&answer));
                }
            }
        }
    }

    async fn probe(&self, access: &Access) -> Result<String, Error> {
        let settings: Settings = typed(Value::Object(access.config.clone()))?;
        let path = settings.test_path.clone().unwrap_or_default();
        let payload: Payload = typed(json!({ "path": path }))?;
        let answer = self.http.send(build(&settings, access, &payload, Method::GET, "")?).await?;
        let status = answer.status.as_u16();
        // Without a path of its own, a test only proves that somebody answers and lets us in.
        let fine = match settings.test_path {
            Some(_) => answer.status.is_success(),
            None => status < 500 && !matches!(status, 401 | 403 | 407 | 429),
        };
        if fine {
            Ok(format!("{} answered with status {status}", answer.target))
        } else {
            Err(http::refusal(&answer, None))
        }
    }
}

impl Connector for RestApi {
    fn check(
        &self,
        config: &Map<String, Value>,
        credentials: &Map<String, Value>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut add =
            |path: &str, why: &str| found.push(Violation::new(format!("integration.{path}"), why));
        let base = http::base_url(text(config, "base_url").unwrap_or_default());
        match &base {
            Err(why) => add("config.base_url", why),
            Ok(base) => {
                if let Some(Err(why)) =
                    text(config, "test_path").map(|path| http::below(base, path))
                {
                    add("config.test_path", why);
                }
            }
        }
        if text(config, "timeout").is_some_and(|text| duration(text).is_none()) {
            add("config.timeout", "must be 1ms to 2m");
        }
        for (name, value) in config.get("headers").and_then(Value::as_object).into_iter().flatten()
        {
            if let Err(why) = plain_header(name, value) {
                add(&format!("config.headers.{name}"), why);
            }
        }
        let auth = config.get("auth").and_then(Value::as_object);
        let needed: &[&str] = match auth.and_then(|auth| text(auth, "type")) {
            Some("bearer") => &["token"],
            Some("basic") => &["username", "password"],
            Some("api_key") => &["api_key"],
            Some(_) | None => &[],
        };
        for name in needed.iter().filter(|name| !credentials.contains_key(**name)) {
            add(&format!("credentials.{name}"), "is required by config.auth.type");
        }
        let header = auth.and_then(|auth| text(auth, "header"));
        if header.is_some_and(|name| http::free_header(name).is_none()) {
            add("config.auth.header", "is not a header that can be set");
        }
        found
    }

    fn test<'a>(&'a self, access: &'a Access) -> BoxFuture<'a, Result<String, Error>> {
        self.probe(access).boxed()
    }

    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Value, Error>> {
        // It has one action.
        self.request(work).boxed()
    }
}

fn build(
    settings: &Settings,
    access: &Access,
    payload: &Payload,
    method: Method,
    idempotency_key: &str,
) -> Result<Send, Error> {
    let base = http::base_url(&settings.base_url).map_err(|why| Error::config("base_url", why))?;
    let mut url = http::below(&base, &payload.path).map_err(|why| Error::payload("path", why))?;
    add_query(&mut url, &payload.query);
    let mut send = Send::new(method, url);
    send.timeout = settings.timeout.as_deref().and_then(duration);
    send.secret_headers = secret_headers(settings, access)?;
    for (name, value) in &settings.headers {
        let (name, value) = plain_header(name, value)
            .map_err(|why| Error::config(&format!("headers.{name}"), why))?;
        send.headers.insert(name, value);
    }
    for (name, value) in &payload.headers {
        let path = format!("headers.{name}");
        let (name, value) = plain_header(name, value).map_err(|why| Error::payload(&path, why))?;
        if send.secret_headers.contains_key(&name) {
            return Err(Error::payload(&path, "is set by the credentials of the integration"));
        }
        send.headers.insert(name, value);
    }
    if !idempotency_key.is_empty() {
        let value = HeaderValue::from_str(idempotency_key).map_err(|_| {
            Error::payload("idempotency_key", "holds a character that a header cannot carry")
        })?;
        send.headers.insert(HeaderName::from_static("idempotency-key"), value);
    }
    add_body(&mut send, &payload.body);
    Ok(send)
}

fn add_query(url: &mut Url, query: &Map<String, Value>) {
    if query.is_empty() {
        return;
    }
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    let mut pairs = url.query_pairs_mut();
    for (name, value) in query {
        match value {
            Value::Array(values) => {
                pairs.extend_pairs(values.iter().map(|value| (name, plain(value))));
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => {
                pairs.append_pair(name, &plain(value));
            }
        }
    }
}

fn add_body(send: &mut Send, body: &Value) {
    let content_type = send.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let raw = content_type.is_some_and(|text| !is_json(text));
    match body {
        Value::Null => {}
        Value::String(text) if raw => send.body = text.clone().into_bytes(),
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            send.body = body.to_string().into_bytes();
            send.headers
                .entry(header::CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
        }
    }
}

fn secret_headers(settings: &Settings, access: &Access) -> Result<HeaderMap, Error> {
    let secret = |name: &str| text(&access.credentials, name).unwrap_or_default();
    let mut headers = HeaderMap::new();
    let Some(auth) = &settings.auth else { return Ok(headers) };
    match auth.r#type.as_str() {
        "bearer" => {
            let value = http::secret_value(&format!("Bearer {}", secret("token")))?;
            headers.insert(header::AUTHORIZATION, value);
        }
        "basic" => {
            let pair = STANDARD.encode(format!("{}:{}", secret("username"), secret("password")));
            headers.insert(header::AUTHORIZATION, http::secret_value(&format!("Basic {pair}"))?);
        }
        "api_key" => {
            let name = auth.header.as_deref().unwrap_or(API_KEY);
            let name = http::free_header(name)
                .ok_or_else(|| Error::config("auth.header", "is not a header that can be set"))?;
            headers.insert(name, http::secret_value(secret("api_key"))?);
        }
        _ => {}
    }
    Ok(headers)
}

fn plain_header(name: &str, value: &Value) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name = http::free_header(name).ok_or("is not a header that can be set")?;
    let value = HeaderValue::from_str(value.as_str().unwrap_or_default())
        .map_err(|_| "holds a character that a header cannot carry")?;
    Ok((name, value))
}

fn result(answer: &Answer) -> Value {
    let mut headers = Map::new();
    for (name, value) in &answer.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        match headers.get_mut(name.as_str()) {
            Some(Value::String(joined)) => {
                joined.push_str(", ");
                joined.push_str(&value);
            }
            Some(_) | None => {
                headers.insert(name.as_str().to_owned(), Value::String(value.into_owned()));
            }
        }
    }
    let content_type = headers.get("content-type").and_then(Value::as_str).unwrap_or_default();
    let parsed =
        if is_json(content_type) { serde_json::from_slice(&answer.body).ok() } else { None };
    let parsed = parsed.filter(|value| !is_too_deep(value));
    let (body, encoding) = match (parsed, std::str::from_utf8(&answer.body)) {
        (Some(value), _) => (value, "json"),
        (None, Ok(text)) => (Value::String(text.to_owned()), "text"),
        (None, Err(_)) => (Value::String(STANDARD.encode(&answer.body)), "base64"),
    };
    json!({
        "status": answer.status.as_u16(), "headers": headers, "body": body, "body_encoding": encoding,
    })
}

fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || media.ends_with("+json")
}

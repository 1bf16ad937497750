//! `salesforce`: the REST API, signed in by OAuth client credentials.
//!
//! A token is kept in memory until Salesforce refuses it; then one caller fetches a new one while the
//! others wait for it, and each call is repeated once. Addresses that come out of answers
//! (`instance_url`, `nextRecordsUrl`) are judged by the guard like any other, and pages never leave the
//! instance.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use reqwest::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex as AsyncMutex;
use url::{Url, form_urlencoded};

use super::{
    Access, Connector, Work,
    http::{self, Http, Send},
    text,
};
use crate::{
    Error,
    domain::{Address, Violation, cut},
    egress::{Answer, MAX_BODY},
};

const API_VERSION: &str = "v62.0";
const MAX_RECORDS: u64 = 2_000;
/// The most integrations whose tokens are kept.
const MAX_TOKENS: usize = 10_000;

/// The connector.
pub(super) struct Salesforce {
    http: Http,
    tokens: Mutex<HashMap<Address, Slot>>,
}

/// The token of one revision of an integration: new credentials never meet an old token.
#[derive(Clone)]
struct Slot {
    revision: i64,
    token: Arc<AsyncMutex<Option<Token>>>,
}

/// No `Debug`: it is a secret.
#[derive(Clone)]
struct Token {
    secret: String,
    instance: Url,
}

// === impl Salesforce ===

impl Salesforce {
    pub(super) fn new(http: Http) -> Self {
        Self { http, tokens: Mutex::new(HashMap::new()) }
    }

    fn slot(&self, access: &Access) -> Slot {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) =
            tokens.get(&access.address).filter(|slot| slot.revision == access.revision)
        {
            return slot.clone();
        }
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        let slot = Slot { revision: access.revision, token: Arc::default() };
        tokens.insert(access.address.clone(), slot.clone());
        slot
    }

    /// The kept token, or a new one if there is none or the kept one is the refused one.
    async fn token(&self, access: &Access, refused: Option<&Token>) -> Result<Token, Error> {
        let slot = self.slot(access);
        // Held while fetching, so that a crowd of calls fetches one token.
        let mut kept = slot.token.lock().await;
        if let Some(token) =
            kept.as_ref().filter(|kept| refused.is_none_or(|old| old.secret != kept.secret))
        {
            return Ok(token.clone());
        }
        *kept = None;
        let token = self.fetch_token(access).await?;
        *kept = Some(token.clone());
        Ok(token)
    }

    async fn fetch_token(&self, access: &Access) -> Result<Token, Error> {
        let configured = text(&access.config, "instance_url");
        let login = text(&access.config, "login_url").or(configured).unwrap_or_default();
        let login = http::base_url(login).map_err(|why| Error::config("login_url", why))?;
        let url = http::below(&login, "services/oauth2/token")
            .map_err(|why| Error::config("login_url", why))?;
        let secret = |name| text(&access.credentials, name).unwrap_or_default();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", secret("client_id"))
            .append_pair("client_secret", secret("client_secret"))
            .finish();
        let mut send = Send::new(Method::POST, url);
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        send.headers.insert(header::CONTENT_TYPE, kind);
        send.body = form.into_bytes();
        // The body is the secret: it goes nowhere else.
        send.redirects = false;
        let answer = self.http.send(send).await?;
        if !answer.status.is_success() {
            let reply = self.http.json(&answer).unwrap_or_default();
            let say =
                |name: &str| reply.get(name).and_then(Value::as_str).map(|text| cut(text, 200));
            let why = say("error_description").or_else(|| say("error"));
            let why = why.unwrap_or_else(|| format!("status {}", answer.status.as_u16()));
            return Err(http::refusal(&answer, Some(format!("signing in failed: {why}"))));
        }
        let reply = self.http.json(&answer)?;
        let say = |name: &str| reply.get(name).and_then(Value::as_str);
        let secret = say("access_token")
            .ok_or_else(|| http::refusal(&answer, Some("it sent no access token".to_owned())))?;
        let instance = configured.or_else(|| say("instance_url")).unwrap_or(login.as_str());
        let instance = http::base_url(instance)
            .map_err(|why| http::refusal(&answer, Some(format!("its instance_url {why}"))))?;
        Ok(Token { secret: secret.to_owned(), instance })
    }

    /// Calls a path of the instance; signs in again once if the token is refused.
    async fn call(
        &self,
        access: &Access,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        let mut token = self.token(access, None).await?;
        let mut again = true;
        loop {
            let url = http::below(&token.instance, path)
                .map_err(|why| Error::config("instance_url", why))?;
            let mut send = Send::new(method.clone(), url).bearer(&token.secret)?;
            send.redirects = false;
            if let Some(body) = body {
                send = send.json(body);
            }
            let answer = self.http.send(send).await?;
            if answer.status == StatusCode::UNAUTHORIZED && again {
                again = false;
                token = self.token(access, Some(&token)).await?;
                continue;
            }
            return if answer.status.is_success() {
                Ok(answer)
            } else {
                Err(self.refusal(&answer))
            };
        }
    }

    /// Salesforce explains itself in a list of `{message, errorCode}`.
    fn refusal(&self, answer: &Answer) -> Error {
        let reply = self.http.json(answer).unwrap_or_default();
        let first = reply.get(0);
        let say = |name: &str| first.and_then(|first| first.get(name)).and_then(Value::as_str);
        let message = say("message").map(|message| {
            let code = say("errorCode").unwrap_or("ERROR");
            format!("{}: {}", cut(code, 100), cut(message, 300))
        });
        if say("errorCode") == Some("REQUEST_LIMIT_EXCEEDED") {
            let retry_after = http::retry_after(&answer.headers);
            return Error::UpstreamRateLimited { target: answer.target.clone(), retry_after };
        }
        http::refusal(answer, message)
    }

    async fn query(&self, access: &Access, payload: &Map<String, Value>) -> Result<Value, Error> {
        let limit = payload.get("max_records").and_then(Value::as_u64).unwrap_or(MAX_RECORDS);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let soql: String =
            form_urlencoded::byte_serialize(text(payload, "soql").unwrap_or_default().as_bytes())
                .collect();
        let mut path = format!("{}/query?q={soql}", root(access));
        let (mut records, mut bytes) = (Vec::new(), 0);
        loop {
            let answer = self.call(access, &Method::GET, &path, None).await?;
            bytes += answer.body.len();
            if bytes > MAX_BODY {
                return Err(Error::ResultTooLarge { limit: MAX_BODY });
            }
            let mut page = self.http.json(&answer)?;
            let total = page.get("totalSize").and_then(Value::as_u64).unwrap_or_default();
            if let Some(Value::Array(rows)) = page.get_mut("records").map(Value::take) {
                records.extend(rows.into_iter().map(plain_record));
            }
            let next = page.get("nextRecordsUrl").and_then(Value::as_str);
            // A page that brings nothing further would be asked for for ever.
            let stuck = next == Some(path.as_str());
            let more = next.is_some() && !stuck;
            if !more || records.len() >= limit {
                let truncated = next.is_some() || records.len() > limit;
                records.truncate(limit);
                return Ok(
                    json!({"records": records, "total_size": total, "truncated": truncated}),
                );
            }
            path = next
                .filter(|next| next.starts_with("/services/data/"))
                .map(str::to_owned)
                .ok_or_else(|| {
                    http::refusal(
                        &answer,
                        Some("its next page is not a path of the API".to_owned()),
                    )
                })?;
        }
    }

    async fn run(&self, work: Work<'_>) -> Result<Value, Error> {
        let Value::Object(payload) = &work.payload else {
            return Err(Error::payload("", "must be an object"));
        };
        let object = text(payload, "object").unwrap_or_default();
        let fields = payload.get("fields");
        match work.action {
            "query" => self.query(work.access, payload).await,
            "create" => {
                let path = format!("{}/sobjects/{object}", root(work.access));
                let answer = self.call(work.access, &Method::POST, &path, fields).await?;
                let reply = self.http.json(&answer)?;
                let id = reply.get("id").and_then(Value::as_str);
                let id =
                    id.ok_or_else(|| http::refusal(&answer, Some("it sent no id".to_owned())))?;
                Ok(json!({ "id": id }))
            }
            _ => {
                let id = text(payload, "id").unwrap_or_default();
                let path = format!("{}/sobjects/{object}/{id}", root(work.access));
                self.call(work.access, &Method::PATCH, &path, fields).await?;
                Ok(json!({ "id": id }))
            }
        }
    }

    async fn probe(&self, access: &Access) -> Result<String, Error> {
        let answer =
            self.call(access, &Method::GET, &format!("{}/limits", root(access)), None).await?;
        let limits = self.http.json(&answer)?;
        let left = limits.pointer("/DailyApiRequests/Remaining").and_then(Value::as_u64);
        Ok(match left {
            Some(left) => format!("signed in to {}; {left} calls are left today", answer.target),
            None => format!("signed in to {}", answer.target),
        })
    }
}

impl Connector for Salesforce {
    fn check(&self, config: &Map<String, Value>, _: &Map<String, Value>) -> Vec<Violation> {
        let mut found = Vec::new();
        for name in ["login_url", "instance_url"] {
            if let Some(Err(why)) = text(config, name).map(http::base_url) {
                found.push(Violation::new(format!("integration.config.{name}"), why));
            }
        }
        found
    }

    fn test<'a>(&'a self, access: &'a Access) -> BoxFuture<'a, Result<String, Error>> {
        self.probe(access).boxed()
    }

    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Value, Error>> {
        self.run(work).boxed()
    }

    fn forget(&self, address: &Address) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
    }
}

/// A record without the `attributes` that Salesforce adds to each.
fn plain_record(mut record: Value) -> Value {
    if let Some(record) = record.as_object_mut() {
        record.remove("attributes");
    }
    record
}

fn root(access: &Access) -> String {
    format!("/services/data/{}", text(&access.config, "api_version").unwrap_or(API_VERSION))
}

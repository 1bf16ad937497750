//! `slack`: the Web API with a bot token.
//!
//! Slack says `"ok": false` under status 200; that is a refusal like any other here. Calls are never
//! repeated: `chat.postMessage` would post twice.

use futures_util::{FutureExt, future::BoxFuture};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    Access, Connector, Work,
    http::{self, Http, Send},
    text,
};
use crate::{
    Error,
    domain::{Violation, cut},
};

const BASE_URL: &str = "https://slack.com/api";

/// The connector.
pub(super) struct Slack {
    http: Http,
}

// === impl Slack ===

impl Slack {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    async fn call(
        &self,
        access: &Access,
        method: &str,
        body: &Value,
    ) -> Result<Map<String, Value>, Error> {
        let base = http::base_url(text(&access.config, "base_url").unwrap_or(BASE_URL))
            .map_err(|why| Error::config("base_url", why))?;
        let url = http::below(&base, method).map_err(|why| Error::config("base_url", why))?;
        let mut send = match body.as_object() {
            // The reading methods take no JSON.
            Some(query) if method == "conversations.list" => {
                let mut url = url;
                for (name, value) in query {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    url.query_pairs_mut().append_pair(name, &value);
                }
                Send::new(Method::GET, url)
            }
            Some(_) | None => Send::new(Method::POST, url).json(body),
        };
        send.redirects = false;
        let token = text(&access.credentials, "bot_token").unwrap_or_default();
        let answer = self.http.send(send.bearer(token)?).await?;
        if !answer.status.is_success() {
            return Err(http::refusal(&answer, None));
        }
        let Value::Object(reply) = self.http.json(&answer)? else {
            return Err(http::refusal(&answer, Some("the answer is not a JSON object".to_owned())));
        };
        if reply.get("ok").and_then(Value::as_bool) == Some(true) {
            return Ok(reply);
        }
        let reason = cut(text(&reply, "error").unwrap_or("without a reason"), 200);
        if reason == "ratelimited" {
            let retry_after = http::retry_after(&answer.headers);
            return Err(Error::UpstreamRateLimited { target: answer.target, retry_after });
        }
        Err(http::refusal(&answer, Some(format!("Slack says {reason}"))))
    }

    async fn run(&self, work: Work<'_>) -> Result<Value, Error> {
        if work.action == "list_conversations" {
            let reply = self.call(work.access, "conversations.list", &work.payload).await?;
            let cursor = reply.get("response_metadata").and_then(|meta| meta.get("next_cursor"));
            return Ok(json!({
                "channels": reply.get("channels").cloned().unwrap_or_else(|| json!([])),
                "next_cursor": cursor.and_then(Value::as_str).unwrap_or_default(),
            }));
        }
        let mut reply = self.call(work.access, "chat.postMessage", &work.payload).await?;
        reply.retain(|name, _| matches!(name.as_str(), "channel" | "ts" | "message"));
        Ok(Value::Object(reply))
    }

    async fn probe(&self, access: &Access) -> Result<String, Error> {
        let reply = self.call(access, "auth.test", &json!({})).await?;
        let who = cut(text(&reply, "user").unwrap_or("a bot"), 100);
        let team = cut(text(&reply, "team").unwrap_or("a workspace"), 100);
        Ok(format!("signed in to {team} as {who}"))
    }
}

impl Connector for Slack {
    fn check(&self, config: &Map<String, Value>, _: &Map<String, Value>) -> Vec<Violation> {
        let base = text(config, "base_url").map(http::base_url);
        let wrong = base.and_then(Result::err);
        wrong.into_iter().map(|why| Violation::new("integration.config.base_url", why)).collect()
    }

    fn test<'a>(&'a self, access: &'a Access) -> BoxFuture<'a, Result<String, Error>> {
        self.probe(access).boxed()
    }

    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Value, Error>> {
        self.run(work).boxed()
    }
}

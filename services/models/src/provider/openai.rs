//! A provider that speaks OpenAI's HTTP API: OpenAI itself, vLLM, Ollama, llama.cpp and many more.
//!
//! Answers are bounded in size and time. A stream may last as long as it moves: its limit is the pause
//! between two pieces. Redirects are not followed, since the key would travel with them. It never
//! retries: the caller knows whether a second answer may be paid for.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use lightning_mesh::config::Secret;
use reqwest::{Client, Response, header};
use serde_json::Value;

use self::{events::Events, wire::Dialect};
use super::{BoxFuture, DeltaStream, Provider, Upstream};
use crate::{
    config::{ProviderConfig, TokenLimitField},
    domain::{ChatAnswer, ChatRequest, Delta, EmbedRequest, Embeddings},
    error::Error,
};

mod events;
mod fault;
mod wire;

#[cfg(test)]
mod tests;

/// The most bytes of one buffered answer: 16 MiB.
const MAX_ANSWER: usize = 16 << 20;

/// The most bytes that are read of an error answer: 64 KiB.
const MAX_ERROR: usize = 64 << 10;

/// The most bytes of all pieces of one stream: 16 MiB.
const MAX_STREAM: usize = 16 << 20;

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server with OpenAI's API.
pub(crate) struct OpenAi {
    link: Link,
    dialect: Dialect,
}

/// How the server is reached. Cheap to clone.
#[derive(Clone)]
struct Link {
    client: Client,
    base_url: Arc<str>,
    key: Option<Secret>,
    timeout: Duration,
}

// === impl OpenAi ===

impl OpenAi {
    /// Prepares the provider; nothing is sent yet.
    pub(crate) fn new(config: &ProviderConfig) -> Result<Self, Error> {
        let name = &config.name;
        let url = reqwest::Url::parse(&config.base_url)
            .map_err(|error| Error::Config(format!("provider {name:?}: base_url: {error}")))?;
        if !matches!(url.scheme(), "http" | "https")
            || url.query().is_some()
            || !url.username().is_empty()
        {
            return Err(Error::Config(format!(
                "provider {name:?}: base_url must be http:// or https:// without user and query"
            )));
        }
        if config.timeout.is_zero() {
            return Err(Error::Config(format!("provider {name:?}: timeout must be above zero")));
        }
        let key =
            config.key.load().map_err(|source| Error::Key { provider: name.clone(), source })?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("lightning/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| Error::Client { provider: name.clone(), source })?;
        let base_url = config.base_url.trim_end_matches('/').into();
        Ok(Self {
            link: Link { client, base_url, key, timeout: config.timeout },
            dialect: Dialect {
                completion_tokens: config.token_limit_field == TokenLimitField::MaxCompletionTokens,
            },
        })
    }
}

impl Provider for OpenAi {
    fn chat(
        &self,
        model: &str,
        request: Arc<ChatRequest>,
    ) -> BoxFuture<Result<ChatAnswer, Upstream>> {
        let body = wire::chat_body(self.dialect, model, &request, false);
        let link = self.link.clone();
        Box::pin(async move { wire::answer(&link.ask("/chat/completions", &body).await?) })
    }

    fn chat_stream(
        &self,
        model: &str,
        request: Arc<ChatRequest>,
    ) -> BoxFuture<Result<DeltaStream, Upstream>> {
        let body = wire::chat_body(self.dialect, model, &request, true);
        let link = self.link.clone();
        Box::pin(async move {
            let begun =
                tokio::time::timeout(link.timeout, link.post("/chat/completions", &body, None));
            let response = begun.await.map_err(|_| Upstream::Timeout)??;
            let deltas: DeltaStream = Box::pin(deltas(response, link.timeout));
            Ok(deltas)
        })
    }

    fn embed(
        &self,
        model: &str,
        request: Arc<EmbedRequest>,
    ) -> BoxFuture<Result<Embeddings, Upstream>> {
        let body = wire::embed_body(model, &request);
        let link = self.link.clone();
        Box::pin(async move {
            let embeddings = wire::embeddings(&link.ask("/embeddings", &body).await?)?;
            if embeddings.vectors.len() != request.inputs.len() {
                return Err(Upstream::Unreadable(
                    "it holds another number of vectors than texts were sent",
                ));
            }
            Ok(embeddings)
        })
    }

    fn serves_any_model(&self) -> bool {
        true
    }
}

// === impl Link ===

impl Link {
    /// Sends a body and reads the whole answer, within the timeout.
    async fn ask(&self, path: &str, body: &Value) -> Result<Vec<u8>, Upstream> {
        let response = self.post(path, body, Some(self.timeout)).await?;
        let (bytes, whole) = read(response, MAX_ANSWER).await?;
        if whole { Ok(bytes) } else { Err(Upstream::Unreadable("it is larger than 16 MiB")) }
    }

    /// Sends a body; answers when the server has accepted it. A refusal is read and becomes an error.
    async fn post(
        &self,
        path: &str,
        body: &Value,
        timeout: Option<Duration>,
    ) -> Result<Response, Upstream> {
        let mut request = self.client.post(format!("{}{path}", self.base_url)).json(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        let response = request.send().await.map_err(fault::transport)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = fault::retry_after(response.headers().get(header::RETRY_AFTER));
        // The status says enough when the body cannot be read in time.
        let body = tokio::time::timeout(self.timeout, read(response, MAX_ERROR)).await;
        let body = body.ok().and_then(Result::ok).map(|(bytes, _)| bytes).unwrap_or_default();
        Err(fault::refusal(status, retry_after, &body))
    }
}

/// Reads a body up to a limit; tells whether that was all of it.
async fn read(mut response: Response, limit: usize) -> Result<(Vec<u8>, bool), Upstream> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fault::transport)? {
        if bytes.len() + chunk.len() > limit {
            return Ok((bytes, false));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, true))
}

/// The pieces of a streamed answer.
fn deltas(
    response: Response,
    pause: Duration,
) -> impl Stream<Item = Result<Delta, Upstream>> + Send {
    let state = State {
        response,
        pause,
        events: Events::default(),
        chunks: wire::Chunks::default(),
        read: 0,
    };
    stream::try_unfold(Some(state), |state| async move {
        let Some(mut state) = state else { return Ok(None) };
        let batch = state.next().await?;
        let over = matches!(batch.last(), Some(Delta::End { .. }));
        Ok(Some((stream::iter(batch.into_iter().map(Ok)), (!over).then_some(state))))
    })
    .flat_map(|batch: Result<_, Upstream>| match batch {
        Ok(deltas) => deltas.left_stream(),
        Err(error) => stream::iter([Err(error)]).right_stream(),
    })
}

/// A stream that is being read.
struct State {
    response: Response,
    pause: Duration,
    events: Events,
    chunks: wire::Chunks,
    read: usize,
}

// === impl State ===

impl State {
    /// The next pieces, at least one. The last of the last is [`Delta::End`].
    async fn next(&mut self) -> Result<Vec<Delta>, Upstream> {
        loop {
            while let Some(data) = self.events.next_event() {
                if data == "[DONE]" {
                    return Ok(vec![self.chunks.finish(true)?]);
                }
                let deltas = self.chunks.read(&data)?;
                if !deltas.is_empty() {
                    return Ok(deltas);
                }
            }
            let chunk = tokio::time::timeout(self.pause, self.response.chunk());
            match chunk.await.map_err(|_| Upstream::Timeout)? {
                Ok(Some(bytes)) => {
                    self.read += bytes.len();
                    if self.read > MAX_STREAM {
                        return Err(Upstream::Unreadable("it is larger than 16 MiB"));
                    }
                    self.events.push(&bytes);
                }
                // Some servers end without `[DONE]`, even without closing properly; a finish
                // reason is as good.
                Ok(None) | Err(_) => return Ok(vec![self.chunks.finish(false)?]),
            }
        }
    }
}

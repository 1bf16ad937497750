//! Asks models: finds who serves one, asks, checks the answer and has every call recorded.
//!
//! Both request surfaces (ours and OpenAI's) and every provider meet here, so what holds here holds
//! everywhere: an answer to a schema fits it or is refused, and no call goes uncounted. A structured
//! answer that does not fit is asked for once more, with what was wrong; a streamed one is not, because
//! its pieces are already gone.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use lightning_mesh::{
    clock::{Clock, Timestamp},
    id,
    identity::Caller,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    domain::{
        Capability, ChatAnswer, ChatRequest, Delta, EmbedRequest, FinishReason, Format, Kind,
        Message, Model, Role, Usage,
    },
    error::Error,
    heavy,
    meter::{Meter, Meters, Used},
    provider::{DeltaStream, Upstream},
    registry::{Registry, Served},
    schema::Schema,
};

/// The most bytes of an answer that is checked in place; a schema may ask 2,000 things of each part.
const LARGE_ANSWER: usize = 1_024;

/// Asks models.
pub(crate) struct Engine {
    pub(crate) registry: Registry,
    pub(crate) meters: Meters,
    pub(crate) clock: Clock,
}

/// A question to a model by its id, or to the default model.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) model: String,
    pub(crate) request: ChatRequest,
}

/// An answer, with what it took.
#[derive(Debug, Clone)]
pub(crate) struct Inference {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) provider: String,
    pub(crate) answer: ChatAnswer,
    /// The answer as data, when a schema was given.
    pub(crate) structured: Option<Value>,
    pub(crate) usage: Usage,
    /// In nano-dollars.
    pub(crate) cost: i64,
    pub(crate) latency: Duration,
    pub(crate) create_time: Timestamp,
}

/// What every answer of one call has in common.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) provider: String,
    pub(crate) create_time: Timestamp,
    started: Instant,
}

/// A piece of an answer, or all of it at the end.
pub(crate) enum Event {
    Delta(Delta),
    Done(Box<Inference>),
}

/// A running answer. Dropping it cancels the call.
pub(crate) struct Running {
    pub(crate) head: Head,
    pub(crate) events: Pin<Box<dyn Stream<Item = Result<Event, Error>> + Send>>,
}

/// Vectors, with what they took.
pub(crate) struct Embedded {
    pub(crate) model: String,
    pub(crate) vectors: Vec<Vec<f32>>,
    pub(crate) usage: Usage,
}

/// A streamed answer that is being read.
struct Reading {
    head: Head,
    deltas: DeltaStream,
    meter: Meter,
    schema: Option<Arc<Schema>>,
}

// === impl Engine ===

impl Engine {
    /// Asks and waits for the whole answer.
    pub(crate) async fn infer(&self, caller: &Caller, ask: Ask) -> Result<Inference, Error> {
        let served =
            self.registry.serving(caller.organization()?, &ask.model, Capability::Chat).await?;
        let head = self.head(&served.model);
        let request = Arc::new(ask.request);
        let schema = schema_of(&request).await?;
        let (mut answer, mut used) = self.ask_once(caller, &served, Arc::clone(&request)).await?;
        let mut checked = check(&head, schema.as_ref(), &answer).await?;
        if let Err(Misfit { problem, again: true }) = &checked {
            let request = Arc::new(once_more(&request, &answer, problem));
            let (second, more) = self.ask_once(caller, &served, request).await?;
            used = Used {
                usage: used.usage.plus(more.usage),
                cost: used.cost.saturating_add(more.cost),
            };
            checked = check(&head, schema.as_ref(), &second).await?;
            answer = second;
        }
        let structured = checked.map_err(|misfit| misfit.into_error(&head))?;
        Ok(head.finish(answer, structured, used))
    }

    /// Asks and answers piece by piece. It resolves once the provider has accepted the question.
    pub(crate) async fn stream(&self, caller: &Caller, ask: Ask) -> Result<Running, Error> {
        let Served { model, provider } =
            self.registry.serving(caller.organization()?, &ask.model, Capability::Chat).await?;
        let head = self.head(&model);
        let request = Arc::new(ask.request);
        let schema = schema_of(&request).await?;
        let meter = self.meters.begin(caller, &model, Kind::Chat, Some(Arc::clone(&request)));
        let deltas = match provider.chat_stream(&model.upstream, request).await {
            Ok(deltas) => deltas,
            Err(upstream) => {
                meter.failed().await;
                return Err(Error::Provider { provider: model.provider, upstream });
            }
        };
        let reading = Reading { head: head.clone(), deltas, meter, schema };
        let events = stream::unfold(Some(reading), |reading| async move {
            let (event, rest) = reading?.next().await;
            Some((event, rest))
        });
        Ok(Running { head, events: events.boxed() })
    }

    /// Turns texts into vectors.
    pub(crate) async fn embed(
        &self,
        caller: &Caller,
        model: &str,
        request: EmbedRequest,
    ) -> Result<Embedded, Error> {
        let Served { model, provider } =
            self.registry.serving(caller.organization()?, model, Capability::Embeddings).await?;
        let meter = self.meters.begin(caller, &model, Kind::Embeddings, None);
        match provider.embed(&model.upstream, Arc::new(request)).await {
            Ok(embeddings) => {
                let used = meter.answered(embeddings.usage).await?;
                Ok(Embedded {
                    model: model.id.to_string(),
                    vectors: embeddings.vectors,
                    usage: used.usage,
                })
            }
            Err(upstream) => {
                meter.failed().await;
                Err(Error::Provider { provider: model.provider, upstream })
            }
        }
    }

    async fn ask_once(
        &self,
        caller: &Caller,
        served: &Served,
        request: Arc<ChatRequest>,
    ) -> Result<(ChatAnswer, Used), Error> {
        let Served { model, provider } = served;
        let mut meter = self.meters.begin(caller, model, Kind::Chat, Some(Arc::clone(&request)));
        match provider.chat(&model.upstream, request).await {
            Ok(answer) => {
                meter.answer.clone_from(&answer);
                let used = meter.answered(answer.usage).await?;
                Ok((answer, used))
            }
            Err(upstream) => {
                meter.failed().await;
                Err(Error::Provider { provider: model.provider.clone(), upstream })
            }
        }
    }

    fn head(&self, model: &Model) -> Head {
        Head {
            id: id::generate(),
            model: model.id.to_string(),
            provider: model.provider.clone(),
            create_time: self.clock.now(),
            started: Instant::now(),
        }
    }
}

// === impl Head ===

impl Head {
    fn finish(self, answer: ChatAnswer, structured: Option<Value>, used: Used) -> Inference {
        let Self { id, model, provider, create_time, started } = self;
        let (latency, Used { usage, cost }) = (started.elapsed(), used);
        Inference { id, model, provider, answer, structured, usage, cost, latency, create_time }
    }
}

// === impl Reading ===

impl Reading {
    /// The next event, and what is left to read after it.
    async fn next(mut self) -> (Result<Event, Error>, Option<Self>) {
        match self.deltas.next().await {
            Some(Ok(end @ Delta::End { .. })) => {
                self.meter.answer.push(&end);
                (self.done().await.map(|inference| Event::Done(Box::new(inference))), None)
            }
            Some(Ok(delta)) => {
                self.meter.answer.push(&delta);
                (Ok(Event::Delta(delta)), Some(self))
            }
            Some(Err(upstream)) => (Err(self.broken(upstream).await), None),
            None => (Err(self.broken(Upstream::StreamCut).await), None),
        }
    }

    async fn done(self) -> Result<Inference, Error> {
        let answer = self.meter.answer.clone();
        let used = self.meter.answered(answer.usage).await?;
        let checked = check(&self.head, self.schema.as_ref(), &answer).await?;
        let structured = checked.map_err(|misfit| misfit.into_error(&self.head))?;
        Ok(self.head.finish(answer, structured, used))
    }

    async fn broken(self, upstream: Upstream) -> Error {
        self.meter.failed().await;
        Error::Provider { provider: self.head.provider, upstream }
    }
}

/// Why an answer is not what was asked for.
struct Misfit {
    problem: String,
    /// Whether asking again may help.
    again: bool,
}

// === impl Misfit ===

impl Misfit {
    fn into_error(self, head: &Head) -> Error {
        Error::AnswerInvalid { model: head.model.clone(), problem: self.problem }
    }
}

async fn schema_of(request: &Arc<ChatRequest>) -> Result<Option<Arc<Schema>>, Error> {
    if !matches!(request.format, Format::Schema { .. }) {
        return Ok(None);
    }
    let request = Arc::clone(request);
    let compile = move || match &request.format {
        Format::Text | Format::JsonObject => Ok(None),
        Format::Schema { schema, .. } => Schema::compile(schema).map(|it| Some(Arc::new(it))),
    };
    // Requests are refused before they come here if their schema does not compile.
    heavy::run(true, compile)
        .await?
        .map_err(|_| Error::Damaged("a checked schema does not compile"))
}

/// The answer as data, if a schema was given and the model did not ask for a tool instead.
async fn check(
    head: &Head,
    schema: Option<&Arc<Schema>>,
    answer: &ChatAnswer,
) -> Result<Result<Option<Value>, Misfit>, Error> {
    let Some(schema) = schema.cloned() else { return Ok(Ok(None)) };
    if !answer.tool_calls.is_empty() {
        return Ok(Ok(None));
    }
    let (text, large) = (answer.text.clone(), answer.text.len() > LARGE_ANSWER);
    let error = match heavy::run(large, move || schema.read(&text)).await? {
        Ok(value) => return Ok(Ok(Some(value))),
        Err(problem) => problem,
    };
    tracing::debug!(model = %head.model, "structured answer does not fit");
    Ok(Err(match answer.finish {
        FinishReason::Length => Misfit {
            problem: "it was cut off at the limit of tokens; raise max_output_tokens".to_owned(),
            again: false,
        },
        FinishReason::ContentFilter => {
            Misfit { problem: "the provider's content filter withheld it".to_owned(), again: false }
        }
        FinishReason::Stop | FinishReason::ToolCalls => Misfit { problem: error, again: true },
    }))
}

/// The question again, with the answer and what was wrong with it.
fn once_more(request: &ChatRequest, answer: &ChatAnswer, problem: &str) -> ChatRequest {
    let mut request = request.clone();
    request.messages.push(Message::text(Role::Assistant, answer.text.clone()));
    request.messages.push(Message::text(
        Role::User,
        format!("Your answer does not fit the JSON schema: {problem}. Answer again with only JSON that fits it."),
    ));
    request
}

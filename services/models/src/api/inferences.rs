//! InferenceService.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use lightning_mesh::{
    fault::{Fault, Violations},
    identity::Caller,
};
use lightning_proto::{
    google::rpc,
    models::v1::{
        self as pb, ErrorReason as Reason, batch_infer_result, inference_event,
        inference_service_server::InferenceService,
    },
};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::Api;
use crate::{
    convert::inferences as convert,
    domain::Delta,
    engine::{Ask, Event},
    error::Error,
    heavy,
};

/// The most requests of a batch.
const MAX_BATCH: usize = 100;

/// How many requests of a batch run at once.
const PARALLEL: usize = 8;

#[tonic::async_trait]
impl InferenceService for Api {
    type StreamInferenceStream =
        Pin<Box<dyn Stream<Item = Result<pb::InferenceEvent, Status>> + Send>>;

    async fn infer(
        &self,
        request: Request<pb::InferRequest>,
    ) -> Result<Response<pb::Inference>, Status> {
        let (caller, request) = Caller::split(request)?;
        let ask = ask("", request).await?;
        let inference = self.engine.infer(&caller, ask).await?;
        Ok(Response::new(convert::inference(inference)?))
    }

    async fn stream_inference(
        &self,
        request: Request<pb::StreamInferenceRequest>,
    ) -> Result<Response<Self::StreamInferenceStream>, Status> {
        let (caller, request) = Caller::split(request)?;
        let inference = request.inference.ok_or_else(|| {
            Fault::invalid(Reason::RequestInvalid)
                .message("inference is missing")
                .field("inference", "is missing")
        })?;
        let ask = ask("inference.", inference).await?;
        let running = self.engine.stream(&caller, ask).await?;
        let events = running.events.filter_map(|event| std::future::ready(event_of(event)));
        Ok(Response::new(events.boxed()))
    }

    async fn batch_infer(
        &self,
        request: Request<pb::BatchInferRequest>,
    ) -> Result<Response<pb::BatchInferResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let mut violations = Violations::new();
        let fits = (1..=MAX_BATCH).contains(&request.requests.len());
        violations.check(fits, "requests", "must have 1 to 100 requests");
        violations.finish(Reason::RequestInvalid)?;
        let each = request.requests.into_iter().enumerate().map(|(place, request)| {
            let caller = &caller;
            async move { result(self.answer(caller, &format!("requests[{place}]."), request).await) }
        });
        let results = stream::iter(each).buffered(PARALLEL).collect().await;
        Ok(Response::new(pb::BatchInferResponse { results }))
    }
}

impl Api {
    /// Answers one request of a batch.
    async fn answer(
        &self,
        caller: &Caller,
        at: &str,
        request: pb::InferRequest,
    ) -> Result<pb::Inference, Error> {
        let ask = ask(at, request).await?;
        convert::inference(Box::pin(self.engine.infer(caller, ask)).await?)
    }
}

/// Reads a question; its schemas are compiled for that.
async fn ask(at: &str, request: pb::InferRequest) -> Result<Ask, Error> {
    let (at, large) = (at.to_owned(), request.encoded_len() > heavy::SMALL);
    Ok(heavy::run(large, move || convert::ask(&at, request)).await??)
}

/// Pieces of tool calls are left out: the calls are whole in the last event.
fn event_of(event: Result<Event, Error>) -> Option<Result<pb::InferenceEvent, Status>> {
    let event = match event {
        Ok(Event::Delta(Delta::Text(text))) => Ok(inference_event::Event::Delta(text)),
        Ok(Event::Delta(Delta::ToolCall { .. } | Delta::End { .. })) => return None,
        Ok(Event::Done(inference)) => {
            convert::inference(*inference).map(inference_event::Event::Done)
        }
        Err(error) => Err(error),
    };
    Some(event.map(|event| pb::InferenceEvent { event: Some(event) }).map_err(Status::from))
}

fn result(answer: Result<pb::Inference, Error>) -> pb::BatchInferResult {
    let result = match answer {
        Ok(inference) => batch_infer_result::Result::Inference(inference),
        Err(error) => batch_infer_result::Result::Error(error_of(&Status::from(error))),
    };
    pb::BatchInferResult { result: Some(result) }
}

/// The status as the caller of a single call would read it, details included.
fn error_of(status: &Status) -> rpc::Status {
    rpc::Status::decode(status.details()).unwrap_or_else(|_| rpc::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

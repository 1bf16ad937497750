//! Asking the model behind an agent, through the models service.

use lightning_mesh::{channel::Peers, identity::Caller};
use lightning_proto::models::v1::{
    InferRequest, Inference, InferenceEvent, Message, StreamInferenceRequest,
    inference_event::Event, inference_service_client::InferenceServiceClient,
};
use tonic::{Code, Status, Streaming};

use crate::{
    Error,
    domain::{Answer, Design, Question, system_message},
    peer::Failure,
};

const PEER: &str = "models";

/// A piece of a model's answer.
pub(crate) enum Piece {
    Delta(String),
    Done(Answer),
}

/// An answer that comes in pieces.
pub(crate) struct Stream(Streaming<InferenceEvent>);

/// Asks the model of a design and waits for the whole answer.
pub(crate) async fn ask(
    peers: &Peers,
    caller: &Caller,
    design: &Design,
    question: Question,
) -> Result<Answer, Error> {
    let request = caller.request(request(design, question));
    let mut models = InferenceServiceClient::new(peers.channel(PEER));
    let answered = models.infer(request).await.map_err(|status| failed(&status))?;
    Ok(answer(answered.into_inner()))
}

/// Asks the model of a design for an answer in pieces.
pub(crate) async fn stream(
    peers: &Peers,
    caller: &Caller,
    design: &Design,
    question: Question,
) -> Result<Stream, Error> {
    let inference = Some(request(design, question));
    let request = caller.request(StreamInferenceRequest { inference });
    let mut models = InferenceServiceClient::new(peers.channel(PEER));
    let pieces = models.stream_inference(request).await.map_err(|status| failed(&status))?;
    Ok(Stream(pieces.into_inner()))
}

// === impl Stream ===

impl Stream {
    /// The next piece; an answer that ends without its last piece is a failure.
    pub(crate) async fn next(&mut self) -> Result<Piece, Error> {
        loop {
            match self.0.message().await.map_err(|status| failed(&status))? {
                Some(InferenceEvent { event: Some(Event::Delta(text)) }) => {
                    return Ok(Piece::Delta(text));
                }
                Some(InferenceEvent { event: Some(Event::Done(whole)) }) => {
                    return Ok(Piece::Done(answer(whole)));
                }
                // A kind of event that is newer than this program.
                Some(InferenceEvent { event: None }) => {}
                None => return Err(broken_off()),
            }
        }
    }
}

fn request(design: &Design, question: Question) -> InferRequest {
    let system = system_message(&design.instructions, &question.context);
    let system = system.map(|content| message("system", content));
    let history =
        question.history.into_iter().map(|turn| message(turn.role.as_str(), turn.content));
    let user = message("user", question.input);
    InferRequest {
        model: design.model.clone(),
        messages: system.into_iter().chain(history).chain([user]).collect(),
        temperature: design.temperature,
        max_output_tokens: design.max_output_tokens,
        ..InferRequest::default()
    }
}

fn message(role: &str, content: String) -> Message {
    Message { role: role.to_owned(), content, ..Message::default() }
}

fn answer(inference: Inference) -> Answer {
    let usage = inference.usage.unwrap_or_default();
    Answer {
        output: inference.output,
        model: inference.model,
        finish_reason: inference.finish_reason,
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cost_usd: inference.cost_usd,
        execution_id: String::new(),
    }
}

fn failed(status: &Status) -> Error {
    Error::InvocationFailed(Box::new(Failure::of(PEER, status)))
}

fn broken_off() -> Error {
    let message = "the models service broke off in the middle of the answer; retry";
    Error::InvocationFailed(Box::new(Failure::new(PEER, Code::Unavailable, message)))
}

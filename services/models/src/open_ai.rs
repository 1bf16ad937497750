//! OpenAI's request and answer bodies on our side: what its SDKs send and expect.
//!
//! Unknown fields of requests are tolerated, as OpenAI's clients come in many versions; fields that
//! would change the meaning of the answer and are not offered (several choices, images) are refused.
//! Errors have OpenAI's shape: the fault carries it as a raw body, which REST answers as it is.

use bytes::Bytes;
use lightning_mesh::fault::Fault;
use lightning_proto::{google::api::HttpBody, models::v1::ErrorReason as Reason};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::{domain::Model, error::Error};

pub(crate) mod chat;
pub(crate) mod completion;
pub(crate) mod embeddings;

#[cfg(test)]
mod tests;

/// The most models that `/v1/models` lists; it knows no pages.
pub(crate) const MAX_MODELS: usize = 10_000;

/// What is wrong with a request: the field, if it is one, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) param: Option<String>,
    pub(crate) message: String,
}

/// Anything that ends an OpenAI call.
pub(crate) enum Failure {
    Refused(Refusal),
    Failed(Error),
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), message: message.into() }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Reads a body whose fields all have defaults; a field that does not fit is named.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let error = match serde_json::from_slice(body) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let refusal = |param: Option<String>, error: serde_json::Error| Refusal {
        param,
        message: format!("the body is not what this endpoint reads: {error}"),
    };
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        return Err(refusal(None, error));
    };
    for (name, value) in fields {
        let alone = Value::Object([(name.clone(), value)].into_iter().collect());
        if let Err(error) = serde_json::from_value::<T>(alone) {
            return Err(refusal(Some(name), error));
        }
    }
    Err(refusal(None, error))
}

/// The bytes of a request; a missing body is an empty one and refused as JSON.
pub(crate) fn body(body: Option<HttpBody>) -> Bytes {
    body.map(|body| body.data).unwrap_or_default()
}

/// The status of a failed call, with OpenAI's error object as its REST body.
pub(crate) fn refuse(failure: impl Into<Failure>) -> Status {
    let (fault, param) = explain(failure.into());
    let body = json_body(&error_object(&fault, param.as_deref()));
    fault.detail("google.api.HttpBody", &body).into()
}

/// The error object of a call that failed in the middle of its stream.
pub(crate) fn late_error(error: Error) -> Value {
    let (fault, param) = explain(error.into());
    let object = error_object(&fault, param.as_deref());
    // It is logged like any other failure, although the stream itself ends well.
    let _: Status = fault.into();
    object
}

fn explain(failure: Failure) -> (Fault, Option<String>) {
    match failure {
        Failure::Failed(error) => (Fault::from(error), None),
        Failure::Refused(Refusal { param, message }) => {
            let fault = Fault::invalid(Reason::RequestInvalid).message(message.clone());
            let fault = match &param {
                Some(param) => fault.field(param.clone(), message),
                None => fault,
            };
            (fault, param)
        }
    }
}

fn error_object(fault: &Fault, param: Option<&str>) -> Value {
    let kind = match fault.code() {
        Code::Unauthenticated => "authentication_error",
        Code::PermissionDenied => "permission_error",
        Code::ResourceExhausted => "rate_limit_error",
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Aborted => "invalid_request_error",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => "server_error",
    };
    // SDKs look for OpenAI's word here; the others are ours in lower case.
    let code = match fault.reason() {
        "CONTEXT_TOO_LONG" => "context_length_exceeded".to_owned(),
        "PROVIDER_RATE_LIMITED" => "rate_limit_exceeded".to_owned(),
        other => other.to_lowercase(),
    };
    json!({"error": {"message": fault.to_string(), "type": kind, "param": param, "code": code}})
}

/// A JSON body.
pub(crate) fn json_body(value: &Value) -> HttpBody {
    HttpBody {
        content_type: "application/json".to_owned(),
        data: value.to_string().into_bytes().into(),
        extensions: Vec::new(),
    }
}

/// The answer of `GET /v1/models`.
pub(crate) fn models(models: &[Model]) -> HttpBody {
    let data: Vec<Value> = models.iter().map(model_object).collect();
    json_body(&json!({"object": "list", "data": data}))
}

/// The answer of `GET /v1/models/{id}`.
pub(crate) fn model(model: &Model) -> HttpBody {
    json_body(&model_object(model))
}

fn model_object(model: &Model) -> Value {
    json!({
        "id": model.id.as_str(),
        "object": "model",
        "created": model.create_time.map_or(0, |time| time.as_seconds()),
        "owned_by": model.provider,
    })
}

//! `POST /v1/embeddings`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use lightning_proto::google::api::HttpBody;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, Refusal};
use crate::{
    domain::{EmbedRequest, ModelId},
    engine::Embedded,
};

/// The most texts of one request, as OpenAI has it.
const MAX_INPUTS: usize = 2_048;

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// A list of numbers.
    Float,
    /// The little-endian bytes of the numbers as Base64.
    Base64,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) model: String,
    pub(crate) request: EmbedRequest,
    pub(crate) encoding: Encoding,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    model: Option<String>,
    input: Value,
    encoding_format: Option<String>,
    dimensions: Option<u32>,
}

/// Reads a request body.
pub(crate) fn read(body: &Bytes) -> Result<Asked, Failure> {
    let body: Body = super::parse(body)?;
    let model = body.model.filter(|model| ModelId::parse(model).is_some());
    let model =
        model.ok_or_else(|| Refusal::new("model", "must name a model that offers embeddings"))?;
    let encoding = match body.encoding_format.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(_) => return Err(Refusal::new("encoding_format", "must be float or base64").into()),
    };
    if body.dimensions == Some(0) {
        return Err(Refusal::new("dimensions", "must be at least 1").into());
    }
    let inputs = inputs(body.input)?;
    Ok(Asked { model, request: EmbedRequest { inputs, dimensions: body.dimensions }, encoding })
}

fn inputs(input: Value) -> Result<Vec<String>, Refusal> {
    let refuse = || {
        Refusal::new("input", "must be a text or a list of texts; lists of tokens are not offered")
    };
    let inputs = match input {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts
            .into_iter()
            .map(|text| match text {
                Value::String(text) => Ok(text),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => Err(refuse()),
            })
            .collect::<Result<_, _>>()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Err(refuse()),
    };
    if !(1..=MAX_INPUTS).contains(&inputs.len()) || inputs.iter().any(String::is_empty) {
        return Err(Refusal::new("input", "must hold 1 to 2,048 texts, none of them empty"));
    }
    Ok(inputs)
}

/// The answer.
pub(crate) fn list(embedded: Embedded, encoding: Encoding) -> HttpBody {
    let Embedded { model, vectors, usage } = embedded;
    let data = vectors.into_iter().enumerate().map(|(index, vector)| {
        let embedding: Value = match encoding {
            Encoding::Float => vector.into(),
            Encoding::Base64 => {
                let bytes: Vec<u8> =
                    vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                STANDARD.encode(bytes).into()
            }
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    super::json_body(&json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": model,
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.total()},
    }))
}

//! Writes the answers of `POST /v1/chat/completions`: one JSON body, or server-sent events.

use futures_util::{Stream, StreamExt as _, stream};
use lightning_proto::google::api::HttpBody;
use serde_json::{Value, json};

use crate::{
    domain::{Delta, Usage},
    engine::{Event, Head, Inference, Running},
    error::Error,
};

/// The whole answer.
pub(crate) fn whole(inference: Inference) -> HttpBody {
    let Inference { id, model, answer, usage, create_time, .. } = inference;
    let mut message = json!({"role": "assistant", "content": answer.text, "refusal": null});
    if !answer.tool_calls.is_empty() {
        let calls = answer.tool_calls.into_iter().map(|call| {
            let function = json!({"name": call.name, "arguments": call.arguments});
            json!({"id": call.id, "type": "function", "function": function})
        });
        message["tool_calls"] = calls.collect();
        if answer.text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    super::json_body(&json!({
        "id": format!("chatcmpl-{id}"),
        "object": "chat.completion",
        "created": create_time.as_seconds(),
        "model": model,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": answer.finish.as_str(),
        }],
        "usage": usage_object(usage),
    }))
}

fn usage_object(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total(),
    })
}

/// The answer as server-sent events. An error in the middle is an event of its own, and then the
/// stream ends without `[DONE]`.
pub(crate) fn chunks(running: Running, include_usage: bool) -> impl Stream<Item = HttpBody> + Send {
    let Running { head, events } = running;
    let chunk = Chunk { head, include_usage };
    let first = event(&chunk.with(&json!({"role": "assistant", "content": ""}), None));
    let rest = events.flat_map(move |piece| stream::iter(chunk.events(piece)));
    stream::iter([first]).chain(rest)
}

/// Writes the chunks of one answer.
struct Chunk {
    head: Head,
    include_usage: bool,
}

// === impl Chunk ===

impl Chunk {
    fn events(&self, piece: Result<Event, Error>) -> Vec<HttpBody> {
        let delta = match piece {
            Ok(Event::Delta(Delta::Text(text))) => json!({"content": text}),
            Ok(Event::Delta(Delta::ToolCall { index, id, name, arguments })) => {
                let mut function = json!({"arguments": arguments});
                if let Some(name) = name {
                    function["name"] = name.into();
                }
                let mut call = json!({"index": index, "function": function});
                if let Some(id) = id {
                    call["id"] = id.into();
                    call["type"] = "function".into();
                }
                json!({"tool_calls": [call]})
            }
            Ok(Event::Delta(Delta::End { .. })) => return Vec::new(),
            Ok(Event::Done(inference)) => return self.end(&inference),
            Err(error) => return vec![event(&super::late_error(error))],
        };
        vec![event(&self.with(&delta, None))]
    }

    fn end(&self, inference: &Inference) -> Vec<HttpBody> {
        let mut events =
            vec![event(&self.with(&json!({}), Some(inference.answer.finish.as_str())))];
        if self.include_usage {
            let mut chunk = self.with(&json!({}), None);
            chunk["choices"] = json!([]);
            chunk["usage"] = usage_object(inference.usage);
            events.push(event(&chunk));
        }
        events.push(raw_event("[DONE]"));
        events
    }

    fn with(&self, delta: &Value, finish: Option<&str>) -> Value {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", self.head.id),
            "object": "chat.completion.chunk",
            "created": self.head.create_time.as_seconds(),
            "model": self.head.model,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}],
        });
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }
}

fn event(value: &Value) -> HttpBody {
    raw_event(&value.to_string())
}

fn raw_event(data: &str) -> HttpBody {
    HttpBody {
        content_type: "text/event-stream".to_owned(),
        data: format!("data: {data}\n\n").into_bytes().into(),
        extensions: Vec::new(),
    }
}

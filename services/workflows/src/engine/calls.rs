//! `call`: models, agents and integrations, on behalf of whoever started the execution.
//!
//! Everything a call depends on is made durable before it leaves. Its effect carries a key that stays
//! the same over retries, crashes and replay (execution, task, round; not the try). A peer that cannot
//! be reached at all is asked again for a while, because at a start the mesh comes up service by
//! service; any other failure is the task's, for a `try` to handle.

use std::time::Duration;

use aws_lc_rs::digest;
use lightning_mesh::{fault, identity::Caller, json};
use lightning_proto::{
    agents::v1::{InvokeAgentRequest, agent_service_client::AgentServiceClient},
    integrations::v1::{
        ExecuteActionRequest, integration_service_client::IntegrationServiceClient,
    },
    mesh::v1::ErrorReason as MeshReason,
    models::v1::{
        InferRequest, Inference, Message, inference_service_client::InferenceServiceClient,
    },
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{
    MAX_DATA,
    interpreter::{Interpreter, Stop, carried},
    scope::{Scope, View, task_value},
};
use crate::{
    definition::{Call, Task, hex},
    domain::{Problem, StepRun},
};

/// How long a peer may be out of reach before a call of it fails.
const REACH: Duration = Duration::from_secs(15);
/// Pauses between tries to reach it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

type Object = Map<String, Value>;

/// A call that is ready to be made.
enum Ready {
    Model(Box<InferRequest>),
    Agent(InvokeAgentRequest),
    Integration(ExecuteActionRequest),
}

// === impl Interpreter ===

impl Interpreter {
    pub(super) async fn call(
        &self,
        call: &Call,
        task: &Task,
        step: &StepRun,
        scope: &Scope,
    ) -> Result<Value, Stop> {
        let view = View {
            input: Some(&step.input),
            ..self.view(scope, Some(task_value(task, Some(step))))
        };
        let template = match call {
            Call::Model(template) | Call::Agent(template) | Call::Integration(template) => template,
        };
        let filled = view.fill(template, &step.input).await?;
        carried(&filled, "`with`")?;
        let Value::Object(fields) = filled else {
            return Err(Problem::standard("configuration", 400, "`with` must be an object").into());
        };
        let ready = match call {
            Call::Model(_) => Ready::Model(Box::new(model_request(fields)?)),
            Call::Agent(_) => Ready::Agent(agent_request(fields)?),
            Call::Integration(_) => Ready::Integration(integration_request(
                fields,
                self.effect_key(&scope.effect_id(&task.path)),
            )?),
        };
        // Output commit: nothing leaves before what it depends on is durable.
        self.run.flush(&self.engine).await?;
        if self.resumed(&step.id) {
            tracing::info!(execution_id = %self.run.id(), step = step.id, attempt = step.attempt, "calling again");
        }
        let output = self.reach(&ready).await.map_err(|status| problem(&status))?;
        Ok(output)
    }

    /// Makes the call, and makes it again while the peer is out of reach.
    async fn reach(&self, ready: &Ready) -> Result<Value, Status> {
        let given_up = Instant::now() + REACH;
        let mut pause = FIRST_PAUSE;
        loop {
            let caller = self.run.caller.clone();
            let caller =
                caller.with_deadline(Some(Instant::now() + self.engine.config.call_timeout));
            let status = match self.make(ready, &caller).await {
                Ok(value) => return Ok(value),
                Err(status) => status,
            };
            let unreached = fault::has_reason(&status, MeshReason::PeerUnavailable);
            if !unreached || Instant::now() >= given_up || self.engine.shutdown.is_requested() {
                return Err(status);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn make(&self, ready: &Ready, caller: &Caller) -> Result<Value, Status> {
        let peers = &self.engine.peers;
        match ready {
            Ready::Model(request) => {
                let mut client = InferenceServiceClient::new(peers.channel("models"))
                    .max_decoding_message_size(4 * MAX_DATA);
                let answer = client.infer(caller.request((**request).clone())).await?.into_inner();
                Ok(inference(&answer))
            }
            Ready::Agent(request) => {
                let mut client = AgentServiceClient::new(peers.channel("agents"));
                let answer =
                    client.invoke_agent(caller.request(request.clone())).await?.into_inner();
                Ok(json!({
                    "id": answer.id,
                    "agent_id": answer.agent_id,
                    "agent_version": answer.agent_version,
                    "deployment_id": answer.deployment_id,
                    "output": answer.output,
                    "model": answer.model,
                    "finish_reason": answer.finish_reason,
                    "cost_usd": answer.cost_usd,
                    "execution_id": answer.execution_id,
                }))
            }
            Ready::Integration(request) => {
                let mut client = IntegrationServiceClient::new(peers.channel("integrations"))
                    .max_decoding_message_size(4 * MAX_DATA);
                let answer =
                    client.execute_action(caller.request(request.clone())).await?.into_inner();
                Ok(answer.result.as_ref().map(json::from_value).unwrap_or_default())
            }
        }
    }

    /// The key of an effect: letters that any header can carry.
    fn effect_key(&self, effect: &str) -> String {
        let digest = digest::digest(&digest::SHA256, effect.as_bytes());
        format!("{}-{}", self.run.id(), hex(&digest.as_ref()[..16]))
    }
}

fn inference(answer: &Inference) -> Value {
    let usage = answer.usage.unwrap_or_default();
    let calls: Vec<Value> = answer
        .tool_calls
        .iter()
        .map(|call| {
            let arguments = call.arguments.as_ref().map(json::from_struct).unwrap_or_default();
            json!({ "id": call.id, "name": call.name, "arguments": arguments })
        })
        .collect();
    json!({
        "id": answer.id,
        "model": answer.model,
        "provider": answer.provider,
        "output": answer.output,
        "structured_output": answer.structured_output.as_ref().map(json::from_value),
        "tool_calls": calls,
        "finish_reason": answer.finish_reason,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        },
        "cost_usd": answer.cost_usd,
    })
}

fn model_request(mut fields: Object) -> Result<InferRequest, Problem> {
    let mut messages = Vec::new();
    if let Some(instructions) = text(&mut fields, "instructions")? {
        messages.push(message("system", instructions));
    }
    let mut prompt = text(&mut fields, "prompt")?.unwrap_or_default();
    match fields.remove("messages") {
        None | Some(Value::Null) => {
            // `prompt` is short for one user message, also behind instructions.
            if !messages.is_empty() {
                messages.push(message("user", std::mem::take(&mut prompt)));
            }
        }
        Some(Value::Array(items)) => {
            for item in items {
                messages.push(given_message(item)?);
            }
        }
        Some(_) => return Err(wrong("messages", "an array of {role, content}")),
    }
    let schema = match fields.remove("response_schema") {
        None | Some(Value::Null) => None,
        Some(schema @ Value::Object(_)) => Some(json::to_struct(schema)),
        Some(_) => return Err(wrong("response_schema", "a JSON Schema")),
    };
    let temperature = match fields.remove("temperature") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_f64().ok_or_else(|| wrong("temperature", "a number"))?),
    };
    let max_output_tokens = match fields.remove("max_output_tokens") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let tokens = value.as_i64().and_then(|tokens| i32::try_from(tokens).ok());
            Some(tokens.ok_or_else(|| wrong("max_output_tokens", "a whole number"))?)
        }
    };
    Ok(InferRequest {
        model: text(&mut fields, "model")?.unwrap_or_default(),
        messages,
        prompt,
        temperature,
        max_output_tokens,
        response_schema: schema,
        ..InferRequest::default()
    })
}

fn given_message(item: Value) -> Result<Message, Problem> {
    let Value::Object(mut fields) = item else {
        return Err(wrong("messages", "an array of {role, content}"));
    };
    let role = text(&mut fields, "role")?.unwrap_or_else(|| "user".to_owned());
    let content = text(&mut fields, "content")?.unwrap_or_default();
    match fields.keys().next() {
        None => Ok(message(&role, content)),
        Some(key) => {
            Err(wrong("messages", &format!("an array of {{role, content}}, without {key:?}")))
        }
    }
}

fn message(role: &str, content: String) -> Message {
    Message { role: role.to_owned(), content, ..Message::default() }
}

fn agent_request(mut fields: Object) -> Result<InvokeAgentRequest, Problem> {
    Ok(InvokeAgentRequest {
        id: required(&mut fields, "agent_id")?,
        input: required(&mut fields, "input")?,
        context: object(&mut fields, "context")?.map(json::to_struct),
        environment: text(&mut fields, "environment")?.unwrap_or_default(),
        ..InvokeAgentRequest::default()
    })
}

fn integration_request(
    mut fields: Object,
    idempotency_key: String,
) -> Result<ExecuteActionRequest, Problem> {
    Ok(ExecuteActionRequest {
        integration_id: required(&mut fields, "integration_id")?,
        action: required(&mut fields, "action")?,
        payload: object(&mut fields, "payload")?.map(json::to_struct),
        idempotency_key,
    })
}

fn text(fields: &mut Object, key: &str) -> Result<Option<String>, Problem> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(key, "a string")),
    }
}

fn required(fields: &mut Object, key: &str) -> Result<String, Problem> {
    text(fields, key)?.ok_or_else(|| wrong(key, "a string"))
}

fn object(fields: &mut Object, key: &str) -> Result<Option<Value>, Problem> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value @ Value::Object(_)) => Ok(Some(value)),
        Some(_) => Err(wrong(key, "an object")),
    }
}

fn wrong(key: &str, expected: &str) -> Problem {
    Problem::standard("validation", 400, format!("`with.{key}` must be {expected}"))
}

/// What another service's answer means inside a workflow.
fn problem(status: &Status) -> Problem {
    let (short, code) = match status.code() {
        Code::Unauthenticated => ("authentication", 401),
        Code::PermissionDenied => ("authorization", 403),
        Code::DeadlineExceeded => ("timeout", 408),
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => {
            ("communication", 400)
        }
        Code::NotFound => ("communication", 404),
        Code::AlreadyExists | Code::Aborted => ("communication", 409),
        Code::ResourceExhausted => ("communication", 429),
        Code::Unimplemented => ("communication", 501),
        Code::Unavailable => ("communication", 503),
        Code::Ok | Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            ("communication", 500)
        }
    };
    let detail = match fault::error_info(status) {
        Some(info) => format!("{}: {}", info.reason, status.message()),
        None => status.message().to_owned(),
    };
    Problem::standard(short, code, detail)
}

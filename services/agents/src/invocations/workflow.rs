//! Letting a workflow answer for an agent, through the workflows service.
//!
//! The workflow gets `{message, context, history}` and is waited for. What it answers is the text at
//! `reply`, `output` or `text` of its result, or the result as JSON if there is none.

use lightning_mesh::{channel::Peers, identity::Caller, json};
use lightning_proto::workflows::v1::{
    ExecuteWorkflowRequest, Execution, ExecutionError, execution::Status as ExecutionStatus,
    execution_service_client::ExecutionServiceClient,
};
use prost_types::Struct;
use serde_json::Value;
use tonic::Code;

use crate::{
    Error,
    domain::{Answer, Question},
    peer::Failure,
};

#[cfg(test)]
mod tests;

const PEER: &str = "workflows";

/// Where the text of a result is looked for, in this order.
const TEXTS: [&str; 3] = ["reply", "output", "text"];

/// Runs a workflow and waits for its end. Its steps act with the caller's permissions.
pub(crate) async fn ask(
    peers: &Peers,
    caller: &Caller,
    workflow_id: &str,
    question: Question,
) -> Result<Answer, Error> {
    let request = ExecuteWorkflowRequest {
        workflow_id: workflow_id.to_owned(),
        input_data: Some(input(question)),
        async_execution: Some(false),
        ..ExecuteWorkflowRequest::default()
    };
    let request = caller.request(request);
    let mut workflows = ExecutionServiceClient::new(peers.channel(PEER));
    match workflows.execute_workflow(request).await {
        Ok(execution) => answer(execution.into_inner()),
        Err(status) => Err(Error::InvocationFailed(Box::new(Failure::of(PEER, &status)))),
    }
}

fn input(question: Question) -> Struct {
    let history = question
        .history
        .into_iter()
        .map(|turn| serde_json::json!({ "role": turn.role.as_str(), "content": turn.content }));
    json::to_struct(serde_json::json!({
        "message": question.input,
        "context": question.context,
        "history": history.collect::<Vec<_>>(),
    }))
}

fn answer(execution: Execution) -> Result<Answer, Error> {
    let status = execution.status();
    if status != ExecutionStatus::Completed {
        return Err(Error::InvocationFailed(Box::new(failure(status, execution))));
    }
    let result = execution.output.as_ref().map(json::from_value).unwrap_or_default();
    Ok(Answer {
        output: text(&result),
        finish_reason: "workflow".to_owned(),
        execution_id: execution.id,
        ..Answer::default()
    })
}

fn text(result: &Value) -> String {
    if let Value::String(text) = result {
        return text.clone();
    }
    let found = TEXTS.into_iter().find_map(|key| result.get(key)?.as_str());
    found.map_or_else(|| result.to_string(), str::to_owned)
}

fn failure(status: ExecutionStatus, execution: Execution) -> Failure {
    let id = execution.id;
    let (code, message) = match status {
        ExecutionStatus::Failed => failed(&id, &execution.error.unwrap_or_default()),
        ExecutionStatus::Cancelled => {
            (Code::Aborted, format!("the execution {id} of its workflow was cancelled"))
        }
        ExecutionStatus::Unspecified
        | ExecutionStatus::Pending
        | ExecutionStatus::Running
        | ExecutionStatus::Waiting
        | ExecutionStatus::Completed => (
            Code::DeadlineExceeded,
            format!("the execution {id} of its workflow has not ended yet"),
        ),
    };
    Failure { execution_id: Some(id), ..Failure::new(PEER, code, message) }
}

/// The code that fits the HTTP status of an execution's error. A workflow that fails by itself is not
/// the fault of whoever asked the agent: somebody must mend the workflow, so it is a precondition.
fn failed(id: &str, error: &ExecutionError) -> (Code, String) {
    let code = match error.status {
        429 => Code::ResourceExhausted,
        408 | 504 => Code::DeadlineExceeded,
        502 | 503 => Code::Unavailable,
        _ => Code::FailedPrecondition,
    };
    let why = [error.title.as_str(), error.detail.as_str()];
    let why = why.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    (code, format!("the execution {id} of its workflow failed: {why}"))
}

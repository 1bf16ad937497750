//! Executions and steps, in and out.

use lightning_mesh::{
    fault::{Fault, Violations},
    filter::Filter,
    json,
    page::Page,
};
use lightning_proto::{
    mesh::v1::ErrorReason as MeshReason,
    workflows::v1::{self as pb, ErrorReason as Reason},
};
use prost::Message;
use serde_json::Value;

use super::{ORDERS, check_labels, check_text, id};
use crate::{
    Error,
    domain::{
        Execution, ExecutionId, Labels, Problem, Start, Status, StepRun, StepStatus, WorkflowId,
    },
    engine::MAX_DATA,
    nesting,
    pages::weight,
    store::ExecutionFilter,
};

const URL: usize = 2_048;
/// About how many bytes of steps stand in one message: what the 4 MiB leave beside input and output.
const STEP_BYTES: usize = 1 << 20;

pub(crate) fn start(request: pb::ExecuteWorkflowRequest) -> Result<Start, Fault> {
    let workflow_id =
        id("workflow_id", &request.workflow_id, WorkflowId::parse, Reason::ExecutionInvalid)?;
    let mut v = Violations::new();
    let input = request.input_data.as_ref().map(json::from_struct).unwrap_or_default();
    let bytes = Value::Object(input.clone()).to_string().len();
    v.check(
        bytes <= MAX_DATA,
        "input_data",
        format!("must have at most {MAX_DATA} bytes as JSON, not {bytes}"),
    );
    let fits = nesting::fits(&Value::Object(input.clone()));
    v.check(fits, "input_data", format!("is {}", nesting::rule()));
    v.check(
        request.version >= 0,
        "version",
        "must be a version's number, or 0 for the current one",
    );
    let url = &request.callback_url;
    check_text(&mut v, "callback_url", url, URL);
    let web = url.is_empty() || url.starts_with("http://") || url.starts_with("https://");
    v.check(web, "callback_url", "must begin with http:// or https://");
    let labels: Labels = request.labels.clone().into_iter().collect();
    check_labels(&mut v, "labels", &labels);
    v.finish(Reason::ExecutionInvalid)?;
    Ok(Start {
        workflow_id,
        version: Some(request.version).filter(|version| *version > 0),
        input,
        callback_url: Some(request.callback_url).filter(|url| !url.is_empty()),
        labels,
        detached: request.async_execution.unwrap_or(true),
    })
}

/// Reads the first answer to a repeated start.
pub(crate) fn pending_reply(bytes: &[u8]) -> Result<pb::Execution, Error> {
    pb::Execution::decode(bytes).map_err(|_| Error::Damaged { what: "an answer" })
}

/// Reads which executions to list, and which page of them.
pub(crate) fn execution_list(
    request: &pb::ListExecutionsRequest,
) -> Result<(ExecutionFilter, Page), Fault> {
    let pb::ListExecutionsRequest { page_size, page_token, filter, order_by } = request;
    let page = Page::parse(*page_size, page_token, order_by, filter, &ORDERS)?;
    let filter = Filter::parse(filter, &["workflow_id", "status"])?;
    let status = match filter.get("status") {
        None => None,
        Some(word) => Some(Status::of(word).ok_or_else(|| {
            let text =
                format!("status must be one of: {}", Status::ALL.map(Status::word).join(", "));
            Fault::invalid(MeshReason::FilterInvalid).message(text.clone()).field("filter", text)
        })?),
    };
    let workflow_id = filter.get("workflow_id").map(str::to_owned);
    Ok((ExecutionFilter { workflow_id, status }, page))
}

/// Reads whose steps to list, and which page of them.
pub(crate) fn step_page(request: &pb::ListStepRunsRequest) -> Result<(ExecutionId, Page), Fault> {
    let id =
        id("execution_id", &request.execution_id, ExecutionId::parse, Reason::ExecutionInvalid)?;
    // The execution is part of the query: a token of another one's steps is refused.
    let page = Page::parse(request.page_size, &request.page_token, "", id.as_str(), &["start"])?;
    Ok((id, page))
}

/// A page of steps, shorter than asked for where they are large.
pub(crate) fn steps_response(steps: Vec<StepRun>, page: &Page) -> pb::ListStepRunsResponse {
    let first = page
        .after_key()
        .and_then(|key| key.first()?.parse::<usize>().ok())
        .map_or(0, |last| last + 1);
    let total = steps.len();
    let shown: Vec<_> = fitting(steps.into_iter().skip(first).take(page.size())).collect();
    let last = first + shown.len();
    let token = page.next_key(last < total, &[&last.saturating_sub(1).to_string()]);
    pb::ListStepRunsResponse { steps: shown, next_page_token: token }
}

/// An execution with as many of its steps as fit into a message.
pub(crate) fn with_steps(whole: Execution, steps: Vec<StepRun>) -> pb::Execution {
    pb::Execution { steps: fitting(steps.into_iter()).collect(), ..execution(whole) }
}

fn fitting(steps: impl Iterator<Item = StepRun>) -> impl Iterator<Item = pb::StepRun> {
    let mut bytes = 0;
    let fits = move |step: &StepRun| {
        let before = bytes;
        bytes += 256 + weight(&step.input) + step.output.as_ref().map_or(0, weight);
        // At least one, however large it is.
        before == 0 || bytes <= STEP_BYTES
    };
    steps.take_while(fits).map(step)
}

/// An execution without steps.
pub(crate) fn execution(execution: Execution) -> pb::Execution {
    pb::Execution {
        id: execution.id.into(),
        workflow_id: execution.workflow_id.into(),
        workflow_version: execution.version,
        status: status(execution.status).into(),
        input_data: Some(json::to_struct(nesting::shown(Value::Object(execution.input)))),
        output: execution.output.map(nesting::shown).map(json::to_value),
        error: execution.problem.map(problem),
        steps: Vec::new(),
        callback_url: execution.callback_url.unwrap_or_default(),
        labels: execution.labels.into_iter().collect(),
        caller: execution.subject,
        create_time: Some(execution.created_at.to_proto()),
        start_time: execution.started_at.map(|time| time.to_proto()),
        end_time: execution.ended_at.map(|time| time.to_proto()),
    }
}

impl From<Execution> for pb::Execution {
    fn from(whole: Execution) -> Self {
        execution(whole)
    }
}

impl From<StepRun> for pb::StepRun {
    fn from(one: StepRun) -> Self {
        step(one)
    }
}

fn step(step: StepRun) -> pb::StepRun {
    pb::StepRun {
        id: step.id,
        name: step.name,
        path: step.path,
        kind: step.kind,
        status: step_status(step.status).into(),
        attempt: step.attempt,
        input: Some(json::to_value(nesting::shown(step.input))),
        output: step.output.map(nesting::shown).map(json::to_value),
        error: step.problem.map(problem),
        start_time: Some(step.started_at.to_proto()),
        end_time: step.ended_at.map(|time| time.to_proto()),
    }
}

fn problem(problem: Problem) -> pb::ExecutionError {
    let Problem { kind, title, status, detail, instance } = problem;
    pb::ExecutionError { r#type: kind, title, status, detail, instance }
}

fn status(status: Status) -> pb::execution::Status {
    match status {
        Status::Pending => pb::execution::Status::Pending,
        Status::Running => pb::execution::Status::Running,
        Status::Waiting => pb::execution::Status::Waiting,
        Status::Completed => pb::execution::Status::Completed,
        Status::Failed => pb::execution::Status::Failed,
        Status::Cancelled => pb::execution::Status::Cancelled,
    }
}

fn step_status(status: StepStatus) -> pb::step_run::Status {
    match status {
        StepStatus::Running => pb::step_run::Status::Running,
        StepStatus::Completed => pb::step_run::Status::Completed,
        StepStatus::Failed => pb::step_run::Status::Failed,
        StepStatus::Cancelled => pb::step_run::Status::Cancelled,
        StepStatus::Skipped => pb::step_run::Status::Skipped,
    }
}

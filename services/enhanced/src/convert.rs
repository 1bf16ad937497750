//! Messages to domain values and back. The way in reports all that is wrong at once, by field.

use lightning_mesh::{
    fault::{Fault, Violations},
    json,
};
use lightning_proto::enhanced::v1::{
    self as pb, ErrorReason as Reason, task::Status as WireStatus,
};

use crate::domain::{MAX_CONTEXT, MAX_TASK, Status, Task, TaskId, Wish};

#[cfg(test)]
mod tests;

/// Reads a wish that something be done.
pub(crate) fn wish(request: pb::ExecuteTaskRequest) -> Result<Wish, Fault> {
    let mut v = Violations::new();
    let length = request.task.chars().count();
    if length == 0 {
        v.add("task", "must not be empty");
    }
    let long = format!("must have at most {MAX_TASK} characters, not {length}");
    v.check(length <= MAX_TASK, "task", long);
    v.check(!request.task.contains('\0'), "task", "must not contain the NUL character");
    let agent_id = Some(request.agent_id).filter(|id| !id.is_empty());
    if let Some(id) = &agent_id {
        v.take("agent_id", lightning_mesh::id::check(id));
    }
    let context: std::collections::BTreeMap<_, _> =
        request.context.as_ref().map(json::from_struct).unwrap_or_default().into_iter().collect();
    let bytes = serde_json::to_string(&context).expect("JSON values always serialize").len();
    let large = format!("must have at most {MAX_CONTEXT} bytes as JSON, not {bytes}");
    v.check(bytes <= MAX_CONTEXT, "context", large);
    v.finish(Reason::TaskInvalid)?;
    Ok(Wish { task: request.task, agent_id, context })
}

/// Reads a task's id.
pub(crate) fn task_id(text: &str) -> Result<TaskId, Fault> {
    let mut v = Violations::new();
    let id = v.take("task_id", TaskId::parse(text));
    v.finish(Reason::TaskInvalid)?;
    Ok(id.expect("a malformed id is a violation"))
}

impl From<Status> for WireStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Running,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
        }
    }
}

impl From<Task> for pb::Task {
    fn from(task: Task) -> Self {
        let context: serde_json::Map<_, _> = task.context.into_iter().collect();
        Self {
            task_id: task.id.into(),
            agent_id: task.agent_id,
            selection: task.selection.as_str().to_owned(),
            task: task.task,
            context: Some(json::to_struct(context)),
            status: WireStatus::from(task.status).into(),
            result: task.result,
            error: task.error,
            create_time: Some(task.create_time.to_proto()),
            end_time: task.end_time.map(|time| time.to_proto()),
        }
    }
}

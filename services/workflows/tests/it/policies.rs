//! Policies of the organisation are asked about the workflow and the execution themselves.

use lightning_mesh::{fault::error_info, identity::Caller};
use lightning_proto::workflows::v1 as pb;
use serde_json::json;
use tonic::{Code, Status};

use super::support::{World, document, execute, output, until};

const HOLD: &str = "- ask: {call: model, with: {prompt: hold}}";

const POLICIES: &str = r#"
    @id("not-payroll")
    forbid(principal in Role::"intern", action, resource)
    when { resource.kind == "workflow" && resource.id == "payroll" };

    @id("not-secret")
    forbid(principal in Role::"intern", action, resource)
    when { resource.hasTag("secret") };

    @id("own-executions")
    forbid(principal in Role::"intern", action, resource)
    when { resource.kind == "execution" }
    unless { resource has owner && resource.owner == "i" };

    @id("blind")
    forbid(principal in Role::"runner", action == Action::"workflows.read", resource)
    when { resource.kind == "execution" };
"#;

fn holder(role: &str) -> Caller {
    let mut caller = Caller::new(format!("user:{}", &role[..1]), role, ["*"]).member_of("default");
    caller.roles = vec![role.to_owned()];
    caller
}

/// Fails unless the call was refused, naming the permission and the policy.
#[track_caller]
fn denied<T>(outcome: Result<T, Status>, permission: &str, policy: &str) {
    let status = outcome.err().unwrap_or_else(|| panic!("{permission} should have been refused"));
    let info = error_info(&status).unwrap_or_default();
    assert_eq!(
        (status.code(), info.reason.as_str()),
        (Code::PermissionDenied, "PERMISSION_DENIED")
    );
    assert_eq!(info.metadata["permission"], permission, "{status:?}");
    assert_eq!(info.metadata["policies"], policy, "{status:?}");
}

fn create(id: &str, tasks: &str) -> pb::CreateWorkflowRequest {
    let workflow = pb::Workflow { source: document(tasks), ..Default::default() };
    pb::CreateWorkflowRequest {
        workflow: Some(workflow),
        workflow_id: id.to_owned(),
        ..Default::default()
    }
}

fn update(workflow: pb::Workflow) -> pb::UpdateWorkflowRequest {
    pb::UpdateWorkflowRequest { workflow: Some(workflow), ..Default::default() }
}

#[tokio::test]
async fn a_forbidden_workflow_is_refused_to_every_call_and_others_are_not() {
    let world = World::start_under(POLICIES).await;
    for id in ["payroll", "lunch"] {
        let tasks = "- a: {set: {at: noon}}";
        world.workflows().create_workflow(create(id, tasks)).await.unwrap();
    }
    let mut workflows = world.workflows_as(holder("intern"));
    let mut executions = world.executions_as(holder("intern"));
    let (read, write, run) = ("workflows.read", "workflows.write", "workflows.execute");
    let (id, policy) = (|| "payroll".to_owned(), "not-payroll");

    denied(workflows.get_workflow(pb::GetWorkflowRequest { id: id() }).await, read, policy);
    let request = pb::ListWorkflowVersionsRequest { workflow_id: id(), ..Default::default() };
    denied(workflows.list_workflow_versions(request).await, read, policy);
    denied(workflows.create_workflow(create("payroll", HOLD)).await, write, policy);
    let changed = pb::Workflow { id: id(), name: "mine".into(), ..Default::default() };
    denied(workflows.update_workflow(update(changed)).await, write, policy);
    let request = pb::DeleteWorkflowRequest { id: id(), ..Default::default() };
    denied(workflows.delete_workflow(request).await, write, policy);
    let started = executions.execute_workflow(execute("payroll", json!({}), false)).await;
    denied(started, run, policy);

    workflows.get_workflow(pb::GetWorkflowRequest { id: "lunch".into() }).await.unwrap();
    let done = executions.execute_workflow(execute("lunch", json!({}), false)).await.unwrap();
    assert_eq!(output(&done.into_inner()), json!({"at": "noon"}));
    // A shared one is nobody's in particular, and not forbidden.
    let shared = pb::GetWorkflowRequest { id: "workflow-customer-support".into() };
    workflows.get_workflow(shared).await.unwrap();
    // Labels count as they become, not only as they are.
    let labels = [("secret".to_owned(), "yes".to_owned())];
    let marked = pb::Workflow { id: "lunch".into(), labels: labels.into(), ..Default::default() };
    denied(workflows.update_workflow(update(marked.clone())).await, write, "not-secret");
    world.workflows().update_workflow(update(marked)).await.unwrap();
    let started = executions.execute_workflow(execute("lunch", json!({}), false)).await;
    denied(started, run, "not-secret");
}

#[tokio::test]
async fn a_forbidden_execution_is_refused_to_every_call_and_ones_own_is_not() {
    let world = World::start_under(POLICIES).await;
    let workflow = world.define(HOLD).await;
    let id = world.begin(&workflow, json!({})).await;
    let mut executions = world.executions_as(holder("intern"));
    let (read, policy) = ("workflows.read", "own-executions");

    let get = |id: &str| pb::GetExecutionRequest { id: id.to_owned() };
    denied(executions.get_execution(get(&id)).await, read, policy);
    let request = pb::ListStepRunsRequest { execution_id: id.clone(), ..Default::default() };
    denied(executions.list_step_runs(request).await, read, policy);
    let request = pb::WatchExecutionRequest { id: id.clone() };
    denied(executions.watch_execution(request).await, read, policy);
    let cancel = |id: &str| pb::CancelExecutionRequest { id: id.to_owned(), ..Default::default() };
    denied(executions.cancel_execution(cancel(&id)).await, "workflows.execute", policy);

    let request = execute(&workflow, json!({}), true);
    let own = executions.execute_workflow(request).await.unwrap().into_inner().id;
    executions.get_execution(get(&own)).await.unwrap();
    let held = || async { (world.peers.prompts.lock().unwrap().len() == 2).then_some(()) };
    until(held).await;
    let cancelled = executions.cancel_execution(cancel(&own)).await.unwrap().into_inner();
    assert_eq!(cancelled.status(), pb::execution::Status::Cancelled);
    assert!(!world.get(&id).await.status().eq(&pb::execution::Status::Cancelled));
    world.executions().cancel_execution(cancel(&id)).await.unwrap();
}

#[tokio::test]
async fn who_waits_for_what_they_start_sees_its_end_without_the_right_to_look() {
    let world = World::start_under(POLICIES).await;
    let workflow = world.define("- a: {set: {at: noon}}").await;
    let mut executions = world.executions_as(holder("runner"));
    let request = execute(&workflow, json!({}), false);
    let done = executions.execute_workflow(request).await.unwrap().into_inner();
    assert_eq!(output(&done), json!({"at": "noon"}));
    let request = pb::GetExecutionRequest { id: done.id };
    denied(executions.get_execution(request).await, "workflows.read", "blind");
}

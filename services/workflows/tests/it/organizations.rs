//! Organisations do not see each other; the shipped workflows are everybody's.

use lightning_mesh::identity::Caller;
use lightning_proto::workflows::v1 as pb;
use serde_json::json;
use tonic::{Code, Status};

use super::support::{World, document, execute, output, reason, until};

const HOLD: &str = "- ask: {call: model, with: {prompt: hold}}";

fn admin(organization: &str) -> Caller {
    Caller::new("user:o", "otto", ["*"]).member_of(organization)
}

fn refusal<T>(result: Result<T, Status>) -> (Code, String) {
    let Err(status) = result else { panic!("it should have been refused") };
    (status.code(), reason(&status))
}

fn create(id: &str, tasks: &str) -> pb::CreateWorkflowRequest {
    let workflow = pb::Workflow { source: document(tasks), ..Default::default() };
    pb::CreateWorkflowRequest {
        workflow: Some(workflow),
        workflow_id: id.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_workflow_does_not_exist_for_another_organization() {
    let world = World::start().await;
    let id = world.define(HOLD).await;
    let mut workflows = world.workflows_as(admin("other"));
    let gone = (Code::NotFound, "WORKFLOW_NOT_FOUND".to_owned());
    let got = workflows.get_workflow(pb::GetWorkflowRequest { id: id.clone() }).await;
    assert_eq!(refusal(got), gone);
    let changed = pb::Workflow { id: id.clone(), name: "mine".into(), ..Default::default() };
    let request = pb::UpdateWorkflowRequest { workflow: Some(changed), ..Default::default() };
    assert_eq!(refusal(workflows.update_workflow(request).await), gone);
    let request = pb::DeleteWorkflowRequest { id: id.clone(), ..Default::default() };
    assert_eq!(refusal(workflows.delete_workflow(request).await), gone);
    let request = pb::ListWorkflowVersionsRequest { workflow_id: id.clone(), ..Default::default() };
    assert_eq!(refusal(workflows.list_workflow_versions(request).await), gone);
    let mut executions = world.executions_as(admin("other"));
    let started = executions.execute_workflow(execute(&id, json!({}), true)).await;
    assert_eq!(refusal(started), gone);
    let listed = workflows.list_workflows(pb::ListWorkflowsRequest::default()).await.unwrap();
    assert!(listed.into_inner().workflows.iter().all(|workflow| workflow.id != id));
}

#[tokio::test]
async fn an_execution_does_not_exist_for_another_organization() {
    let world = World::start().await;
    let workflow = world.define(HOLD).await;
    let id = world.begin(&workflow, json!({})).await;
    let held = || async { (!world.peers.prompts.lock().unwrap().is_empty()).then_some(()) };
    until(held).await;
    let mut executions = world.executions_as(admin("other"));
    let gone = (Code::NotFound, "EXECUTION_NOT_FOUND".to_owned());
    let got = executions.get_execution(pb::GetExecutionRequest { id: id.clone() }).await;
    assert_eq!(refusal(got), gone);
    let request = pb::CancelExecutionRequest { id: id.clone(), ..Default::default() };
    assert_eq!(refusal(executions.cancel_execution(request).await), gone);
    let request = pb::ListStepRunsRequest { execution_id: id.clone(), ..Default::default() };
    assert_eq!(refusal(executions.list_step_runs(request).await), gone);
    let watched = executions.watch_execution(pb::WatchExecutionRequest { id: id.clone() }).await;
    assert_eq!(refusal(watched), gone);
    let listed = executions.list_executions(pb::ListExecutionsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().executions, []);
    world.peers.release.notify_one();
    let done = world.reaches(&id, pb::execution::Status::Completed).await;
    assert_eq!(done.id, id);
}

#[tokio::test]
async fn an_id_is_free_in_every_organization() {
    let world = World::start().await;
    let ours = world.workflows().create_workflow(create("flow", "- a: {set: {at: ours}}")).await;
    ours.unwrap();
    let mut workflows = world.workflows_as(admin("other"));
    workflows.create_workflow(create("flow", "- a: {set: {at: theirs}}")).await.unwrap();
    let mut executions = world.executions_as(admin("other"));
    let request = execute("flow", json!({}), false);
    let theirs = executions.execute_workflow(request).await.unwrap().into_inner();
    assert_eq!(output(&theirs), json!({"at": "theirs"}));
    assert_eq!(output(&world.run("flow", json!({})).await), json!({"at": "ours"}));
    workflows
        .delete_workflow(pb::DeleteWorkflowRequest { id: "flow".into(), ..Default::default() })
        .await
        .unwrap();
    assert_eq!(output(&world.run("flow", json!({})).await), json!({"at": "ours"}));
}

#[tokio::test]
async fn everybody_runs_the_shipped_workflows_and_the_first_organization_changes_them() {
    let world = World::start().await;
    let id = || "workflow-customer-support".to_owned();
    let caller = Caller::new("user:o", "otto", ["workflows.*", "models.infer"]).member_of("other");
    let mut workflows = world.workflows_as(caller.clone());
    let listed = workflows.list_workflows(pb::ListWorkflowsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().workflows.len(), 2);
    let mut executions = world.executions_as(caller);
    let request = execute(&id(), json!({"message": "the app crashes"}), false);
    let done = executions.execute_workflow(request).await.unwrap().into_inner();
    assert_eq!(output(&done)["intent"], "technical");
    let asked = world.peers.callers.lock().unwrap().last().cloned().unwrap();
    assert_eq!((asked.organization_id.as_str(), asked.subject.as_str()), ("other", "user:o"));
    // The first organisation sees the workflow, and not who ran it elsewhere.
    let ours = world.executions().list_executions(pb::ListExecutionsRequest::default()).await;
    assert_eq!(ours.unwrap().into_inner().executions, []);

    let denied = (Code::PermissionDenied, "PERMISSION_DENIED".to_owned());
    let changed = pb::Workflow { id: id(), name: "mine".into(), ..Default::default() };
    let request = pb::UpdateWorkflowRequest { workflow: Some(changed), ..Default::default() };
    assert_eq!(refusal(workflows.update_workflow(request.clone()).await), denied);
    let delete = pb::DeleteWorkflowRequest { id: id(), ..Default::default() };
    assert_eq!(refusal(workflows.delete_workflow(delete.clone()).await), denied);
    let taken = workflows.create_workflow(create(&id(), "- a: {set: {}}")).await;
    assert_eq!(refusal(taken), (Code::AlreadyExists, "WORKFLOW_EXISTS".to_owned()));
    world.workflows().update_workflow(request).await.unwrap();
    world.workflows().delete_workflow(delete).await.unwrap();
}

#[tokio::test]
async fn a_step_keeps_who_acts_for_whom() {
    let world = World::start().await;
    let id = world.define("- ask: {call: model, with: {prompt: hello}}").await;
    let acting = admin("default").acted_for_by("agent:ada", &["*".to_owned()]);
    let mut executions = world.executions_as(acting);
    executions.execute_workflow(execute(&id, json!({}), false)).await.unwrap();
    let asked = world.peers.callers.lock().unwrap().last().cloned().unwrap();
    assert_eq!((asked.subject.as_str(), asked.actors), ("user:o", vec!["agent:ada".to_owned()]));
}

#[tokio::test]
async fn an_execution_from_before_there_were_organizations_goes_on_in_the_first() {
    let data = tempfile::tempdir().unwrap();
    let world = World::open(data.path(), lightning_workflows::Config::default()).await;
    let workflow =
        world.define("- rest: {wait: {hours: 1}}\n- ask: {call: model, with: {prompt: p}}").await;
    let id = world.begin(&workflow, json!({})).await;
    world.reaches(&id, pb::execution::Status::Waiting).await;
    world.harness.stop().await;
    let file = rusqlite::Connection::open(data.path().join("workflows.db")).unwrap();
    let caller = r#"{"subject":"local","name":"local admin","permissions":["*"]}"#;
    file.execute("UPDATE executions SET caller = ?1", [caller]).unwrap();
    drop(file);
    let world = World::open(data.path(), lightning_workflows::Config::default()).await;
    world.clock.advance(std::time::Duration::from_secs(3_700));
    world.reaches(&id, pb::execution::Status::Completed).await;
    let asked = world.peers.callers.lock().unwrap().last().cloned().unwrap();
    assert_eq!(asked.organization_id, "default");
}

//! Policies of the organisation are asked about the agent itself.

use lightning_mesh::{fault::error_info, identity::Caller};
use lightning_proto::agents::v1 as pb;
use tonic::{Code, Status};

use super::support::{Mesh, named, question};

const POLICIES: &str = r#"
    @id("not-ada")
    forbid(principal in Role::"intern", action, resource)
    when { resource.kind == "agent" && resource.id == "ada" };

    @id("not-secret")
    forbid(principal in Role::"intern", action, resource)
    when { resource.hasTag("secret") && resource.getTag("secret") == "yes" };

    @id("helpers")
    permit(principal in Role::"helper", action == Action::"agents.read", resource)
    unless { resource.id == "ada" };

    @id("own-alone")
    forbid(principal in Role::"loner", action == Action::"agents.write", resource)
    when { resource.kind == "agent" }
    unless { resource has owner && resource.owner == "l" };
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

fn labelled(id: &str, secret: &str) -> pb::Agent {
    pb::Agent {
        id: id.into(),
        labels: [("secret".to_owned(), secret.to_owned())].into(),
        ..named(id)
    }
}

fn create(id: &str, agent: pb::Agent) -> pb::CreateAgentRequest {
    pb::CreateAgentRequest { agent: Some(agent), agent_id: id.into(), ..Default::default() }
}

fn update(agent: pb::Agent) -> pb::UpdateAgentRequest {
    pb::UpdateAgentRequest { agent: Some(agent), update_mask: None }
}

#[tokio::test]
async fn a_forbidden_agent_is_refused_to_every_call_and_others_are_not() {
    let mesh = Mesh::start_under(POLICIES).await;
    mesh.create("ada", "m1").await;
    mesh.create("bea", "m1").await;
    let deployment = mesh.deploy("ada", 0).await;
    mesh.deploy("bea", 0).await;
    let mut agents = mesh.agents_as(holder("intern"));
    let mut deployments = mesh.deployments_as(holder("intern"));
    let id = || "ada".to_owned();
    let (read, write) = ("agents.read", "agents.write");
    let (deploy, invoke) = ("agents.deploy", "agents.invoke");

    let policy = "not-ada";
    denied(agents.get_agent(pb::GetAgentRequest { id: id() }).await, read, policy);
    let request = pb::ListAgentVersionsRequest { agent_id: id(), ..Default::default() };
    denied(agents.list_agent_versions(request).await, read, policy);
    denied(
        agents.get_agent_workflow(pb::GetAgentWorkflowRequest { agent_id: id() }).await,
        read,
        policy,
    );
    denied(agents.create_agent(create("ada", named("Ada"))).await, write, policy);
    let changed = pb::Agent { id: id(), description: "mine".into(), ..Default::default() };
    denied(agents.update_agent(update(changed)).await, write, policy);
    let request = pb::SetAgentStatusRequest {
        id: id(),
        status: pb::agent::Status::Archived.into(),
        ..Default::default()
    };
    denied(agents.set_agent_status(request).await, write, policy);
    let request = pb::SetAgentWorkflowRequest { agent_id: id(), workflow_id: String::new() };
    denied(agents.set_agent_workflow(request).await, write, policy);
    let request = pb::DeleteAgentRequest { id: id(), force: true, ..Default::default() };
    denied(agents.delete_agent(request).await, write, policy);
    denied(agents.invoke_agent(question("ada")).await, invoke, policy);
    let elsewhere = pb::InvokeAgentRequest { environment: "elsewhere".into(), ..question("ada") };
    denied(agents.invoke_agent(elsewhere).await, invoke, policy);
    let request = pb::StreamInvocationRequest { invocation: Some(question("ada")) };
    denied(agents.stream_invocation(request).await, invoke, policy);
    let order = pb::DeployAgentRequest { id: id(), ..Default::default() };
    denied(deployments.deploy_agent(order).await, deploy, policy);
    let request = pb::ListDeploymentsRequest { agent_id: id(), ..Default::default() };
    denied(deployments.list_deployments(request).await, read, policy);
    let request = pb::GetDeploymentRequest { id: deployment.id.clone() };
    denied(deployments.get_deployment(request).await, read, policy);
    let request = pb::StopDeploymentRequest { id: deployment.id };
    denied(deployments.stop_deployment(request).await, deploy, policy);

    agents.get_agent(pb::GetAgentRequest { id: "bea".into() }).await.unwrap();
    agents.invoke_agent(question("bea")).await.unwrap();
    let order = pb::DeployAgentRequest { id: "bea".into(), ..Default::default() };
    deployments.deploy_agent(order).await.unwrap();
    // Ada is as she was, and works for everybody else.
    mesh.agents().invoke_agent(question("ada")).await.unwrap();
}

#[tokio::test]
async fn a_label_counts_at_once_and_nobody_changes_it_to_get_around_a_policy() {
    let mesh = Mesh::start_under(POLICIES).await;
    mesh.create("bea", "m1").await;
    mesh.deploy("bea", 0).await;
    let mut agents = mesh.agents_as(holder("intern"));
    let policy = "not-secret";
    denied(agents.create_agent(create("cy", labelled("cy", "yes"))).await, "agents.write", policy);
    denied(agents.update_agent(update(labelled("bea", "yes"))).await, "agents.write", policy);
    agents.invoke_agent(question("bea")).await.unwrap();
    // What is deployed has no label; the agent gets one.
    mesh.agents().update_agent(update(labelled("bea", "yes"))).await.unwrap();
    denied(agents.invoke_agent(question("bea")).await, "agents.invoke", policy);
    denied(agents.update_agent(update(labelled("bea", "no"))).await, "agents.write", policy);
    mesh.agents().invoke_agent(question("bea")).await.unwrap();
}

#[tokio::test]
async fn a_policy_gives_what_the_roles_do_not_up_to_the_scopes_of_the_credential() {
    let mesh = Mesh::start_under(POLICIES).await;
    for id in ["ada", "bea"] {
        mesh.create(id, "m1").await;
    }
    let mut helper = holder("helper");
    helper.permissions.clear();
    helper.reach = vec!["agents.*".to_owned()];
    let mut agents = mesh.agents_as(helper.clone());
    agents.get_agent(pb::GetAgentRequest { id: "bea".into() }).await.unwrap();
    let refusal = agents.get_agent(pb::GetAgentRequest { id: "ada".into() }).await.unwrap_err();
    assert_eq!(refusal.code(), Code::PermissionDenied);
    helper.reach = vec!["models.*".to_owned()];
    let narrow = mesh.agents_as(helper).get_agent(pb::GetAgentRequest { id: "bea".into() }).await;
    denied(narrow, "agents.read", "helpers");
}

#[tokio::test]
async fn a_policy_can_look_at_the_owner() {
    let mesh = Mesh::start_under(POLICIES).await;
    let mut agents = mesh.agents_as(holder("loner"));
    agents.create_agent(create("own", named("Own"))).await.unwrap();
    mesh.create("foreign", "m1").await;
    let changed =
        |id: &str| pb::Agent { id: id.into(), description: "new".into(), ..Default::default() };
    agents.update_agent(update(changed("own"))).await.unwrap();
    denied(agents.update_agent(update(changed("foreign"))).await, "agents.write", "own-alone");
}

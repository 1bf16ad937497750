//! Organisations do not see each other, and agents may do no more than they were given.

use lightning_mesh::identity::Caller;
use lightning_proto::agents::v1 as pb;
use tonic::Code;

use super::support::{Mesh, named, question, refusal, refused};

fn admin(organization: &str) -> Caller {
    Caller::new("user:o", "otto", ["*"]).member_of(organization)
}

fn create(id: &str, agent: pb::Agent) -> pb::CreateAgentRequest {
    pb::CreateAgentRequest { agent: Some(agent), agent_id: id.into(), ..Default::default() }
}

#[tokio::test]
async fn an_agent_does_not_exist_for_another_organization() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "m1").await;
    let deployment = mesh.deploy("ada", 0).await;
    let mut agents = mesh.agents_as(admin("other"));
    let mut deployments = mesh.deployments_as(admin("other"));
    let gone = refused(Code::NotFound, "AGENT_NOT_FOUND");
    let id = || "ada".to_owned();

    let got = agents.get_agent(pb::GetAgentRequest { id: id() }).await;
    assert_eq!(refusal(got), gone);
    let changed = pb::Agent { id: id(), description: "mine".into(), ..Default::default() };
    let request = pb::UpdateAgentRequest { agent: Some(changed), update_mask: None };
    assert_eq!(refusal(agents.update_agent(request).await), gone);
    let request = pb::DeleteAgentRequest { id: id(), force: true, ..Default::default() };
    assert_eq!(refusal(agents.delete_agent(request).await), gone);
    let request = pb::SetAgentStatusRequest {
        id: id(),
        status: pb::agent::Status::Archived.into(),
        ..Default::default()
    };
    assert_eq!(refusal(agents.set_agent_status(request).await), gone);
    let request = pb::ListAgentVersionsRequest { agent_id: id(), ..Default::default() };
    assert_eq!(refusal(agents.list_agent_versions(request).await), gone);
    let request = pb::GetAgentWorkflowRequest { agent_id: id() };
    assert_eq!(refusal(agents.get_agent_workflow(request).await), gone);
    let request = pb::SetAgentWorkflowRequest { agent_id: id(), workflow_id: String::new() };
    assert_eq!(refusal(agents.set_agent_workflow(request).await), gone);
    assert_eq!(refusal(agents.invoke_agent(question("ada")).await), gone);
    let request = pb::StreamInvocationRequest { invocation: Some(question("ada")) };
    assert_eq!(refusal(agents.stream_invocation(request).await), gone);

    let request = pb::DeployAgentRequest { id: id(), ..Default::default() };
    assert_eq!(refusal(deployments.deploy_agent(request).await), gone);
    let request = pb::ListDeploymentsRequest { agent_id: id(), ..Default::default() };
    assert_eq!(refusal(deployments.list_deployments(request).await), gone);
    let gone = refused(Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    let request = pb::GetDeploymentRequest { id: deployment.id.clone() };
    assert_eq!(refusal(deployments.get_deployment(request).await), gone);
    let request = pb::StopDeploymentRequest { id: deployment.id };
    assert_eq!(refusal(deployments.stop_deployment(request).await), gone);

    let listed = agents.list_agents(pb::ListAgentsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.agents, []);
    assert_eq!(mesh.get("ada").await.unwrap().status, i32::from(pb::agent::Status::Deployed));
}

#[tokio::test]
async fn an_id_and_a_request_id_are_free_in_every_organization() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "m1").await;
    mesh.deploy("ada", 0).await;
    let mut agents = mesh.agents_as(admin("other"));
    let request =
        pb::CreateAgentRequest { request_id: "r".into(), ..create("ada", named("Other")) };
    let theirs = agents.create_agent(request.clone()).await.unwrap().into_inner();
    assert_eq!(agents.create_agent(request.clone()).await.unwrap().into_inner(), theirs);
    let third = mesh.agents_as(admin("third")).create_agent(request).await.unwrap().into_inner();
    assert_eq!((theirs.name.as_str(), third.id.as_str()), ("Other", "ada"));
    // Deploying and deleting one leaves the other as it is.
    let order = pb::DeployAgentRequest { id: "ada".into(), ..Default::default() };
    mesh.deployments_as(admin("other")).deploy_agent(order).await.unwrap();
    let request = pb::DeleteAgentRequest { id: "ada".into(), force: true, ..Default::default() };
    agents.delete_agent(request).await.unwrap();
    assert_eq!(mesh.get("ada").await.unwrap().model, "m1");
    mesh.agents().invoke_agent(question("ada")).await.unwrap();
}

#[tokio::test]
async fn a_page_token_of_one_organization_shows_nothing_of_it_in_another() {
    let mesh = Mesh::start().await;
    for id in ["a", "b", "c"] {
        mesh.create(id, "m1").await;
    }
    let request = pb::ListAgentsRequest { page_size: 1, ..Default::default() };
    let page = mesh.agents().list_agents(request.clone()).await.unwrap().into_inner();
    let request = pb::ListAgentsRequest { page_token: page.next_page_token, ..request };
    let theirs = mesh.agents_as(admin("other")).list_agents(request).await.unwrap().into_inner();
    assert_eq!(theirs, pb::ListAgentsResponse::default());
}

#[tokio::test]
async fn who_belongs_to_no_organization_is_refused() {
    let mesh = Mesh::start().await;
    let nobody = Caller::new("user:n", "nobody", ["*"]);
    let listed = mesh.agents_as(nobody).list_agents(pb::ListAgentsRequest::default()).await;
    assert_eq!(refusal(listed), refused(Code::PermissionDenied, "PERMISSION_DENIED"));
}

#[tokio::test]
async fn a_new_agent_has_an_owner_and_what_its_maker_may_give() {
    let mesh = Mesh::start().await;
    let made = mesh.create("ada", "m1").await;
    assert_eq!(made.owner_id, "");
    let usual = [
        "integrations.execute",
        "integrations.read",
        "models.infer",
        "models.read",
        "workflows.execute",
        "workflows.read",
    ];
    assert_eq!(made.permissions, usual);
    let maker = Caller::new("user:7", "grace", ["agents.*", "models.*"]).member_of("default");
    let mut agents = mesh.agents_as(maker);
    let made = agents.create_agent(create("bea", named("Bea"))).await.unwrap().into_inner();
    assert_eq!(made.owner_id, "7");
    assert_eq!(made.permissions, usual[2..4]);

    let mighty = |right: &str| pb::Agent { permissions: vec![right.into()], ..named("Eve") };
    let held = refused(Code::PermissionDenied, "AGENT_RIGHT_NOT_HELD");
    for right in ["*", "workflows.execute", "*.infer"] {
        assert_eq!(
            refusal(agents.create_agent(create("eve", mighty(right))).await),
            held,
            "{right}"
        );
        let change = pb::Agent { id: "bea".into(), ..mighty(right) };
        let request = pb::UpdateAgentRequest { agent: Some(change), update_mask: None };
        assert_eq!(refusal(agents.update_agent(request).await), held, "{right}");
    }
    for wrong in ["models", "*.*", "Models.infer", "a.b.c", ""] {
        let made = agents.create_agent(create("eve", mighty(wrong))).await;
        assert_eq!(refusal(made), refused(Code::InvalidArgument, "AGENT_INVALID"), "{wrong}");
    }
    let made = agents.create_agent(create("eve", mighty("models.infer"))).await.unwrap();
    assert_eq!(made.into_inner().permissions, ["models.infer"]);
    // Whoever may give less can still change the rest, and keep what is there.
    let editor = Caller::new("user:8", "hal", ["agents.*"]).member_of("default");
    let change =
        pb::Agent { id: "eve".into(), description: "new".into(), ..mighty("models.infer") };
    let request = pb::UpdateAgentRequest { agent: Some(change), update_mask: None };
    mesh.agents_as(editor).update_agent(request).await.unwrap();
}

#[tokio::test]
async fn nobody_reaches_through_an_agent_what_it_or_they_may_not() {
    let mesh = Mesh::start().await;
    let weak = pb::Agent { permissions: vec!["workflows.read".into()], ..named("Weak") };
    mesh.agents().create_agent(create("weak", weak)).await.unwrap();
    mesh.deploy("weak", 0).await;
    mesh.create("ada", "m1").await;
    mesh.deploy("ada", 0).await;
    let denied = refused(Code::PermissionDenied, "INVOCATION_FAILED");
    // The admin may infer; the agent may not.
    assert_eq!(refusal(mesh.agents().invoke_agent(question("weak")).await), denied);
    // The agent may infer; who invokes it may not.
    let viewer = Caller::new("user:v", "viewer", ["*.read", "agents.invoke"]).member_of("default");
    assert_eq!(refusal(mesh.agents_as(viewer).invoke_agent(question("ada")).await), denied);
    assert!(mesh.peers.inferences.lock().unwrap().is_empty(), "no model was asked");
    // A right that is taken away is gone at once, also from what is deployed.
    mesh.agents().invoke_agent(question("ada")).await.unwrap();
    let less = pb::Agent {
        id: "ada".into(),
        permissions: vec!["models.read".into()],
        ..Default::default()
    };
    let request = pb::UpdateAgentRequest { agent: Some(less), update_mask: None };
    mesh.agents().update_agent(request).await.unwrap();
    assert_eq!(refusal(mesh.agents().invoke_agent(question("ada")).await), denied);
}

#[tokio::test]
async fn a_chain_of_more_than_four_actors_is_refused() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "m1").await;
    mesh.deploy("ada", 0).await;
    let mut caller = admin("default");
    for expected in 1..=4 {
        mesh.agents_as(caller.clone()).invoke_agent(question("ada")).await.unwrap();
        caller = mesh.peers.asked().0;
        caller.permissions.push("*".into());
        assert_eq!(caller.actors.len(), expected);
    }
    let refusal = refusal(mesh.agents_as(caller).invoke_agent(question("ada")).await);
    assert_eq!(refusal, refused(Code::PermissionDenied, "ACTOR_CHAIN_TOO_LONG"));
}

//! The same on PostgreSQL: every statement once, and the rules over several rows at the same time.

use lightning_proto::agents::v1::{self as pb, agent::Status};
use tonic::Code;

use super::support::{Mesh, named, question, refusal, refused};

/// One test, because there is one schema.
#[tokio::test]
async fn the_service_works_on_postgres() {
    let Some(mesh) = Mesh::scaled().await else { return };
    agents_are_kept(&mesh).await;
    deployments_at_the_same_time_keep_their_rules(&mesh).await;
}

async fn agents_are_kept(mesh: &Mesh) {
    let request = pb::CreateAgentRequest {
        agent: Some(pb::Agent {
            template_id: "task-executor".into(),
            labels: [("team".to_owned(), "blue".to_owned())].into(),
            ..named("Ada")
        }),
        agent_id: "ada".into(),
        request_id: "k".into(),
    };
    let created = mesh.agents().create_agent(request.clone()).await.unwrap().into_inner();
    assert_eq!(mesh.get("ada").await.unwrap(), created);
    assert_eq!(mesh.agents().create_agent(request).await.unwrap().into_inner(), created);
    mesh.create("bea", "m1").await;

    for order_by in ["create_time", "create_time desc"] {
        let request = pb::ListAgentsRequest {
            page_size: 1,
            order_by: order_by.into(),
            filter: "status = draft AND agent_type = conversational".into(),
            ..Default::default()
        };
        let first = mesh.agents().list_agents(request.clone()).await.unwrap().into_inner();
        let page_token = first.next_page_token;
        let request = pb::ListAgentsRequest { page_token, ..request };
        let second = mesh.agents().list_agents(request).await.unwrap().into_inner();
        assert_ne!(first.agents[0].id, second.agents[0].id);
        assert_eq!(second.next_page_token, "");
    }

    let agent = pb::Agent { id: "ada".into(), temperature: Some(1.5), ..Default::default() };
    let update = pb::UpdateAgentRequest { agent: Some(agent), update_mask: None };
    let updated = mesh.agents().update_agent(update).await.unwrap().into_inner();
    assert_eq!((updated.version, updated.temperature), (2, Some(1.5)));
    let request = pb::ListAgentVersionsRequest { agent_id: "ada".into(), ..Default::default() };
    let versions = mesh.agents().list_agent_versions(request).await.unwrap().into_inner().versions;
    assert_eq!(versions.iter().map(|each| each.version).collect::<Vec<_>>(), [2, 1]);
    let request = pb::DeleteAgentRequest { id: "bea".into(), ..Default::default() };
    mesh.agents().delete_agent(request).await.unwrap();
    assert_eq!(refusal(mesh.get("bea").await), refused(Code::NotFound, "AGENT_NOT_FOUND"));
}

async fn deployments_at_the_same_time_keep_their_rules(mesh: &Mesh) {
    mesh.create("eve", "m1").await;
    let deploy = async |environment: &str| {
        let environment = environment.to_owned();
        let request =
            pb::DeployAgentRequest { id: "eve".into(), environment, ..Default::default() };
        mesh.deployments().deploy_agent(request).await.unwrap().into_inner()
    };
    futures_util::future::join_all((0..10).map(|_| deploy("production"))).await;
    futures_util::future::join_all((0..10).map(|_| deploy("staging"))).await;
    assert_eq!(mesh.agents().invoke_agent(question("eve")).await.unwrap().get_ref().model, "m1");
    let request = pb::ListDeploymentsRequest {
        agent_id: "eve".into(),
        filter: "status = active".into(),
        ..Default::default()
    };
    let active =
        mesh.deployments().list_deployments(request).await.unwrap().into_inner().deployments;
    assert_eq!(active.len(), 2);

    // The last two stop at once: one of them must notice that it is the last.
    let stop = async |id: String| {
        mesh.deployments().stop_deployment(pb::StopDeploymentRequest { id }).await.unwrap();
    };
    futures_util::future::join_all(active.into_iter().map(|each| stop(each.id))).await;
    assert_eq!(mesh.get("eve").await.unwrap().status(), Status::Active);
}

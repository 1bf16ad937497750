//! Deployments: begun, superseded, stopped.

use lightning_proto::agents::v1::{self as pb, agent, deployment::Status};
use tonic::{Code, Response};

use super::support::{Mesh, refusal, refused};

async fn deploy(
    mesh: &Mesh,
    request: pb::DeployAgentRequest,
) -> Result<pb::Deployment, tonic::Status> {
    mesh.deployments().deploy_agent(request).await.map(Response::into_inner)
}

async fn get(mesh: &Mesh, id: &str) -> pb::Deployment {
    let request = pb::GetDeploymentRequest { id: id.into() };
    mesh.deployments().get_deployment(request).await.unwrap().into_inner()
}

async fn stop(mesh: &Mesh, id: &str) -> pb::Deployment {
    let request = pb::StopDeploymentRequest { id: id.into() };
    mesh.deployments().stop_deployment(request).await.unwrap().into_inner()
}

fn of(id: &str, environment: &str) -> pb::DeployAgentRequest {
    pb::DeployAgentRequest { id: id.into(), environment: environment.into(), ..Default::default() }
}

#[tokio::test]
async fn a_new_deployment_takes_the_place_of_the_old() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let first = deploy(&mesh, of("ada", "")).await.unwrap();
    assert_eq!(
        (first.environment.as_str(), first.replicas, first.agent_version),
        ("production", 8, 1)
    );
    assert_eq!(mesh.get("ada").await.unwrap().status(), agent::Status::Deployed);

    let second = deploy(&mesh, of("ada", "production")).await.unwrap();
    let old = get(&mesh, &first.id).await;
    assert_eq!((old.status(), old.end_time), (Status::Superseded, second.create_time));
    assert_eq!(get(&mesh, &second.id).await, second);

    let request = pb::ListDeploymentsRequest {
        agent_id: "ada".into(),
        filter: "status = active AND environment = production".into(),
        ..Default::default()
    };
    let active = mesh.deployments().list_deployments(request).await.unwrap().into_inner();
    assert_eq!(active.deployments, [second]);
}

#[tokio::test]
async fn the_last_deployment_that_stops_takes_the_agent_back() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let production = deploy(&mesh, of("ada", "")).await.unwrap();
    let staging = deploy(&mesh, of("ada", "staging")).await.unwrap();
    let stopped = stop(&mesh, &production.id).await;
    assert_eq!(stopped.status(), Status::Stopped);
    assert!(stopped.end_time.is_some());
    assert_eq!(stop(&mesh, &production.id).await, stopped);
    assert_eq!(mesh.get("ada").await.unwrap().status(), agent::Status::Deployed);
    stop(&mesh, &staging.id).await;
    assert_eq!(mesh.get("ada").await.unwrap().status(), agent::Status::Active);
}

#[tokio::test]
async fn only_what_exists_and_is_not_archived_is_deployed() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let missing = deploy(&mesh, of("bea", "")).await;
    assert_eq!(refusal(missing), refused(Code::NotFound, "AGENT_NOT_FOUND"));
    let version = pb::DeployAgentRequest { version: 2, ..of("ada", "") };
    assert_eq!(refusal(deploy(&mesh, version).await), refused(Code::NotFound, "VERSION_NOT_FOUND"));
    let place = deploy(&mesh, of("ada", "Pro duction")).await;
    assert_eq!(refusal(place), refused(Code::InvalidArgument, "DEPLOYMENT_INVALID"));

    let status = agent::Status::Archived.into();
    let request = pb::SetAgentStatusRequest { id: "ada".into(), status, ..Default::default() };
    mesh.agents().set_agent_status(request).await.unwrap();
    let archived = deploy(&mesh, of("ada", "")).await;
    assert_eq!(refusal(archived), refused(Code::FailedPrecondition, "AGENT_ARCHIVED"));
}

#[tokio::test]
async fn a_repeated_deployment_is_one() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let request = pb::DeployAgentRequest { request_id: "k".into(), ..of("ada", "") };
    let first = deploy(&mesh, request.clone()).await.unwrap();
    stop(&mesh, &first.id).await;
    assert_eq!(deploy(&mesh, request.clone()).await.unwrap(), first);
    assert_eq!(get(&mesh, &first.id).await.status(), Status::Stopped);
    let other = pb::DeployAgentRequest { replicas: 2, ..request };
    let other = deploy(&mesh, other).await;
    assert_eq!(refusal(other), refused(Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"));
}

#[tokio::test]
async fn deployments_at_the_same_time_leave_one_active() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let all = futures_util::future::join_all((0..10).map(|_| deploy(&mesh, of("ada", "")))).await;
    assert!(all.iter().all(Result::is_ok));
    let list = async |filter: &str| {
        let filter = filter.to_owned();
        let request =
            pb::ListDeploymentsRequest { agent_id: "ada".into(), filter, ..Default::default() };
        mesh.deployments().list_deployments(request).await.unwrap().into_inner().deployments.len()
    };
    assert_eq!((list("").await, list("status = active").await), (10, 1));
}

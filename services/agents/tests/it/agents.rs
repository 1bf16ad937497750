//! Agents: made, changed, listed, ended.

use lightning_agents::Config;
use lightning_mesh::identity::Caller;
use lightning_proto::agents::v1::{self as pb, agent::Status};
use prost_types::FieldMask;
use tonic::{Code, Response};

use super::support::{Mesh, named, refusal, refused};

fn create(name: &str, agent_id: &str, request_id: &str) -> pb::CreateAgentRequest {
    pb::CreateAgentRequest {
        agent: Some(named(name)),
        agent_id: agent_id.into(),
        request_id: request_id.into(),
    }
}

fn update(agent: pb::Agent, paths: &[&str]) -> pb::UpdateAgentRequest {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    pb::UpdateAgentRequest { agent: Some(agent), update_mask: Some(FieldMask { paths }) }
}

fn described(id: &str, description: &str) -> pb::Agent {
    pb::Agent { id: id.into(), description: description.into(), ..Default::default() }
}

#[tokio::test]
async fn what_was_created_is_there_after_a_restart() {
    let mesh = Mesh::start().await;
    let agent = pb::Agent {
        description: "Answers".into(),
        temperature: Some(0.5),
        max_output_tokens: Some(100),
        config: Some(lightning_mesh::json::to_struct(
            serde_json::json!({"n": 3, "deep": {"x": [1, null]}}),
        )),
        labels: [("team".to_owned(), "blue".to_owned())].into(),
        ..named("Ada")
    };
    let request = pb::CreateAgentRequest { agent: Some(agent.clone()), ..Default::default() };
    let created = mesh.agents().create_agent(request).await.unwrap().into_inner();
    assert_eq!(
        (created.version, created.etag.as_str(), created.status()),
        (1, "\"1\"", Status::Draft)
    );
    assert_eq!(created.config, agent.config);
    assert_eq!(mesh.get(&created.id).await.unwrap(), created);

    let Mesh { harness, folder, .. } = mesh;
    harness.stop().await;
    let mesh = Mesh::start_with(Config::default(), folder).await;
    assert_eq!(mesh.get(&created.id).await.unwrap(), created);
}

#[tokio::test]
async fn an_id_is_taken_once() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let again = mesh.agents().create_agent(create("Other", "ada", "")).await;
    assert_eq!(refusal(again), refused(Code::AlreadyExists, "AGENT_EXISTS"));
    assert_eq!(refusal(mesh.get("bea").await), refused(Code::NotFound, "AGENT_NOT_FOUND"));
    assert_eq!(refusal(mesh.get("a b").await), refused(Code::InvalidArgument, "AGENT_INVALID"));
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let mesh = Mesh::start().await;
    let labels = (0..9).map(|n| (format!("key-{n}"), n.to_string())).collect();
    let mut request = create("Ada", "", "3f1c");
    request.agent.as_mut().unwrap().labels = labels;
    let first = mesh.agents().create_agent(request.clone()).await.unwrap().into_inner();
    mesh.agents()
        .update_agent(update(described(&first.id, "new"), &["description"]))
        .await
        .unwrap();
    let again = mesh.agents().create_agent(request.clone()).await.unwrap().into_inner();
    assert_eq!(again, first);

    let other = mesh.agents().create_agent(create("Bea", "", "3f1c")).await;
    assert_eq!(refusal(other), refused(Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"));
    // Another caller's keys are its own.
    let stranger = Caller::new("user:1", "eve", ["agents.*"]).member_of("default");
    let theirs = mesh.agents_as(stranger).create_agent(request).await.unwrap().into_inner();
    assert_ne!(theirs.id, first.id);
}

#[tokio::test]
async fn an_update_makes_a_version_and_keeps_the_old_one() {
    let mesh = Mesh::start().await;
    let first = mesh.create("ada", "m1").await;
    let updated =
        mesh.agents().update_agent(update(described("ada", "new"), &["description"])).await;
    let updated = updated.unwrap().into_inner();
    assert_eq!((updated.version, updated.description.as_str()), (2, "new"));
    assert_eq!((updated.model.as_str(), updated.instructions.as_str()), ("m1", "Be kind."));

    let mut agents = mesh.agents();
    let mut request =
        pb::ListAgentVersionsRequest { agent_id: "ada".into(), page_size: 1, ..Default::default() };
    let newest = agents.list_agent_versions(request.clone()).await.unwrap().into_inner();
    assert_eq!(newest.versions[0].agent.as_ref().unwrap().description, "new");
    request.page_token = newest.next_page_token;
    let oldest = agents.list_agent_versions(request).await.unwrap().into_inner();
    let old = oldest.versions[0].agent.clone().unwrap();
    assert_eq!((oldest.versions[0].version, oldest.next_page_token.as_str()), (1, ""));
    assert_eq!(pb::Agent { etag: first.etag.clone(), ..old }, first);
}

#[tokio::test]
async fn a_stale_etag_is_refused_and_none_means_last_writer_wins() {
    let mesh = Mesh::start().await;
    let first = mesh.create("ada", "").await;
    let with = |etag: &str| pb::Agent { etag: etag.into(), ..described("ada", etag) };
    mesh.agents().update_agent(update(with(&first.etag), &["description"])).await.unwrap();
    let stale = mesh.agents().update_agent(update(with(&first.etag), &["description"])).await;
    assert_eq!(refusal(stale), refused(Code::Aborted, "ETAG_MISMATCH"));
    mesh.agents().update_agent(update(with(""), &["description"])).await.unwrap();

    let delete = pb::DeleteAgentRequest { id: "ada".into(), etag: first.etag, force: false };
    let stale = mesh.agents().delete_agent(delete).await;
    assert_eq!(refusal(stale), refused(Code::Aborted, "ETAG_MISMATCH"));
}

#[tokio::test]
async fn updates_at_the_same_time_are_all_kept() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let one = |n: usize| {
        let mut agents = mesh.agents();
        let agent = pb::Agent {
            id: "ada".into(),
            labels: [(format!("k{n}"), n.to_string())].into(),
            ..Default::default()
        };
        async move { agents.update_agent(update(agent, &[&format!("labels.k{n}")])).await }
    };
    for result in futures_util::future::join_all((0..5).map(one)).await {
        result.unwrap();
    }
    let agent = mesh.get("ada").await.unwrap();
    assert_eq!((agent.version, agent.labels.len()), (6, 5));
}

#[tokio::test]
async fn lists_are_paged_filtered_and_ordered() {
    let mesh = Mesh::start().await;
    for id in ["a", "b", "c", "d", "e"] {
        mesh.create(id, "").await;
    }
    mesh.deploy("c", 0).await;
    let list = async |request: pb::ListAgentsRequest| {
        let answer = mesh.agents().list_agents(request).await.unwrap().into_inner();
        let ids: String = answer.agents.into_iter().map(|agent| agent.id).collect();
        (ids, answer.next_page_token)
    };
    let plain = pb::ListAgentsRequest::default();
    assert_eq!(list(plain.clone()).await, ("edcba".into(), String::new()));
    let ascending =
        pb::ListAgentsRequest { order_by: "create_time".into(), page_size: 2, ..plain.clone() };
    let (ids, page_token) = list(ascending.clone()).await;
    assert_eq!(ids, "ab");
    let (ids, page_token) = list(pb::ListAgentsRequest { page_token, ..ascending.clone() }).await;
    assert_eq!(ids, "cd");
    let last = list(pb::ListAgentsRequest { page_token: page_token.clone(), ..ascending }).await;
    assert_eq!(last, ("e".into(), String::new()));

    let other = pb::ListAgentsRequest { page_token, ..plain.clone() };
    let other = mesh.agents().list_agents(other).await;
    assert_eq!(refusal(other), refused(Code::InvalidArgument, "PAGE_TOKEN_INVALID"));
    let filtered = |filter: &str| pb::ListAgentsRequest { filter: filter.into(), ..plain.clone() };
    assert_eq!(list(filtered("status = \"deployed\"")).await.0, "c");
    assert_eq!(list(filtered("name = \"b\" AND agent_type = conversational")).await.0, "b");
    assert_eq!(list(filtered("template_id = x")).await.0, "");
}

#[tokio::test]
async fn a_status_moves_as_the_contract_says() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let set = async |status: Status| {
        let status = status.into();
        let request = pb::SetAgentStatusRequest { id: "ada".into(), status, ..Default::default() };
        mesh.agents().set_agent_status(request).await.map(Response::into_inner)
    };
    let testing = set(Status::Testing).await.unwrap();
    assert_eq!(
        (testing.status(), testing.version, testing.etag.as_str()),
        (Status::Testing, 1, "\"2\"")
    );
    assert_eq!(set(Status::Testing).await.unwrap(), testing);
    assert_eq!(
        refusal(set(Status::Deployed).await),
        refused(Code::InvalidArgument, "AGENT_INVALID")
    );
    assert_eq!(
        refusal(set(Status::Unspecified).await),
        refused(Code::InvalidArgument, "AGENT_INVALID")
    );
    let deployment = mesh.deploy("ada", 0).await;
    assert_eq!(
        refusal(set(Status::Archived).await),
        refused(Code::FailedPrecondition, "AGENT_DEPLOYED")
    );
    mesh.deployments()
        .stop_deployment(pb::StopDeploymentRequest { id: deployment.id })
        .await
        .unwrap();
    assert_eq!(set(Status::Archived).await.unwrap().status(), Status::Archived);
}

#[tokio::test]
async fn a_deployed_agent_is_deleted_by_force_alone() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let deployment = mesh.deploy("ada", 0).await;
    let delete = async |force: bool| {
        let request = pb::DeleteAgentRequest { id: "ada".into(), force, ..Default::default() };
        mesh.agents().delete_agent(request).await
    };
    assert_eq!(refusal(delete(false).await), refused(Code::FailedPrecondition, "AGENT_DEPLOYED"));
    delete(true).await.unwrap();
    assert_eq!(refusal(mesh.get("ada").await), refused(Code::NotFound, "AGENT_NOT_FOUND"));
    assert_eq!(refusal(delete(true).await), refused(Code::NotFound, "AGENT_NOT_FOUND"));
    let request = pb::GetDeploymentRequest { id: deployment.id };
    let gone = mesh.deployments().get_deployment(request).await;
    assert_eq!(refusal(gone), refused(Code::NotFound, "DEPLOYMENT_NOT_FOUND"));
}

#[tokio::test]
async fn a_workflow_is_attached_if_it_exists_and_detached() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let set = async |workflow: &str| {
        let request =
            pb::SetAgentWorkflowRequest { agent_id: "ada".into(), workflow_id: workflow.into() };
        mesh.agents().set_agent_workflow(request).await.map(Response::into_inner)
    };
    assert_eq!(refusal(set("nowhere").await), refused(Code::NotFound, "WORKFLOW_NOT_FOUND"));
    let attached = set("answers").await.unwrap();
    assert_eq!((attached.workflow_id.as_str(), attached.agent_version), ("answers", 2));
    assert_eq!(set("answers").await.unwrap(), attached);
    let request = pb::GetAgentWorkflowRequest { agent_id: "ada".into() };
    assert_eq!(mesh.agents().get_agent_workflow(request).await.unwrap().into_inner(), attached);
    assert_eq!(mesh.get("ada").await.unwrap().workflow_id, "answers");
    let detached = set("").await.unwrap();
    assert_eq!((detached.workflow_id.as_str(), detached.agent_version), ("", 3));
}

#[tokio::test]
async fn a_list_of_large_agents_fits_into_messages() {
    let mesh = Mesh::start().await;
    for n in 0..30 {
        let agent = pb::Agent { instructions: "ä€😀x".repeat(8_000), ..named(&n.to_string()) };
        let request = pb::CreateAgentRequest { agent: Some(agent), ..Default::default() };
        mesh.agents().create_agent(request).await.unwrap();
    }
    let (mut seen, mut pages, mut page_token) = (0, 0, String::new());
    loop {
        let request = pb::ListAgentsRequest { page_size: 1_000, page_token, ..Default::default() };
        let answer = mesh.agents().list_agents(request).await.unwrap().into_inner();
        (seen, pages, page_token) = (seen + answer.agents.len(), pages + 1, answer.next_page_token);
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((seen, pages), (30, 2));
}

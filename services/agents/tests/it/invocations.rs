//! Invocations: answered by a model or a workflow, whole or in pieces, or not at all.

use std::time::Duration;

use futures_util::StreamExt as _;
use lightning_agents::Config;
use lightning_mesh::{identity::Caller, json};
use lightning_proto::{
    agents::v1::{self as pb, invocation_event::Event},
    google::rpc,
};
use prost::Message as _;
use serde_json::json;
use tonic::{Code, Response, Status};

use super::support::{Mesh, named, question, refusal, refused};

async fn invoke(mesh: &Mesh, request: pb::InvokeAgentRequest) -> Result<pb::Invocation, Status> {
    mesh.agents().invoke_agent(request).await.map(Response::into_inner)
}

/// What a stream says: the text of its deltas, and its end.
async fn stream(mesh: &Mesh, id: &str) -> Result<(String, pb::Invocation), Status> {
    let request = pb::StreamInvocationRequest { invocation: Some(question(id)) };
    let mut events = mesh.agents().stream_invocation(request).await?.into_inner();
    let mut text = String::new();
    while let Some(event) = events.message().await? {
        match event.event.expect("events are never empty") {
            Event::Delta(delta) => text.push_str(&delta),
            Event::Done(done) => return Ok((text, done)),
        }
    }
    panic!("a stream ends with done or an error, but ended after {text:?}");
}

#[tokio::test]
async fn the_model_of_the_deployed_version_answers() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "m1").await;
    let deployment = mesh.deploy("ada", 0).await;
    let newer = pb::Agent { id: "ada".into(), model: "m2".into(), ..Default::default() };
    let update = pb::UpdateAgentRequest { agent: Some(newer), update_mask: None };
    mesh.agents().update_agent(update).await.unwrap();

    let request = pb::InvokeAgentRequest {
        context: Some(json::to_struct(json!({"plan": "gold"}))),
        history: vec![
            pb::Turn { role: "user".into(), content: "a".into() },
            pb::Turn { role: "assistant".into(), content: "b".into() },
        ],
        ..question("ada")
    };
    let answer = invoke(&mesh, request).await.unwrap();
    assert_eq!((answer.output.as_str(), answer.model.as_str()), ("you said: hello", "m1"));
    assert_eq!((answer.agent_version, answer.deployment_id), (1, deployment.id));
    assert_eq!((answer.finish_reason.as_str(), answer.cost_usd), ("stop", 0.25));
    assert_eq!(answer.usage, Some(pb::TokenUsage { input_tokens: 3, output_tokens: 5 }));

    let (_, asked) = mesh.peers.asked();
    let messages: Vec<_> =
        asked.messages.iter().map(|each| (each.role.as_str(), each.content.as_str())).collect();
    let system = "Be kind.\n\nContext (JSON):\n{\n  \"plan\": \"gold\"\n}";
    assert_eq!(
        messages,
        [("system", system), ("user", "a"), ("assistant", "b"), ("user", "hello")]
    );
}

#[tokio::test]
async fn an_answer_comes_in_pieces() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "m1").await;
    mesh.deploy("ada", 0).await;
    let (text, done) = stream(&mesh, "ada").await.unwrap();
    assert_eq!((text.as_str(), done.output.as_str()), ("you said: hello", "you said: hello"));
    assert_eq!(done.usage, Some(pb::TokenUsage { input_tokens: 3, output_tokens: 5 }));
}

#[tokio::test]
async fn an_agent_acts_with_the_rights_that_it_and_its_caller_have_in_common() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "m1").await;
    mesh.deploy("ada", 0).await;
    let caller = Caller::new("user:7", "grace", ["agents.*", "models.*"]).member_of("default");
    mesh.agents_as(caller).invoke_agent(question("ada")).await.unwrap();
    let (seen, _) = mesh.peers.asked();
    assert_eq!((seen.subject.as_str(), seen.via.as_deref()), ("user:7", Some("agents")));
    assert_eq!(seen.permissions, ["models.infer", "models.read"]);
    assert_eq!((seen.actors, seen.organization_id.as_str()), (vec!["agent:ada".into()], "default"));

    let stranger = Caller::new("user:8", "mallory", ["agents.read"]).member_of("default");
    let denied = mesh.agents_as(stranger).invoke_agent(question("ada")).await;
    assert_eq!(refusal(denied), refused(Code::PermissionDenied, "PERMISSION_DENIED"));
}

#[tokio::test]
async fn a_workflow_answers_in_place_of_the_model() {
    let mesh = Mesh::start().await;
    let attach = async |id: &str, workflow: &str| {
        mesh.create(id, "m1").await;
        let request =
            pb::SetAgentWorkflowRequest { agent_id: id.into(), workflow_id: workflow.into() };
        mesh.agents().set_agent_workflow(request).await.unwrap();
        mesh.deploy(id, 0).await;
    };
    attach("ada", "answers").await;
    let request = pb::InvokeAgentRequest {
        context: Some(json::to_struct(json!({"plan": "gold"}))),
        history: vec![pb::Turn { role: "user".into(), content: "a".into() }],
        ..question("ada")
    };
    let answer = invoke(&mesh, request).await.unwrap();
    assert_eq!((answer.output.as_str(), answer.model.as_str()), ("from a workflow", ""));
    assert_eq!((answer.execution_id.as_str(), answer.finish_reason.as_str()), ("e1", "workflow"));
    let (_, executed) = mesh.peers.executed();
    assert_eq!(executed.async_execution, Some(false));
    let input = serde_json::Value::from(json::from_struct(&executed.input_data.unwrap()));
    let history = json!([{"role": "user", "content": "a"}]);
    assert_eq!(input, json!({"message": "hello", "context": {"plan": "gold"}, "history": history}));

    attach("bea", "reports").await;
    let (text, done) = stream(&mesh, "bea").await.unwrap();
    assert_eq!((text.as_str(), done.output.as_str()), ("{\"rows\":3}", "{\"rows\":3}"));

    attach("eve", "fails").await;
    let failed = invoke(&mesh, question("eve")).await;
    let message = failed.as_ref().unwrap_err().message().to_owned();
    assert!(message.contains("the database is away"), "{message}");
    assert_eq!(refusal(failed), refused(Code::Unavailable, "INVOCATION_FAILED"));
}

#[tokio::test]
async fn the_failure_of_a_model_is_passed_on() {
    let mesh = Mesh::start().await;
    let check = async |model: &str, code: Code, peer_reason: &str, says: &str| {
        mesh.create(model, model).await;
        mesh.deploy(model, 0).await;
        for failed in [
            invoke(&mesh, question(model)).await.unwrap_err(),
            stream(&mesh, model).await.unwrap_err(),
        ] {
            let info = lightning_mesh::fault::error_info(&failed).unwrap();
            assert_eq!(
                (failed.code(), info.reason.as_str()),
                (code, "INVOCATION_FAILED"),
                "{model}"
            );
            assert_eq!(info.metadata["peer_reason"], peer_reason);
            assert!(failed.message().contains(says), "{}", failed.message());
        }
    };
    check("busy", Code::ResourceExhausted, "PROVIDER_RATE_LIMITED", "acme asks to wait").await;
    check("down", Code::Unavailable, "PROVIDER_UNAVAILABLE", "acme cannot be reached").await;
    check("gone", Code::FailedPrecondition, "MODEL_NOT_FOUND", "no model gone").await;

    let busy = invoke(&mesh, question("busy")).await.unwrap_err();
    let details = rpc::Status::decode(busy.details()).unwrap().details;
    let retry = details.iter().find(|any| any.type_url.ends_with("RetryInfo")).unwrap();
    let retry = rpc::RetryInfo::decode(retry.value.as_slice()).unwrap();
    assert_eq!(retry.retry_delay.unwrap().seconds, 7);
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "cut").await;
    mesh.deploy("ada", 0).await;
    let cut = stream(&mesh, "ada").await;
    assert_eq!(refusal(cut), refused(Code::Unavailable, "INVOCATION_FAILED"));
}

#[tokio::test]
async fn only_a_deployed_agent_answers() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "").await;
    let check = async |request: pb::InvokeAgentRequest, code: Code, reason: &str| {
        assert_eq!(refusal(invoke(&mesh, request).await), refused(code, reason));
    };
    check(question("bea"), Code::NotFound, "AGENT_NOT_FOUND").await;
    check(question("ada"), Code::FailedPrecondition, "AGENT_NOT_DEPLOYED").await;
    let silent = pb::InvokeAgentRequest { input: String::new(), ..question("ada") };
    check(silent, Code::InvalidArgument, "INVOCATION_INVALID").await;
    mesh.deploy("ada", 0).await;
    let elsewhere = pb::InvokeAgentRequest { environment: "staging".into(), ..question("ada") };
    check(elsewhere, Code::FailedPrecondition, "AGENT_NOT_DEPLOYED").await;
    mesh.create("old", "").await;
    let status = pb::agent::Status::Archived.into();
    let archive = pb::SetAgentStatusRequest { id: "old".into(), status, ..Default::default() };
    mesh.agents().set_agent_status(archive).await.unwrap();
    check(question("old"), Code::FailedPrecondition, "AGENT_ARCHIVED").await;
}

#[tokio::test]
async fn a_deployment_admits_as_many_at_once_as_it_has_replicas() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "slow").await;
    mesh.deploy("ada", 1).await;
    // The first delta says that the place is taken; the model then waits at the gate.
    let request = pb::StreamInvocationRequest { invocation: Some(question("ada")) };
    let mut first = mesh.agents().stream_invocation(request).await.unwrap().into_inner();
    assert!(matches!(first.next().await.unwrap().unwrap().event, Some(Event::Delta(_))));
    let full = invoke(&mesh, question("ada")).await;
    assert_eq!(refusal(full), refused(Code::ResourceExhausted, "CONCURRENCY_LIMIT"));

    mesh.peers.gate.add_permits(1);
    assert!(matches!(first.next().await.unwrap().unwrap().event, Some(Event::Done(_))));
    assert!(first.next().await.is_none());
    mesh.peers.gate.add_permits(1);
    assert_eq!(invoke(&mesh, question("ada")).await.unwrap().output, "at last");
}

#[tokio::test]
async fn a_caller_who_goes_away_gives_the_place_free() {
    let mesh = Mesh::start().await;
    mesh.create("ada", "slow").await;
    mesh.deploy("ada", 1).await;
    let request = pb::StreamInvocationRequest { invocation: Some(question("ada")) };
    let mut first = mesh.agents().stream_invocation(request).await.unwrap().into_inner();
    assert!(matches!(first.next().await.unwrap().unwrap().event, Some(Event::Delta(_))));
    drop(first);
    let url = format!("{}/api/v1/metrics", mesh.harness.rest("agents"));
    let in_flight = async || {
        let metrics: serde_json::Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
        metrics["figures"]["invocations_in_flight"].as_i64()
    };
    let free = async { while in_flight().await != Some(0) {} };
    tokio::time::timeout(Duration::from_secs(10), free).await.unwrap();
    // One for the errand that was left, if it took it before it was stopped; one for this.
    mesh.peers.gate.add_permits(2);
    assert_eq!(invoke(&mesh, question("ada")).await.unwrap().output, "at last");
}

#[tokio::test]
async fn the_process_admits_no_more_than_its_bound() {
    let config = Config { max_invocations: 0, ..Config::default() };
    let mesh = Mesh::start_with(config, tempfile::tempdir().unwrap()).await;
    mesh.create("ada", "").await;
    mesh.deploy("ada", 0).await;
    let full = invoke(&mesh, question("ada")).await;
    assert_eq!(refusal(full), refused(Code::ResourceExhausted, "LIMIT_EXCEEDED"));
}

#[tokio::test]
async fn an_agent_made_from_a_template_answers() {
    let mesh = Mesh::start().await;
    let agent = pb::Agent {
        template_id: "basic-conversational".into(),
        agent_type: String::new(),
        temperature: Some(0.1),
        ..named("Mine")
    };
    let request = pb::CreateAgentRequest { agent: Some(agent), ..Default::default() };
    let agent = mesh.agents().create_agent(request).await.unwrap().into_inner();
    assert_eq!((agent.agent_type.as_str(), agent.name.as_str()), ("conversational", "Mine"));
    mesh.deploy(&agent.id, 0).await;
    assert_eq!(invoke(&mesh, question(&agent.id)).await.unwrap().model, "default-1");
    let (_, asked) = mesh.peers.asked();
    assert_eq!((asked.temperature, asked.max_output_tokens), (Some(0.1), Some(1024)));
    assert!(asked.messages[0].content.starts_with("You are a helpful conversational agent."));
}

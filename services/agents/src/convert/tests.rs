//! What requests are read as, and what is refused with which field.

use lightning_proto::agents::v1 as pb;
use prost::Message as _;
use prost_types::FieldMask;
use serde_json::json;

use super::*;
use crate::domain::{AgentType, Entries, Patch};

fn agent() -> pb::Agent {
    pb::Agent { name: "Ada".into(), agent_type: "custom".into(), ..Default::default() }
}

/// The paths of the fields that a fault names.
fn fields(fault: &Fault) -> Vec<String> {
    let status = lightning_proto::google::rpc::Status::decode(fault.details().as_slice()).unwrap();
    let bad = status.details.iter().find(|any| any.type_url.ends_with("BadRequest")).unwrap();
    let bad = lightning_proto::google::rpc::BadRequest::decode(bad.value.as_slice()).unwrap();
    bad.field_violations.into_iter().map(|violation| violation.field).collect()
}

#[test]
fn a_new_agent_needs_a_name_and_a_type() {
    let check = |agent: pb::Agent, expected: &[&str]| {
        let request = pb::CreateAgentRequest { agent: Some(agent), ..Default::default() };
        match new_agent(request) {
            Ok(_) => assert!(expected.is_empty(), "accepted, but {expected:?} should be refused"),
            Err(fault) => assert_eq!(fields(&fault), expected),
        }
    };
    let text = |length: usize| "ä".repeat(length);
    check(agent(), &[]);
    check(pb::Agent::default(), &["agent.name", "agent.agent_type"]);
    check(pb::Agent { agent_type: String::new(), template_id: "t".into(), ..agent() }, &[]);
    check(pb::Agent { agent_type: "chatty".into(), ..agent() }, &["agent.agent_type"]);
    check(pb::Agent { name: text(200), ..agent() }, &[]);
    check(pb::Agent { name: text(201), ..agent() }, &["agent.name"]);
    check(pb::Agent { name: "a\0".into(), ..agent() }, &["agent.name"]);
    check(pb::Agent { description: text(2_001), ..agent() }, &["agent.description"]);
    check(pb::Agent { instructions: text(32_000), ..agent() }, &[]);
    check(pb::Agent { instructions: text(32_001), ..agent() }, &["agent.instructions"]);
    check(pb::Agent { temperature: Some(2.0), max_output_tokens: Some(1), ..agent() }, &[]);
    check(pb::Agent { temperature: Some(2.1), ..agent() }, &["agent.temperature"]);
    check(pb::Agent { temperature: Some(f64::NAN), ..agent() }, &["agent.temperature"]);
    check(pb::Agent { max_output_tokens: Some(0), ..agent() }, &["agent.max_output_tokens"]);
    let big = json::to_struct(json!({"text": "x".repeat(70_000)}));
    check(pb::Agent { config: Some(big), ..agent() }, &["agent.config"]);
    let many = (0..65).map(|n| (n.to_string(), String::new())).collect();
    check(pb::Agent { labels: many, ..agent() }, &["agent.labels"]);
    let long = [("k".to_owned(), text(256))].into();
    check(pb::Agent { labels: long, ..agent() }, &["agent.labels.k"]);
}

#[test]
fn a_chosen_id_must_be_one() {
    let request = pb::CreateAgentRequest {
        agent: Some(agent()),
        agent_id: "a b".into(),
        ..Default::default()
    };
    assert_eq!(fields(&new_agent(request).unwrap_err()), ["agent_id"]);
}

#[test]
fn an_update_takes_what_its_mask_names() {
    let check = |agent: pb::Agent, mask: &[&str], expected: Patch| {
        let update_mask = Some(FieldMask { paths: mask.iter().map(|&path| path.into()).collect() });
        let agent = Some(pb::Agent { id: "ada".into(), ..agent });
        let change = change(pb::UpdateAgentRequest { agent, update_mask }).unwrap();
        assert_eq!(change.patch, expected, "{mask:?}");
    };
    let named =
        Patch { name: Some("Ada".into()), agent_type: Some(AgentType::Custom), ..Patch::default() };
    check(agent(), &[], named);
    let cleared =
        Patch { description: Some(String::new()), temperature: Some(None), ..Patch::default() };
    check(agent(), &["description", "temperature", "id", "etag"], cleared);
    let labels = [("team".to_owned(), Some("x".to_owned())), ("old".to_owned(), None)];
    let merged = Patch { labels: Some(Entries::Merge(labels.into())), ..Patch::default() };
    let labelled = pb::Agent {
        labels: [("team".to_owned(), "x".to_owned()), ("other".to_owned(), String::new())].into(),
        ..agent()
    };
    check(labelled, &["labels.team", "labels.old"], merged);
    let all = Patch {
        name: Some("Ada".into()),
        description: Some(String::new()),
        agent_type: Some(AgentType::Custom),
        model: Some(String::new()),
        instructions: Some(String::new()),
        temperature: Some(None),
        max_output_tokens: Some(None),
        config: Some(Entries::Replace(BTreeMap::new())),
        labels: Some(Entries::Replace(BTreeMap::new())),
    };
    check(agent(), &["*"], all);
}

#[test]
fn an_update_of_the_wrong_field_is_refused() {
    let check = |mask: &str, agent: pb::Agent, expected: &str| {
        let update_mask = Some(FieldMask { paths: vec![mask.into()] });
        let agent = Some(pb::Agent { id: "ada".into(), ..agent });
        let fault = change(pb::UpdateAgentRequest { agent, update_mask }).unwrap_err();
        assert_eq!(fields(&fault), [expected], "{mask}");
    };
    check("surprise", agent(), "update_mask");
    check("config.a.b", agent(), "update_mask");
    check("name", pb::Agent::default(), "agent.name");
    check("agent_type", pb::Agent::default(), "agent.agent_type");
}

#[test]
fn a_filter_knows_its_words() {
    let check = |filter: &str, holds: bool| {
        let request = pb::ListAgentsRequest { filter: filter.into(), ..Default::default() };
        assert_eq!(agent_list(&request).is_ok(), holds, "{filter}");
    };
    check("status = \"deployed\" AND agent_type = custom", true);
    check("name = \"My agent\"", true);
    check("status = \"asleep\"", false);
    check("model = x", false);
}

#[test]
fn an_order_to_deploy_has_defaults_and_limits() {
    let check = |request: pb::DeployAgentRequest, expected: &[&str]| match order(&request) {
        Ok(order) => {
            assert!(expected.is_empty());
            assert_eq!((order.environment.as_str(), order.replicas), ("production", 8));
        }
        Err(fault) => assert_eq!(fields(&fault), expected),
    };
    let plain = pb::DeployAgentRequest { id: "ada".into(), ..Default::default() };
    check(plain.clone(), &[]);
    check(pb::DeployAgentRequest { replicas: 1_001, ..plain.clone() }, &["replicas"]);
    check(
        pb::DeployAgentRequest { version: -1, replicas: -1, ..plain.clone() },
        &["version", "replicas"],
    );
    check(pb::DeployAgentRequest { environment: "Prod".into(), ..plain }, &["environment"]);
    check(pb::DeployAgentRequest::default(), &["id"]);
}

#[test]
fn a_question_is_checked_turn_by_turn() {
    let plain = pb::InvokeAgentRequest { id: "a".into(), input: "hi".into(), ..Default::default() };
    let check = |request: pb::InvokeAgentRequest, expected: &[&str]| match question(request, "x.") {
        Ok(_) => assert!(expected.is_empty(), "accepted, but {expected:?} should be refused"),
        Err(fault) => assert_eq!(fields(&fault), expected),
    };
    let turn = |role: &str, content: &str| pb::Turn { role: role.into(), content: content.into() };
    check(plain.clone(), &[]);
    check(pb::InvokeAgentRequest { input: String::new(), ..plain.clone() }, &["x.input"]);
    check(pb::InvokeAgentRequest { input: "x".repeat(100_001), ..plain.clone() }, &["x.input"]);
    let history = vec![turn("user", "a"), turn("system", "b"), turn("assistant", "")];
    let expected = ["x.history[1].role", "x.history[2].content"];
    check(pb::InvokeAgentRequest { history, ..plain.clone() }, &expected);
    let history = vec![turn("user", "a"); 201];
    check(pb::InvokeAgentRequest { history, ..plain }, &["x.history"]);
}

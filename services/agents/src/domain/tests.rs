//! The rules of agents.

use std::collections::BTreeMap;

use lightning_mesh::clock::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::Error;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn agent() -> Agent {
    let design = Design { name: "Ada".to_owned(), ..Design::default() };
    let maker = Maker {
        organization_id: "default".to_owned(),
        owner_id: String::new(),
        permissions: Vec::new(),
    };
    Agent::new(maker, AgentId::parse("ada").unwrap(), None, design, at(1))
}

fn map<V: Clone>(entries: &[(&str, V)]) -> BTreeMap<String, V> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

#[test]
fn a_new_design_makes_the_next_version() {
    let first = agent();
    let next = first.redesigned(Design { name: "Bea".to_owned(), ..first.design.clone() }, at(2));
    assert_eq!((next.version, next.revision), (2, 2));
    assert_eq!((next.create_time, next.update_time), (at(1), at(2)));
    assert_eq!(next.status, Status::Draft);
}

#[test]
fn a_status_makes_a_revision_but_no_version() {
    let next = agent().moved(Status::Testing, at(2)).unwrap();
    assert_eq!((next.status, next.version, next.revision), (Status::Testing, 1, 2));
}

#[test]
fn a_deployed_agent_does_not_move_and_an_archived_one_is_not_deployed() {
    let deployed = Agent { status: Status::Deployed, ..agent() };
    assert!(matches!(deployed.moved(Status::Draft, at(2)), Err(Error::AgentDeployed { .. })));
    assert!(deployed.check_deployable().is_ok());
    let archived = agent().moved(Status::Archived, at(2)).unwrap();
    assert!(matches!(archived.check_deployable(), Err(Error::AgentArchived { .. })));
}

#[test]
fn words_come_back_as_what_they_were() {
    for status in Status::ALL {
        assert_eq!(Status::parse(status.as_str()), Some(status));
    }
    for kind in AgentType::ALL {
        assert_eq!(AgentType::parse(kind.as_str()), Some(kind));
    }
    for status in DeploymentStatus::ALL {
        assert_eq!(DeploymentStatus::parse(status.as_str()), Some(status));
    }
    assert_eq!(Status::parse("Draft"), None);
}

#[test]
fn what_a_patch_names_wins_and_the_rest_stays() {
    let design = Design {
        instructions: "Be kind.".to_owned(),
        temperature: Some(0.5),
        config: map(&[("a", json!(1)), ("b", json!(2))]),
        labels: map(&[("team", "x".to_owned())]),
        workflow_id: Some("w".to_owned()),
        ..agent().design
    };
    let patch = Patch {
        description: Some("new".to_owned()),
        temperature: Some(None),
        config: Some(Entries::Merge(map(&[("a", None), ("c", Some(json!(3)))]))),
        labels: Some(Entries::Replace(BTreeMap::new())),
        ..Patch::default()
    };
    let patched = patch.apply(design.clone());
    let expected = Design {
        description: "new".to_owned(),
        temperature: None,
        config: map(&[("b", json!(2)), ("c", json!(3))]),
        labels: BTreeMap::new(),
        ..design
    };
    assert_eq!(patched, expected);
}

#[test]
fn environments_have_small_letters_digits_and_hyphens() {
    let check = |text: &str, expected| assert_eq!(is_environment(text), expected, "{text:?}");
    check("production", true);
    check("eu-1", true);
    check("", false);
    check("Production", false);
    check("a b", false);
    check("ä", false);
    check(&"x".repeat(63), true);
    check(&"x".repeat(64), false);
}

#[test]
fn the_system_message_holds_instructions_and_context() {
    let none = BTreeMap::<String, Value>::new();
    let facts = map(&[("plan", json!("gold")), ("age", json!(7))]);
    assert_eq!(system_message("", &none), None);
    assert_eq!(system_message("Be kind.", &none).as_deref(), Some("Be kind."));
    let json = "Context (JSON):\n{\n  \"age\": 7,\n  \"plan\": \"gold\"\n}";
    assert_eq!(system_message("", &facts).as_deref(), Some(json));
    assert_eq!(system_message("Be kind.", &facts), Some(format!("Be kind.\n\n{json}")));
}

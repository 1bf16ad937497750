//! Questions that are malformed are named, and what is well-formed is read.

use super::*;

const EVALUATION: &str = r#"{
    "subject": {"type": "user", "id": "alice@example.com"},
    "resource": {"type": "account", "id": "123"},
    "action": {"name": "can_read", "properties": {"method": "GET"}},
    "context": {"time": "1985-10-26T01:22-07:00"}
}"#;

#[test]
fn the_standards_example_is_a_question() {
    let asked = Evaluation::parse(EVALUATION.as_bytes()).unwrap();
    assert_eq!(
        (asked.subject.kind.as_str(), asked.subject.id.as_str()),
        ("user", "alice@example.com")
    );
    assert_eq!((asked.action.as_str(), asked.resource.kind.as_str()), ("can_read", "account"));
    assert_eq!(asked.setting.at.unwrap().as_seconds(), 499_162_920);
}

#[test]
fn what_is_required_is_asked_for_and_what_is_unknown_is_ignored() {
    let check = |body: &str, fits: bool| {
        assert_eq!(Evaluation::parse(body.as_bytes()).is_ok(), fits, "{body}");
    };
    let whole = r#"{"subject":{"type":"user","id":"1"},"action":{"name":"a"},"resource":{"type":"t","id":"1"}"#;
    check(&format!("{whole}}}"), true);
    check(&format!("{whole},\"more\":[1],\"context\":{{\"anything\":{{}}}}}}"), true);
    for (member, instead) in [
        (r#""subject":{"type":"user","id":"1"}"#, r#""subject":{"type":"user"}"#),
        (r#""subject":{"type":"user","id":"1"}"#, r#""subject":{"id":"1"}"#),
        (r#""action":{"name":"a"}"#, r#""action":{}"#),
        (r#""action":{"name":"a"}"#, r#""action":"a""#),
        (r#""resource":{"type":"t","id":"1"}"#, r#""resource":{"type":"t","id":""}"#),
        (r#""resource":{"type":"t","id":"1"}"#, r#""resource":{"type":"t","id":1}"#),
    ] {
        check(&format!("{}}}", whole.replace(member, instead)), false);
    }
    for body in ["", "[]", "null", "{}", "\"x\"", "{\"subject\":"] {
        check(body, false);
    }
    check(&format!("{whole},\"context\":{{\"address\":\"nowhere\"}}}}"), false);
    check(&format!("{whole},\"context\":{{\"time\":\"later\"}}}}"), false);
}

#[test]
fn defaults_fill_in_and_are_overridden() {
    let body = r#"{
        "subject": {"type": "user", "id": "alice@example.com"},
        "action": {"name": "can_read"},
        "evaluations": [
            {"resource": {"type": "document", "id": "boxcarring.md"}},
            {"action": {"name": "can_edit"}, "resource": {"type": "document", "id": "search.md"}}
        ],
        "options": {"evaluations_semantic": "deny_on_first_deny", "another_option": "value"}
    }"#;
    let Evaluations::Many(many, semantic) = Evaluations::parse(body.as_bytes()).unwrap() else {
        panic!("there are two");
    };
    assert_eq!(semantic, Semantic::DenyOnFirstDeny);
    let actions: Vec<_> = many.iter().map(|one| one.action.as_str()).collect();
    assert_eq!(actions, ["can_read", "can_edit"]);
    assert!(many.iter().all(|one| one.subject.id == "alice@example.com"));
    assert!(matches!(Evaluations::parse(EVALUATION.as_bytes()), Ok(Evaluations::One(_))));
    let odd = body.replace("deny_on_first_deny", "sometimes");
    assert!(Evaluations::parse(odd.as_bytes()).is_err());
    let incomplete = body.replace("\"action\": {\"name\": \"can_read\"},\n", "");
    assert!(Evaluations::parse(incomplete.as_bytes()).is_err());
}

#[test]
fn a_search_leaves_the_id_of_what_it_looks_for_out() {
    let body = r#"{"subject":{"type":"user","id":"ignored"},"action":{"name":"can_read"},
        "resource":{"type":"account","id":"123"},"page":{"limit":2}}"#;
    let search = Search::parse(body.as_bytes(), Sought::Subject).unwrap();
    assert_eq!((search.subject.id.as_str(), search.limit), ("", 2));
    let without =
        r#"{"subject":{"type":"user","id":"1"},"resource":{"type":"account","id":"123"}}"#;
    assert!(Search::parse(without.as_bytes(), Sought::Action).is_ok());
    assert!(Search::parse(without.as_bytes(), Sought::Subject).is_err());
}

#[test]
fn properties_of_a_resource_are_its_owner_and_labels() {
    let body = r#"{"subject":{"type":"service_account","id":"1"},"action":{"name":"a"},"resource":
        {"type":"agent","id":"7","properties":{"owner":"u","labels":{"team":"red","number":1},"x":{}}}}"#;
    let asked = Evaluation::parse(body.as_bytes()).unwrap();
    assert_eq!(asked.subject.kind, "service-account");
    let expected = Resource::new("agent", "7", "").owned_by("u").labelled([("team", "red")]);
    assert_eq!(asked.resource, expected);
}

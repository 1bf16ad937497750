//! Which requests are the same.

use lightning_proto::agents::v1::GetAgentRequest;

use super::*;

fn key(caller: &str, method: &str, request_id: &str, rest: &str) -> Result<Option<Key>, Fault> {
    let caller = Caller::new(caller, "someone", ["*"]);
    Key::of(&caller, method, request_id.to_owned(), &GetAgentRequest { id: rest.to_owned() })
}

#[test]
fn a_key_belongs_to_its_caller_and_method() {
    let first = key("user:1", "CreateAgent", "k", "a").unwrap().unwrap();
    assert_eq!(key("user:1", "CreateAgent", "k", "a").unwrap().unwrap(), first);
    assert_ne!(key("user:2", "CreateAgent", "k", "a").unwrap().unwrap().scope, first.scope);
    assert_ne!(key("user:1", "DeployAgent", "k", "a").unwrap().unwrap().scope, first.scope);
    let request = GetAgentRequest { id: "a".to_owned() };
    let elsewhere = Caller::new("user:1", "someone", ["*"]).member_of("other");
    let elsewhere = Key::of(&elsewhere, "CreateAgent", "k".to_owned(), &request).unwrap().unwrap();
    assert_ne!(elsewhere.scope, first.scope);
    let other = key("user:1", "CreateAgent", "k", "b").unwrap().unwrap();
    assert_ne!(other.fingerprint, first.fingerprint);
}

#[test]
fn none_is_none_and_nonsense_is_refused() {
    assert_eq!(key("user:1", "CreateAgent", "", "a").unwrap(), None);
    for nonsense in ["a b", "ä", &"x".repeat(129)] {
        let fault = key("user:1", "CreateAgent", nonsense, "a").unwrap_err();
        assert_eq!(fault.reason(), "INVALID_ARGUMENT", "{nonsense}");
    }
}

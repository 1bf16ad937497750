//! What a wish must look like.

use super::*;

#[test]
fn a_wish_is_checked_field_by_field() {
    let check = |request: pb::ExecuteTaskRequest, expected: Option<&str>| match wish(request) {
        Ok(_) => assert_eq!(expected, None),
        Err(fault) => {
            let field = expected.expect("it should have been accepted");
            assert!(fault.to_string().starts_with(field), "{fault}");
        }
    };
    let plain = pb::ExecuteTaskRequest { task: "sort".into(), ..Default::default() };
    check(plain.clone(), None);
    check(pb::ExecuteTaskRequest::default(), Some("task: must not be empty"));
    check(pb::ExecuteTaskRequest { task: "ä".repeat(MAX_TASK), ..plain.clone() }, None);
    check(pb::ExecuteTaskRequest { task: "x".repeat(MAX_TASK + 1), ..plain.clone() }, Some("task"));
    check(pb::ExecuteTaskRequest { task: "a\0".into(), ..plain.clone() }, Some("task"));
    check(pb::ExecuteTaskRequest { agent_id: "a b".into(), ..plain.clone() }, Some("agent_id"));
    let big = json::to_struct(serde_json::json!({"text": "x".repeat(MAX_CONTEXT)}));
    check(pb::ExecuteTaskRequest { context: Some(big), ..plain }, Some("context"));
}

//! What a workflow's result and failure mean for the agent.

use serde_json::json;

use super::*;

#[test]
fn the_text_of_a_result_is_found() {
    let check = |result: Value, expected: &str| assert_eq!(text(&result), expected, "{result}");
    check(json!({"reply": "a", "output": "b"}), "a");
    check(json!({"output": "b", "text": "c"}), "b");
    check(json!({"reply": 1, "text": "c"}), "c");
    check(json!({"n": 3}), "{\"n\":3}");
    check(json!("plain"), "plain");
    check(json!(null), "null");
}

#[test]
fn a_failed_execution_has_the_code_that_fits_its_status() {
    let check = |status: i32, expected: Code| {
        let error = ExecutionError { status, title: "Broken".to_owned(), ..Default::default() };
        let (code, message) = failed("e1", &error);
        assert_eq!(code, expected, "{status}");
        assert!(message.ends_with("e1 of its workflow failed: Broken"), "{message}");
    };
    check(429, Code::ResourceExhausted);
    check(503, Code::Unavailable);
    check(504, Code::DeadlineExceeded);
    check(500, Code::FailedPrecondition);
    check(400, Code::FailedPrecondition);
}

#[test]
fn an_execution_that_did_not_complete_is_no_answer() {
    let check = |status: ExecutionStatus, expected: Code| {
        let execution =
            Execution { id: "e".to_owned(), status: status.into(), ..Default::default() };
        let Err(Error::InvocationFailed(failure)) = answer(execution) else { panic!("{status:?}") };
        assert_eq!((failure.code, failure.execution_id.as_deref()), (expected, Some("e")));
    };
    check(ExecutionStatus::Failed, Code::FailedPrecondition);
    check(ExecutionStatus::Cancelled, Code::Aborted);
    check(ExecutionStatus::Waiting, Code::DeadlineExceeded);
}

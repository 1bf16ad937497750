//! Errors without a service: the tables, the cap and the built-in descriptors.

use http_body_util::BodyExt;
use prost::Message;

use super::{MAX_MESSAGE, Status, bare_error_response, capped, code_of, http_of, known, name_of};
use crate::wire::{self, Delay, RetryInfo, RpcStatus};

#[test]
fn every_code_has_a_name_and_an_http_status() {
    assert_eq!((name_of(16), name_of(17), name_of(-1)), ("UNAUTHENTICATED", "UNKNOWN", "UNKNOWN"));
    assert_eq!((http_of(0).as_u16(), http_of(-5).as_u16()), (200, 500));
    assert_eq!(code_of(http::StatusCode::IM_A_TEAPOT), 2);
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let long = "é".repeat(MAX_MESSAGE);
    assert_eq!(capped(&long).len(), MAX_MESSAGE);
    let odd = format!("x{long}");
    assert_eq!(capped(&odd).len(), MAX_MESSAGE - 1);
    assert_eq!(capped("short"), "short");
}

#[test]
fn the_standard_details_are_always_known() {
    for name in
        ["ErrorInfo", "BadRequest", "RetryInfo", "QuotaFailure", "PreconditionFailure", "Help"]
    {
        assert!(
            known::pool().get_message_by_name(&format!("google.rpc.{name}")).is_some(),
            "{name}"
        );
    }
    let info = known::pool().get_message_by_name("google.rpc.ErrorInfo").unwrap();
    assert!(info.get_field_by_name("metadata").unwrap().is_map());
    assert!(known::pool().get_message_by_name("google.protobuf.Struct").is_none());
}

#[tokio::test]
async fn standard_details_are_readable_without_any_routes() {
    let retry = RetryInfo { retry_delay: Some(Delay { seconds: 1, nanos: 500_000_000 }) };
    let details = vec![wire::pack("google.rpc.RetryInfo", &retry)];
    let full = RpcStatus { code: 14, message: String::new(), details };
    let status = Status { code: 14, message: String::new(), details: full.encode_to_vec().into() };
    let response = bare_error_response(&status);
    assert_eq!(response.headers()["retry-after"], "2");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body);
    let expected = r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retry_delay":"1.500s"}"#;
    assert!(text.contains(expected), "{text}");
}

//! Reading of streams and of refusals.

use reqwest::{StatusCode, header::HeaderValue};

use super::*;

#[test]
fn events_come_out_whole_however_they_are_cut() {
    let stream = "\u{feff}: hello\r\ndata: {\"a\":1}\r\n\r\nevent: x\ndata:two\ndata: lines\n\n\
                  id: 7\n\ndata: gr\u{fc}n\r\rdata: [DONE]\n\ndata: unfinished";
    let expected = ["{\"a\":1}", "two\nlines", "gr\u{fc}n", "[DONE]"];
    for size in 1..=stream.len() {
        let mut events = Events::default();
        let mut found = Vec::new();
        for bytes in stream.as_bytes().chunks(size) {
            events.push(bytes);
            while let Some(data) = events.next_event() {
                found.push(data);
            }
        }
        assert_eq!(found, expected, "cut every {size} bytes");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let check = |status: u16, body: &str, expected: &str| {
        let status = StatusCode::from_u16(status).expect("a status");
        let upstream = fault::refusal(status, None, body.as_bytes());
        assert!(format!("{upstream:?}").starts_with(expected), "{status} {body}: {upstream:?}");
    };
    check(401, "", "Credentials");
    check(403, "{}", "Credentials");
    check(429, "{}", "RateLimited");
    check(500, "<html>", "Failed { status: 500");
    check(302, "", "Failed { status: 302");
    check(504, "", "Timeout");
    check(
        400,
        r#"{"error":{"message":"bad tool"}}"#,
        r#"Rejected { status: 400, message: "bad tool""#,
    );
    check(
        404,
        r#"{"error":"model not found"}"#,
        r#"Rejected { status: 404, message: "model not found""#,
    );
    check(
        422,
        r#"{"detail":"no such field"}"#,
        r#"Rejected { status: 422, message: "no such field""#,
    );
    check(400, "<html>", r#"Rejected { status: 400, message: "it gave no explanation""#);
    check(400, r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#, "ContextTooLong");
    check(
        400,
        r#"{"error":{"message":"This model's maximum context length is 8"}}"#,
        "ContextTooLong",
    );
}

#[test]
fn retry_after_is_read_in_seconds() {
    let check = |text: &str, expected: Option<u64>| {
        let header = HeaderValue::from_str(text).expect("a header");
        assert_eq!(fault::retry_after(Some(&header)), expected.map(Duration::from_secs), "{text}");
    };
    check("7", Some(7));
    check("-1", None);
    check("1e300", None);
    check("NaN", None);
    check("Wed, 21 Oct 2026 07:28:00 GMT", None);
}

#[test]
fn answers_of_many_servers_are_understood() {
    let check = |body: &str, text: &str, finish: FinishReason, calls: &[(&str, &str)]| {
        let answer = wire::answer(body.as_bytes()).expect("an answer");
        assert_eq!(answer.text, text, "{body}");
        assert_eq!(answer.finish, finish, "{body}");
        let found: Vec<_> = answer
            .tool_calls
            .iter()
            .map(|call| (call.name.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(found, calls, "{body}");
    };
    use crate::domain::FinishReason;
    check(
        r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#,
        "hi",
        FinishReason::Stop,
        &[],
    );
    check(
        r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#,
        "no",
        FinishReason::Stop,
        &[],
    );
    check(
        r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"text":"b"}]},"finish_reason":"length"}]}"#,
        "ab",
        FinishReason::Length,
        &[],
    );
    check(
        r#"{"choices":[{"message":{"tool_calls":[{"id":"1","function":{"name":"f","arguments":{"x":1}}}]},"finish_reason":"stop"}]}"#,
        "",
        FinishReason::ToolCalls,
        &[("f", r#"{"x":1}"#)],
    );
}

#[test]
fn answers_that_are_none_are_refused() {
    let check = |body: &str| {
        let answer = wire::answer(body.as_bytes());
        assert!(matches!(answer, Err(Upstream::Unreadable(_))), "{body}: {answer:?}");
    };
    check("");
    check("<html>");
    check("{}");
    check(r#"{"choices":[]}"#);
    check(r#"{"choices":[{}]}"#);
}

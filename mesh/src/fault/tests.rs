//! How a fault looks on the wire.

use lightning_proto::agents::v1::ErrorReason as AgentReason;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("the outer thing failed")]
struct Outer(#[source] std::fmt::Error);

fn decoded(status: &Status) -> rpc::Status {
    rpc::Status::decode(status.details()).unwrap()
}

#[test]
fn a_fault_carries_its_reason_metadata_and_fields() {
    let status = Status::from(
        Fault::not_found(AgentReason::AgentNotFound)
            .message("there is no agent x")
            .with("agent_id", "x")
            .field("id", "names no agent")
            .retry_after(Duration::from_millis(1500)),
    );
    assert_eq!((status.code(), status.message()), (Code::NotFound, "there is no agent x"));
    let info = error_info(&status).unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("AGENT_NOT_FOUND", "lightning.agents")
    );
    assert_eq!(info.metadata["agent_id"], "x");
    assert!(has_reason(&status, AgentReason::AgentNotFound));
    assert!(!has_reason(&status, ErrorReason::Internal));
    let kinds: Vec<_> = decoded(&status)
        .details
        .iter()
        .map(|any| any.type_url.rsplit('.').next().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["ErrorInfo", "BadRequest", "RetryInfo"]);
}

#[tokio::test]
async fn an_internal_fault_tells_the_trace_and_nothing_else() {
    let trace = trace::TraceContext::fresh();
    let status =
        trace::scope(trace, async { Status::from(Fault::internal(Outer(std::fmt::Error))) }).await;
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), format!("internal error (trace {})", trace.trace_id()));
    assert!(!format!("{:?}", decoded(&status)).contains("outer"));
}

#[test]
fn a_chain_shows_every_cause() {
    let error = Outer(std::fmt::Error);
    assert!(Chain(&error).to_string().starts_with("the outer thing failed: an error occurred"));
}

#[test]
fn details_always_fit_into_a_header() {
    let fault = (0..1_000).fold(Fault::invalid(ErrorReason::InvalidArgument), |fault, _| {
        fault.field("a.b.c", "is wrong ".repeat(500))
    });
    let status = Status::from(fault.message("x".repeat(100_000)));
    assert!(status.details().len() <= MAX_DETAILS, "{}", status.details().len());
    assert!(status.message().chars().count() <= MAX_TEXT + 1);
}

#[test]
fn violations_are_told_all_at_once() {
    let mut violations = Violations::new();
    assert!(violations.check(true, "agent.id", "is fine"));
    assert!(!violations.check(false, "agent.name", "must not be empty"));
    violations.add("agent.config", "must be an object");
    let fault = violations.finish(ErrorReason::InvalidArgument).unwrap_err();
    assert_eq!(fault.to_string(), "agent.name: must not be empty (and one other field)");
    assert!(Violations::new().finish(ErrorReason::InvalidArgument).is_ok());
}

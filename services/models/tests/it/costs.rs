//! What is recorded of calls, and how it adds up.

use std::time::Duration;

use lightning_mesh::{clock::Clock, identity::Caller};
use lightning_proto::models::v1::{self as pb, inference_service_client::InferenceServiceClient};
use serde_json::Value;

use crate::rig::{Rig, ask, reason};

#[tokio::test]
async fn every_call_is_recorded_with_who_asked_and_what_it_cost() {
    let rig = Rig::start().await;
    for subject in ["user:ann", "user:ann", "user:bob"] {
        let caller = Caller::new(subject, "somebody", ["models.infer"]).member_of("default");
        let mut client = InferenceServiceClient::new(rig.harness.channel_as("models", caller));
        client.infer(ask("priced", "hi")).await.expect("an answer");
    }
    rig.infer("", "say: one").await.expect("an answer");
    rig.infer("up/failing", "hi").await.expect_err("a failure");

    let by_model = rig.costs("").await;
    assert_eq!(
        (by_model.request_count, by_model.input_tokens, by_model.output_tokens),
        (5, 36, 10)
    );
    assert!((by_model.total_cost_usd - 156e-6).abs() < 1e-12);
    let keys: Vec<_> =
        by_model.lines.iter().map(|line| (line.key.as_str(), line.request_count)).collect();
    assert_eq!(keys, [("priced", 3), ("scripted-1", 1), ("up/failing", 1)]);

    let by_caller = rig.costs("caller").await.lines;
    let callers: Vec<_> =
        by_caller.iter().map(|line| (line.key.as_str(), line.request_count)).collect();
    assert_eq!(callers, [("user:ann", 2), ("user:bob", 1), ("local", 2)]);
    let providers = rig.costs("provider").await.lines;
    assert_eq!(
        providers.iter().map(|line| line.key.as_str()).collect::<Vec<_>>(),
        ["up", "scripted"]
    );
    let days = rig.costs("day").await.lines;
    let today = Clock::system().now().to_string();
    assert!(days.iter().any(|line| today.starts_with(&line.key)), "{days:?}");
}

#[tokio::test]
async fn calls_outside_the_span_do_not_count() {
    let rig = Rig::start().await;
    rig.infer("priced", "hi").await.expect("an answer");
    let end = Clock::system().now().before(Duration::from_secs(3_600));
    let request = pb::GetCostsRequest { end_time: Some(end.to_proto()), ..Default::default() };
    let costs = rig.costs_as(Caller::local()).get_costs(request).await.expect("costs").into_inner();
    assert_eq!((costs.request_count, costs.lines.len()), (0, 0));
    let backwards = pb::GetCostsRequest {
        start_time: Some(Clock::system().now().to_proto()),
        end_time: Some(end.to_proto()),
        ..Default::default()
    };
    let status = rig.costs_as(Caller::local()).get_costs(backwards).await.expect_err("a refusal");
    assert_eq!(reason(&status), "REQUEST_INVALID");
}

#[tokio::test]
async fn figures_and_costs_are_on_rest() {
    let rig = Rig::start().await;
    rig.infer("priced", "hi").await.expect("an answer");
    let (status, _, text) = rig.get("/api/v1/costs?group_by=provider").await;
    let costs: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, costs["lines"][0]["key"].as_str()), (200, Some("up")), "{text}");
    let (status, _, text) = rig.get("/api/v1/metrics").await;
    assert!(status == 200 && text.contains("inferences_total"), "{status} {text}");
}
